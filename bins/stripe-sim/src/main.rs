//! A local, stateful, strict Stripe for development and tests: parse, start, wait for a signal,
//! stop.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use common::error::{Error, Exit, Result};
use common::{config, log, shutdown};
use stripe_sim::Server;

const PROGRAM: &str = "stripe-sim";

fn main() -> ExitCode {
    match run() {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            log::say_error(PROGRAM, &error);
            Exit::from(&error).into()
        }
    }
}

fn run() -> Result<()> {
    config::load_dotenv()?;
    let config = cli::Args::parse().config()?;
    log::init(PROGRAM, 0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|cause| Error::fatal("start the runtime", cause))?;
    runtime.block_on(async {
        let mut shutdown = shutdown::on_signals()?;
        let server = Server::start(config)?;
        log::say(PROGRAM, format_args!("listening on {}", server.addr()));
        shutdown.requested().await;
        // Not on this thread: it must go on listening for the second signal.
        let stopped = tokio::task::spawn_blocking(move || server.stop()).await;
        stopped.map_err(|cause| Error::reject("stop", cause))?
    })
}
