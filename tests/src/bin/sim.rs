//! Runs simulated histories of the sync rules from seeds, and prints the shortest that fails.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tests::in_force::break_rule;
use tests::sim::explore::{Scope, Times, broken, explore};
use tests::sim::mix::{self, Mix};
use tests::sim::mutations::{Found, find};
use tests::sim::run;
use tests::sync::rules::Rule;

/// A broken rule has to be found within so many histories.
const MUTATION_HISTORIES_MAX: u64 = 200_000;

/// The small scope, and what each part of it may take: some 16 bytes a state.
const SCOPE: Scope = Scope {
    edits: 3,
    faults: 2,
    values: 4,
    times: Times::Same,
    broken: None,
    states_max: 100_000_000,
    within: Duration::from_secs(40 * 60),
    threads: 2,
};

const TIMES: [Times; 3] = [Times::Same, Times::Apart, Times::Mixed];

/// Scopes of so many edits and faults together are gone through with any mixture of times, too.
const MIXED_MAX: u32 = 4;

/// Of a mix that fails often, so many of its seeds are printed.
const SEEDS_MAX: usize = 20;

struct Args {
    histories: u64,
    seed: Option<u64>,
    first: u64,
    mixes: Vec<&'static str>,
    threads: u64,
    limit: Option<usize>,
    /// Every history of the small scope.
    exhaustive: bool,
    edits: u32,
    faults: u32,
    values: usize,
    /// Only these times.
    times: Option<Times>,
    /// Break each rule in turn.
    mutations: bool,
    /// This rule is broken.
    broken: Option<Rule>,
    /// Only failures whose reason holds this text.
    why: String,
}

fn usage(why: &str) -> ! {
    eprintln!("sim: error: {why}");
    eprintln!(
        "sim: hint: sim [--histories N] [--first SEED] [--mix NAME|all] [--threads N], \
         or sim --seed SEED --mix NAME [--actions N] to print one history, \
         each with [--break RULE], \
         or sim --mutations, or sim --exhaustive [--edits N] [--faults N] [--values N] \
         [--times same|apart|mixed] [--mutations]; mixes: {}",
        mix::NAMES.join(", ")
    );
    std::process::exit(2);
}

fn args() -> Args {
    let mut args = Args {
        histories: 20_000,
        seed: None,
        first: 1,
        mixes: mix::NAMES.to_vec(),
        threads: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
        limit: None,
        why: String::new(),
        mutations: false,
        broken: None,
        exhaustive: false,
        edits: SCOPE.edits,
        faults: SCOPE.faults,
        values: SCOPE.values,
        times: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        if flag == "--exhaustive" {
            args.exhaustive = true;
            continue;
        }
        if flag == "--mutations" {
            args.mutations = true;
            args.histories = MUTATION_HISTORIES_MAX;
            continue;
        }
        let Some(value) = words.next() else { usage(&format!("{flag} needs a value")) };
        let number = || {
            value
                .replace('_', "")
                .parse()
                .unwrap_or_else(|_| usage(&format!("{flag}: not a number")))
        };
        match flag.as_str() {
            "--histories" => args.histories = number(),
            "--seed" => args.seed = Some(number()),
            "--edits" => args.edits = number() as u32,
            "--faults" => args.faults = number() as u32,
            "--values" => args.values = number().clamp(2, 4) as usize,
            "--times" => match TIMES.into_iter().find(|times| named(*times).contains(&value)) {
                Some(times) => args.times = Some(times),
                None => usage("--times: same, apart or mixed"),
            },
            "--first" => args.first = number(),
            "--threads" => args.threads = number().max(1),
            "--actions" => args.limit = Some(number() as usize),
            "--why" => args.why.clone_from(&value),
            "--break" => {
                let named = Rule::ALL.iter().find(|rule| format!("{rule:?}") == value);
                args.broken = Some(*named.unwrap_or_else(|| usage("no such rule")));
            }
            "--mix" if value == "all" => {}
            "--mix" => match mix::NAMES.iter().find(|name| **name == value) {
                Some(name) => args.mixes = vec![name],
                None => usage(&format!("unknown mix {value:?}")),
            },
            _ => usage(&format!("unknown flag {flag:?}")),
        }
    }
    args
}

/// A failing seed, with how much of its history it takes to fail.
struct Failure {
    seed: u64,
    actions: usize,
    why: String,
}

fn main() {
    let args = args();
    break_rule(args.broken);
    if let Some(seed) = args.seed {
        for name in &args.mixes {
            show(seed, name, args.limit);
        }
        return;
    }
    if args.exhaustive {
        if args.mutations {
            exhaustive_mutations(&args);
        } else if !exhaustive(&args) {
            std::process::exit(1);
        }
        return;
    }
    if args.mutations {
        if !mutations(&args) {
            std::process::exit(1);
        }
        return;
    }
    let mut failed = false;
    for name in &args.mixes {
        failed |= run_mix(name, &args);
    }
    if failed {
        std::process::exit(1);
    }
}

/// Goes through every history of the small scope, and of the scopes below it first.
fn exhaustive(args: &Args) -> bool {
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

fn named(times: Times) -> &'static str {
    match times {
        Times::Same => "same second",
        Times::Apart => "times apart",
        Times::Mixed => "both mixed",
    }
}

/// Breaks each rule in turn, and says in which scope that shows.
fn exhaustive_mutations(args: &Args) {
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

/// Breaks each rule, says after how many histories that shows, and whether it always does.
fn mutations(args: &Args) -> bool {
    let next = AtomicUsize::new(0);
    let found: Mutex<BTreeMap<usize, Option<Found>>> = Mutex::default();
    let work = || {
        while let Some(rule) = Rule::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !format!("{rule:?}").contains(&args.why) {
                continue;
            }
            let result = find(*rule, args.histories);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(*rule as usize, result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            // A program that sends without end does so deeply.
            let thread = std::thread::Builder::new().stack_size(64 << 20);
            if let Err(error) = thread.spawn_scoped(scope, work) {
                usage(&error.to_string());
            }
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (rule, found) in &found {
        let rule = Rule::ALL[*rule];
        match found {
            Some(found) => println!(
                "{:<22} {:>7} {:<14} {}",
                format!("{rule:?}"),
                found.histories,
                found.mix,
                found.why
            ),
            None => println!("{:<22}  MISSED within {}", format!("{rule:?}"), args.histories),
        }
    }
    found.values().all(Option::is_some)
}

fn show(seed: u64, name: &str, limit: Option<usize>) {
    let Some(mix) = mix::named(name) else { return };
    let ended = run(seed, &Rc::new(mix), limit, true);
    println!("{}", ended.trace);
    println!("{name} seed {seed}: {}", ended.failed.as_deref().unwrap_or("holds"));
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
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
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
