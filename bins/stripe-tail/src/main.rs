//! Reads from Stripe what webhooks missed.

use std::process::ExitCode;

use stripe_tail::args::PROGRAM;
use stripe_tail::run::run;

fn main() -> ExitCode {
    common::cli::main(PROGRAM, run)
}
