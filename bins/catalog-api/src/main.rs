//! The customer catalog: REST on SQLite, announcing every change.

use std::process::ExitCode;

use catalog_api::cli;

fn main() -> ExitCode {
    common::cli::main(cli::PROGRAM, cli::run)
}
