//! Every history of small scopes.

use std::time::{Duration, Instant};

use tests::sim::explore::{Scope, Times, broken, explore};
use tests::sync::rules::Rule;

use crate::args::Args;

/// The small scope, and what each part of it may take: some 16 bytes a state.
pub const SCOPE: Scope = Scope {
    edits: 3,
    faults: 2,
    values: 4,
    times: Times::Same,
    broken: None,
    states_max: 100_000_000,
    within: Duration::from_secs(40 * 60),
    threads: 2,
};

pub const TIMES: [Times; 3] = [Times::Same, Times::Apart, Times::Mixed];

/// Scopes of so many edits and faults together are gone through with any mixture of times, too.
const MIXED_MAX: u32 = 4;

/// Goes through every history of the small scope, and of the scopes below it first.
pub fn exhaustive(args: &Args) -> bool {
    let mut holds = true;
    for edits in 1..=args.edits {
        for faults in 0..=args.faults {
            let mixed = edits + faults <= MIXED_MAX;
            let is_asked = |times: &Times| match args.times {
                Some(only) => *times == only,
                None => mixed || *times != Times::Mixed,
            };
            for times in TIMES.into_iter().filter(is_asked) {
                let scope = Scope { edits, faults, times, values: args.values, ..SCOPE };
                let scope = Scope { threads: args.threads as usize, ..scope };
                holds &= goes_through(scope);
            }
        }
    }
    holds
}

fn goes_through(scope: Scope) -> bool {
    let started = Instant::now();
    let explored = explore(scope);
    println!(
        "{} edits, {} faults, {}: {} states, {} steps, {} ends, {:.1} s{}",
        scope.edits,
        scope.faults,
        named(scope.times),
        explored.states,
        explored.steps,
        explored.ends,
        started.elapsed().as_secs_f64(),
        if explored.complete { "" } else { ", not all of it" }
    );
    if let Some(why) = &explored.failed {
        println!("FAILED: {why}");
    }
    explored.failed.is_none() && explored.complete
}

pub fn named(times: Times) -> &'static str {
    match times {
        Times::Same => "same second",
        Times::Apart => "times apart",
        Times::Mixed => "both mixed",
    }
}

/// Breaks each rule in turn, and says in which scope that shows.
pub fn exhaustive_mutations(args: &Args) {
    for rule in Rule::ALL.iter().filter(|rule| format!("{rule:?}").contains(&args.why)) {
        let name = format!("{rule:?}");
        match broken(*rule) {
            Some((scope, why)) => println!(
                "{name:<22} {} edits, {} faults, {:<12} {}",
                scope.edits,
                scope.faults,
                named(scope.times),
                why.lines().last().unwrap_or_default()
            ),
            None => println!("{name:<22} not in these scopes"),
        }
    }
}
