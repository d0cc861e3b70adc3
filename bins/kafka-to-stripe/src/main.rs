//! Makes Stripe match the catalog.

use std::process::ExitCode;

use kafka_to_stripe::cli;

fn main() -> ExitCode {
    common::cli::main(cli::PROGRAM, cli::run)
}
