//! What was asked for.

use tests::sim::explore::Times;
use tests::sim::mix;
use tests::sync::rules::Rule;

use crate::scopes::{SCOPE, TIMES, named};

/// A broken rule has to be found within so many histories.
pub const MUTATION_HISTORIES_MAX: u64 = 200_000;

pub struct Args {
    pub histories: u64,
    pub seed: Option<u64>,
    pub first: u64,
    pub mixes: Vec<&'static str>,
    pub threads: u64,
    pub limit: Option<usize>,
    /// Every history of the small scope.
    pub exhaustive: bool,
    pub edits: u32,
    pub faults: u32,
    pub values: usize,
    /// Only these times.
    pub times: Option<Times>,
    /// Break each rule in turn.
    pub mutations: bool,
    /// This rule is broken.
    pub broken: Option<Rule>,
    /// Only failures whose reason holds this text.
    pub why: String,
}

pub fn usage(why: &str) -> ! {
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

pub fn args() -> Args {
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
