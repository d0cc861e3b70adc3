//! Runs simulated histories of the sync rules from seeds, and prints the shortest that fails.

mod args;
mod mixes;
mod rules;
mod scopes;

use std::process::ExitCode;

use tests::in_force::break_rule;

fn main() -> ExitCode {
    let args = args::args();
    break_rule(args.broken);
    let holds = match args.seed {
        Some(seed) => {
            args.mixes.iter().for_each(|name| mixes::show(seed, name, args.limit));
            true
        }
        None if args.exhaustive && args.mutations => {
            scopes::exhaustive_mutations(&args);
            true
        }
        None if args.exhaustive => scopes::exhaustive(&args),
        None if args.mutations => rules::mutations(&args),
        None => mixes::run_all(&args),
    };
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
