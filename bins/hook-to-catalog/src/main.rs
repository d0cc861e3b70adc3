//! Makes the catalog match Stripe.

use std::process::ExitCode;

use hook_to_catalog::cli;

fn main() -> ExitCode {
    common::cli::main(cli::PROGRAM, cli::run)
}
