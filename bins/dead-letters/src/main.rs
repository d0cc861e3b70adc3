//! Lists, shows and puts back the records that could not be processed.

use std::process::ExitCode;

use dead_letters::cli;

fn main() -> ExitCode {
    common::cli::main(cli::PROGRAM, cli::run)
}
