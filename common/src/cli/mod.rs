//! What every program's command line shares, and the frame of every `main`: read `.env` and the
//! flags, start logging, run, map the end to an exit code. Nothing below it calls `exit`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::error::{Error, Exit, Result};
use crate::metrics::Metrics;
use crate::shutdown::{self, Shutdown};
use crate::{config, log};

mod args;

pub use args::{CommonArgs, FromArgs, KafkaArgs, MetricsArgs, ToArgs};

/// What a program is called and where its records come from and go to by default.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    pub name: &'static str,
    /// Defaults of `--from`; empty when the program has no such flag.
    pub from: &'static [&'static str],
    /// Default of `--to`.
    pub to: Option<&'static str>,
}

/// What a running program has at hand.
#[derive(Clone, Debug)]
pub struct Context {
    pub program: &'static str,
    pub shutdown: Shutdown,
    pub metrics: Metrics,
}

/// A program's flags, which hold the common ones.
pub trait Args: Parser {
    fn common(&self) -> &CommonArgs;
}

/// The frame of every `main`.
pub fn main<A: Args, R: Future<Output = Result<Exit>>>(
    program: Program,
    run: impl FnOnce(A, Context) -> R,
) -> ExitCode {
    if let Err(error) = config::load_dotenv() {
        log::say_error(program.name, &error);
        return Exit::from(&error).into();
    }
    let args: A = match parse(program) {
        Ok(args) => args,
        Err(error) => {
            if error.use_stderr() {
                log::say(program.name, error.to_string().trim_end());
                return Exit::Usage.into();
            }
            // --help and --version, on stdout; a reader that stops early is no matter.
            let _ = error.print();
            return Exit::Done.into();
        }
    };
    if let Some(shell) = args.common().completions {
        clap_complete::generate(shell, &mut command::<A>(program), program.name, &mut Quiet);
        return Exit::Done.into();
    }
    log::init(program.name, args.common().verbosity());
    match run_async(program, args, run) {
        Ok(exit) => exit.into(),
        Err(error) => {
            log::say_error(program.name, &error);
            Exit::from(&error).into()
        }
    }
}

/// stdout for completions: a reader that stops early (`| head`) is no reason to panic.
struct Quiet;

impl std::io::Write for Quiet {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = std::io::stdout().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = std::io::stdout().flush();
        Ok(())
    }
}

fn parse<A: Args>(program: Program) -> std::result::Result<A, clap::Error> {
    let mut command = command::<A>(program);
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    A::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The program's command line, with its own defaults.
pub fn command<A: CommandFactory>(program: Program) -> clap::Command {
    let mut command = A::command().name(program.name);
    let has = |command: &clap::Command, id: &str| {
        command.get_arguments().any(|argument| argument.get_id() == id)
    };
    if has(&command, "from") && !program.from.is_empty() {
        command = command.mut_arg("from", |from| from.required(false).default_values(program.from));
    }
    if let Some(to) = program.to
        && has(&command, "to")
    {
        command = command.mut_arg("to", |argument| argument.required(false).default_value(to));
    }
    if has(&command, "group") {
        command =
            command.mut_arg("group", |group| group.required(false).default_value(program.name));
    }
    without_empty(command)
}

/// A variable that is set to nothing is as good as none, as in a compose file with nothing filled
/// in: its flag keeps the default.
fn without_empty(mut command: clap::Command) -> clap::Command {
    let is_empty = |argument: &clap::Arg| {
        let value = argument.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.to_string_lossy().trim().is_empty())
    };
    let empty = command.get_arguments().filter(|argument| is_empty(argument));
    let empty: Vec<clap::Id> = empty.map(|argument| argument.get_id().clone()).collect();
    for id in empty {
        command = command.mut_arg(id, |argument| argument.env(None::<&'static str>));
    }
    command
}

fn run_async<A: Args, R: Future<Output = Result<Exit>>>(
    program: Program,
    args: A,
    run: impl FnOnce(A, Context) -> R,
) -> Result<Exit> {
    // One thread: the programs wait for others most of the time, and memory counts.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .build()
        .map_err(|error| Error::retry("start the runtime", error))?;
    let result = runtime.block_on(async {
        let shutdown = shutdown::on_signals()?;
        let context = Context { program: program.name, shutdown, metrics: Metrics::new() };
        run(args, context).await
    });
    // A call that blocks (a broker that does not answer) must not hold up the end.
    runtime.shutdown_background();
    result
}

/// The result, or the end asked for by a signal while it was waited for: `None` means that.
pub async fn unless_asked_to_end<T>(
    context: &Context,
    future: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    context.shutdown.unless(future).await.transpose()
}

#[cfg(test)]
mod tests;
