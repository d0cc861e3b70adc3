//! Histories of a mix: how many held, and the shortest that did not.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tests::in_force::break_rule;
use tests::sim::mix::{self, Mix};
use tests::sim::run;

use crate::args::{Args, usage};

/// Of a mix that fails often, so many of its seeds are printed.
const SEEDS_MAX: usize = 20;

/// A failing seed, with how much of its history it takes to fail.
struct Failure {
    seed: u64,
    actions: usize,
    why: String,
}

pub fn show(seed: u64, name: &str, limit: Option<usize>) {
    let Some(mix) = mix::named(name) else { return };
    let ended = run(seed, &Rc::new(mix), limit, true);
    println!("{}", ended.trace);
    println!("{name} seed {seed}: {}", ended.failed.as_deref().unwrap_or("holds"));
}

/// Every mix that was asked for, whichever fails.
pub fn run_all(args: &Args) -> bool {
    let failed = args.mixes.iter().filter(|name| run_mix(name, args));
    failed.count() == 0
}

fn run_mix(name: &'static str, args: &Args) -> bool {
    let started = Instant::now();
    let next = AtomicU64::new(args.first);
    let end = args.first + args.histories;
    let (excused, conflicts, needless) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        break_rule(args.broken);
        let mix: Rc<Mix> = Rc::new(mix::named(name).unwrap_or_else(|| usage("unknown mix")));
        let mut failures = Vec::new();
        loop {
            let from = next.fetch_add(256, Ordering::Relaxed);
            if from >= end {
                return failures;
            }
            for seed in from..(from + 256).min(end) {
                let ended = run(seed, &mix, None, false);
                excused.fetch_add(u64::from(ended.excused > 0), Ordering::Relaxed);
                conflicts.fetch_add(ended.conflicts as u64, Ordering::Relaxed);
                needless.fetch_add(ended.needless as u64, Ordering::Relaxed);
                if let Some(why) = ended.failed.filter(|why| why.contains(&args.why)) {
                    failures.push(Failure { seed, actions: ended.actions, why });
                }
            }
        }
    };
    let mut failures: Vec<Failure> = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(found) => failures.extend(found),
                Err(_) => std::process::exit(1),
            }
        }
    });
    let took = started.elapsed().as_secs_f64();
    let rate = args.histories as f64 / took / args.threads as f64;
    println!(
        "{name}: {} histories, {} failed, {} with excused customers, {} conflicts ({} needless), \
         {took:.1} s, {rate:.0} histories/s per core",
        args.histories,
        failures.len(),
        excused.load(Ordering::Relaxed),
        conflicts.load(Ordering::Relaxed),
        needless.load(Ordering::Relaxed)
    );
    shortest(name, &failures);
    !failures.is_empty()
}

/// Prints the shortest way to fail among them, cut to as few actions as still fail.
fn shortest(name: &str, failures: &[Failure]) {
    let mut kinds = BTreeMap::<String, usize>::new();
    for failure in failures {
        let kind: String = failure.why.chars().filter(|c| !c.is_ascii_digit()).take(26).collect();
        *kinds.entry(kind).or_default() += 1;
    }
    for (kind, count) in &kinds {
        println!("  {count:>6} {kind}");
    }
    for failure in failures.iter().take(SEEDS_MAX) {
        println!("  --mix {name} --seed {}: {}", failure.seed, failure.why);
    }
    let Some(mix) = mix::named(name).map(Rc::new) else { return };
    let mut best: Option<(usize, u64)> = None;
    let mut by_length: Vec<&Failure> = failures.iter().collect();
    by_length.sort_by_key(|failure| failure.actions);
    for failure in by_length.iter().take(200) {
        let most = best.map_or(failure.actions, |(actions, _)| actions);
        let found =
            (1..most).find(|limit| run(failure.seed, &mix, Some(*limit), false).failed.is_some());
        if let Some(actions) = found {
            best = Some((actions, failure.seed));
        } else if best.is_none() {
            best = Some((failure.actions, failure.seed));
        }
    }
    if let Some((actions, seed)) = best {
        println!("shortest: --mix {name} --seed {seed} --actions {actions}");
        let ended = run(seed, &mix, Some(actions), true);
        println!("{}{}", ended.trace, ended.failed.unwrap_or_default());
    }
}
