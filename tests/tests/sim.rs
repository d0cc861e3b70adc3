//! Simulated histories: a fixed set, and fresh ones for a while. `SEED=n` reruns one, `HISTORIES=n`
//! says how many of each mix.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tests::sim::explore::{Scope, Times, explore, explore_ends, plain};
use tests::sim::mutations::find;
use tests::sim::{mix, run};
use tests::sync::rules::Rule;

/// Histories of each mix that are always the same.
const FIXED: u64 = 1_000;

/// How long fresh histories run, all mixes together.
const FRESH: Duration = Duration::from_secs(10);

/// A broken rule that shows itself within so many histories is broken here too.
const MUTATION_HISTORIES: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Panics with the whole history if it fails.
fn holds(name: &str, seed: u64) {
    let mix = Rc::new(mix::named(name).expect("a mix of this name"));
    let ended = run(seed, &mix, None, false);
    if let Some(why) = ended.failed {
        let shortest = (1..ended.actions)
            .find(|limit| run(seed, &mix, Some(*limit), false).failed.is_some())
            .unwrap_or(ended.actions);
        let history = run(seed, &mix, Some(shortest), true).trace;
        panic!("{history}\n{why}\nagain: make sim SEED={seed} MIX={name}");
    }
}

#[test]
fn the_same_histories_hold_every_time() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("HISTORIES").unwrap_or(FIXED),
    };
    for name in mix::NAMES {
        for seed in seeds.clone() {
            holds(name, seed);
        }
    }
}

#[test]
fn fresh_histories_hold() {
    if number("SEED").is_some() || number("HISTORIES").is_some() {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let mut seed = now.as_nanos() as u64 >> 16 << 24;
    let started = Instant::now();
    while started.elapsed() < FRESH {
        for name in mix::NAMES {
            for seed in seed..seed + 50 {
                holds(name, seed);
            }
        }
        seed += 50;
    }
}

#[test]
fn the_same_seed_makes_the_same_history() {
    for name in mix::NAMES {
        let mix = Rc::new(mix::named(name).expect("a mix of this name"));
        let (one, two) = (run(7, &mix, None, true), run(7, &mix, None, true));
        assert_eq!(one.trace, two.trace);
        assert!(!one.trace.is_empty());
    }
}

/// All of them are in the table of docs/SIMULATOR.md, which `make sim-mutations` makes.
#[test]
fn a_broken_rule_is_noticed() {
    let quick = [
        Rule::OnlyWhatChanged,
        Rule::StripeOwned,
        Rule::Cumulative,
        Rule::FirstFrozen,
        Rule::Repeat,
        Rule::ReadAhead,
        Rule::LowestUnfinished,
        Rule::Inbox,
        Rule::InboxWithEffects,
        Rule::FailedLookIsNoAnswer,
        Rule::StampWithEveryUpdate,
        Rule::LinkWithEveryUpdate,
        Rule::ReadIfMoreIsPending,
        Rule::ReadAfterAttempt,
        Rule::UnansweredIsUnknown,
        Rule::ReplayTellsId,
        Rule::OnlyAboveStamp,
        Rule::StampThoughAllRefused,
        Rule::RestWithoutRefused,
        Rule::CorrectionIsTried,
        Rule::KeyNamesFields,
        Rule::AttemptRises,
        Rule::LookInLaterPeriods,
        Rule::LookAfterStoredError,
        Rule::FoundGoneCounts,
        Rule::DeleteLooks,
        Rule::GoneIsDone,
        Rule::NamedOnlyIfStamped,
        Rule::LostAreBornAgain,
        Rule::DeletedThere,
        Rule::GoneStays,
        Rule::DeletedHereStays,
        Rule::KeepHere,
        Rule::KeepAtStripe,
        Rule::UnstampedIsInDoubt,
        Rule::StampPutBack,
        Rule::StaleByStamp,
        Rule::StaleByTime,
        Rule::SameTimeIsInDoubt,
        Rule::NothingObserved,
        Rule::OwnAbove,
        Rule::TakenIsTheirs,
        Rule::FormIsStillOurs,
        Rule::NoEcho,
        Rule::Shadow,
        Rule::AckedBySnapshot,
        Rule::RefusedStays,
        Rule::RefusedOnlyForeign,
        Rule::RefusedUnderStamp,
        Rule::RefusedEditToldLate,
        Rule::StampNamesRefused,
        Rule::CatalogOwned,
        Rule::KeptOtherwise,
        Rule::ConflictOfPending,
        Rule::ConflictOfStale,
        Rule::ConflictOfUndone,
        Rule::LinkByResult,
        Rule::AckedByResult,
        Rule::RefusedIfNotNewer,
    ];
    let missed = move || -> Vec<Rule> {
        quick.into_iter().filter(|rule| find(*rule, MUTATION_HISTORIES).is_none()).collect()
    };
    // A program that sends without end does so deeply.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(missed);
    let missed = thread.expect("a thread").join().expect("no panic");
    assert!(missed.is_empty(), "broken and not noticed: {missed:?}");
}

const SCOPE: Scope = Scope {
    edits: 2,
    faults: 2,
    values: 3,
    times: Times::Same,
    broken: None,
    states_max: 10_000_000,
    within: Duration::from_secs(300),
    threads: 2,
};

#[test]
fn every_history_of_a_small_scope_holds() {
    for times in [Times::Same, Times::Apart] {
        let explored = explore(Scope { times, ..SCOPE });
        assert_eq!(explored.failed, None);
        assert!(explored.complete && explored.ends > 0, "{explored:?}");
    }
}

/// Versions, conflicts noted and what the catalog knows of Stripe included.
fn comes_to_the_same_ends(edits: u32, faults: u32) {
    let within = Duration::from_secs(1800);
    let small = plain::Scope { edits, faults, ticks: 0, states_max: 20_000_000, within };
    let (explored, one_by_one) = plain::explore(small);
    assert!(explored.complete && explored.failed.is_none(), "{explored:?}");
    println!("{edits} edits, {faults} faults, one by one: {explored:?}");
    let (explored, ends) = explore_ends(Scope { edits, faults, values: 2, ..SCOPE });
    assert!(explored.complete && explored.failed.is_none(), "{explored:?}");
    println!("in large steps: {explored:?}, {} different ends", ends.len());
    let missed: Vec<_> = one_by_one.difference(&ends).collect();
    let more: Vec<_> = ends.difference(&one_by_one).collect();
    assert!(missed.is_empty() && more.is_empty(), "{missed:#?} {more:#?}");
}

#[test]
fn large_steps_come_to_the_same_ends_as_small_ones() {
    comes_to_the_same_ends(1, 1);
    comes_to_the_same_ends(2, 0);
}

#[test]
#[ignore = "takes a minute or two"]
fn large_steps_come_to_the_same_ends_with_two_faults() {
    comes_to_the_same_ends(1, 2);
}

/// `sim --exhaustive --mutations` says where each rule shows.
#[test]
fn a_broken_rule_shows_in_a_small_scope() {
    let missed: Vec<Rule> = [
        (Rule::StampWithEveryUpdate, 1, 0, Times::Same),
        (Rule::StaleByTime, 1, 0, Times::Apart),
        (Rule::SameTimeIsInDoubt, 1, 0, Times::Same),
        (Rule::NothingObserved, 1, 0, Times::Same),
        (Rule::OwnAbove, 1, 0, Times::Same),
        (Rule::ReadAfterAttempt, 1, 1, Times::Same),
        (Rule::LookAfterStoredError, 1, 1, Times::Same),
        (Rule::OnlyWhatChanged, 2, 0, Times::Same),
        (Rule::Cumulative, 2, 0, Times::Same),
        (Rule::OnlyAboveStamp, 2, 0, Times::Same),
        (Rule::StaleByStamp, 2, 0, Times::Same),
        (Rule::NoEcho, 2, 0, Times::Same),
        (Rule::ConflictOfPending, 2, 0, Times::Same),
        (Rule::ConflictOfStale, 2, 0, Times::Same),
        (Rule::ReadIfMoreIsPending, 2, 1, Times::Same),
        (Rule::ReplayTellsId, 2, 1, Times::Same),
        (Rule::LateWrite, 2, 1, Times::Same),
        (Rule::Shadow, 3, 0, Times::Apart),
    ]
    .into_iter()
    .filter_map(|(rule, edits, faults, times)| {
        let broken = Some(rule);
        let explored = explore(Scope { edits, faults, times, broken, ..SCOPE });
        explored.failed.is_none().then_some(rule)
    })
    .collect();
    assert!(missed.is_empty(), "broken and not noticed: {missed:?}");
}

/// Histories that failed before a rule was mended. The simulator changes, and then a seed tells
/// another history; what each mended is tested by name in `common/src/sync/tests.rs`.
#[test]
fn histories_that_failed_once_hold() {
    for (name, seed) in [
        ("faults", 162),
        ("faults", 10_630),
        ("faults", 55_919),
        ("faults", 93_508),
        ("edits", 9_913),
        ("edits", 19_168),
        ("deletes", 18_072),
        ("born-at-stripe", 7_994),
        ("born-at-stripe", 63_975),
        ("broker-loss", 42_217),
        ("broker-loss", 76_533),
        ("hostile", 9_325),
        ("hostile", 116_437),
        ("hostile", 229_905),
        ("hostile", 275_473),
        ("hostile", 329_497),
        ("hostile", 369_844),
        ("hostile", 25_538),
        ("hostile", 56_997),
        ("hostile", 72_374),
        ("hostile", 226_007),
        ("hostile", 332_085),
        ("hostile", 502_093),
        ("hostile", 647_569),
        ("hostile", 1_035_352),
        ("hostile", 2_180_851),
        ("hostile", 3_213_686),
        ("hostile", 10_360_710),
        ("restored", 60_254),
        ("restored", 69_751),
        ("restored", 215_224),
        ("restored", 396_105),
        ("restored", 555_456),
        ("restored", 648_952),
        ("restored", 1_127_945),
        ("restored", 1_128_824),
        ("restored", 1_150_413),
        ("stamps", 208_090),
        ("stamps", 213_923),
        ("stamps", 262_855),
        ("stamps", 334_802),
        ("stamps", 370_151),
        ("stamps", 686_532),
        ("stamps", 30_049_056),
        ("stamps", 95_055_202),
        ("faults", 50_012_425),
        ("faults", 50_015_043),
        ("deletes", 50_009_701),
        ("deletes", 95_053_448),
        ("refusals", 50_002_816),
        ("hostile", 30_151_606),
        ("hostile", 40_875_113),
        ("born-at-stripe", 95_024_957),
        ("untold", 53_561),
        ("blind", 80_025_233),
        ("blind", 80_028_553),
        ("blind", 80_049_933),
        ("blind", 80_098_491),
        ("blind", 200_094_088),
        ("blind", 200_166_480),
        ("stamps", 200_168_270),
    ] {
        holds(name, seed);
    }
}
