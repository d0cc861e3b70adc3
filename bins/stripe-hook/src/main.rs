//! Takes Stripe's webhooks, believes only signed ones, hands them on.

use std::process::ExitCode;

use stripe_hook::args::PROGRAM;
use stripe_hook::run::run;

fn main() -> ExitCode {
    common::cli::main(PROGRAM, run)
}
