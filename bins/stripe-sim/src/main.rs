//! A local, stateful, strict Stripe for development and tests: parse, start, wait for a signal,
//! stop.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use common::error::{Error, Exit, Result};
use stripe_sim::Server;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let args = cli::Args::parse();
    let default = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(default).target(env_logger::Target::Stderr).init();
    match run(args) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            eprintln!("stripe-sim: error: {error}");
            if let Some(hint) = &error.hint {
                eprintln!("stripe-sim: hint: {hint}");
            }
            Exit::from(&error).into()
        }
    }
}

fn run(args: cli::Args) -> Result<()> {
    let server = Server::start(args.into())?;
    eprintln!("stripe-sim: listening on {}", server.addr());
    wait_for_signal().map_err(|cause| Error::fatal("wait for a signal", cause))?;
    server.stop()
}

/// Returns at SIGTERM or SIGINT; a second one ends the program at once.
fn wait_for_signal() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (mut term, mut int) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        Ok::<(), std::io::Error>(())
    })?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            if let (Ok(mut term), Ok(mut int)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            {
                tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
                std::process::exit(Exit::Failed as i32);
            }
        });
    });
    Ok(())
}
