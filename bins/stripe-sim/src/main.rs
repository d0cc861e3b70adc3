//! A local, stateful, strict Stripe for development and tests: parse, start, wait for a signal,
//! stop.

mod cli;

use std::process::ExitCode;

use common::cli::{Context, Program};
use common::error::{Error, Exit, Result};
use common::log;
use stripe_sim::Server;

const PROGRAM: Program = Program { name: "stripe-sim", from: &[], to: None };

fn main() -> ExitCode {
    common::cli::main(PROGRAM, run)
}

async fn run(args: cli::Args, context: Context) -> Result<Exit> {
    let mut shutdown = context.shutdown;
    let server = Server::start(args.config()?)?;
    log::say(context.program, format_args!("listening on {}", server.addr()));
    shutdown.requested().await;
    // Not on this thread: it must go on listening for the second signal.
    let stopped = tokio::task::spawn_blocking(move || server.stop()).await;
    stopped.map_err(|cause| Error::reject("stop", cause))??;
    Ok(Exit::Done)
}
