use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::endpoint::memory::{self, Feed, MemorySink};
use crate::metrics::Metrics;
use crate::shutdown;

/// Acts by what the value says; notes what it saw.
#[derive(Default)]
struct Script {
    /// Batches, as values, in the order in which they were begun.
    seen: Mutex<Vec<Vec<String>>>,
    /// How often a value "retry N …" was tried.
    tries: Mutex<HashMap<String, usize>>,
    busy: Mutex<Vec<String>>,
    overlap: AtomicBool,
    most_busy: AtomicUsize,
    gate: Option<tokio::sync::Semaphore>,
}

#[derive(Clone, Default)]
struct Actor(Arc<Script>);

impl Actor {
    fn gated() -> Self {
        let gate = Some(tokio::sync::Semaphore::new(0));
        Self(Arc::new(Script { gate, ..Script::default() }))
    }

    fn open(&self, calls: usize) {
        self.0.gate.as_ref().expect("gated").add_permits(calls);
    }

    fn seen(&self) -> Vec<Vec<String>> {
        self.0.seen.lock().expect("unpoisoned").clone()
    }

    async fn until_seen(&self, batches: usize) {
        while self.seen().len() < batches {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn text(taken: &Taken) -> String {
    String::from_utf8_lossy(&taken.record.value).into_owned()
}

fn output(text: &str) -> Record {
    Record { key: None, value: format!("out {text}").into_bytes(), headers: vec![] }
}

impl Handler for Actor {
    async fn act(&self, lane: Vec<Taken>) -> Vec<Verdict> {
        let key = lane[0].record.key.clone().unwrap_or_default();
        self.0.seen.lock().expect("unpoisoned").push(lane.iter().map(text).collect());
        {
            let mut busy = self.0.busy.lock().expect("unpoisoned");
            if busy.contains(&key) {
                self.0.overlap.store(true, Ordering::Relaxed);
            }
            busy.push(key.clone());
            self.0.most_busy.fetch_max(busy.len(), Ordering::Relaxed);
        }
        if let Some(gate) = &self.0.gate {
            gate.acquire().await.expect("open").forget();
        }
        tokio::task::yield_now().await;
        self.0.busy.lock().expect("unpoisoned").retain(|other| *other != key);
        lane.iter().map(|taken| self.verdict(&text(taken))).collect()
    }
}

impl Actor {
    fn verdict(&self, value: &str) -> Verdict {
        let words: Vec<&str> = value.split(' ').collect();
        match words.as_slice() {
            ["retry", times, ..] => {
                let mut tries = self.0.tries.lock().expect("unpoisoned");
                let tried = tries.entry(value.to_owned()).or_default();
                *tried += 1;
                if *tried > times.parse::<usize>().expect("a number") {
                    return Verdict::Done(vec![output(value)]);
                }
                Verdict::Retry(Error::retry("act", "not yet"))
            }
            ["reject", ..] => Verdict::Reject {
                why: "never".to_owned(),
                attempts: 3,
                outputs: vec![output(value)],
            },
            ["fatal", ..] => Verdict::Fatal(Error::fatal("act", "credentials refused")),
            _ => Verdict::Done(vec![output(value)]),
        }
    }
}

struct Rig {
    feed: Feed,
    sink: MemorySink,
    dead: MemorySink,
    actor: Actor,
    trigger: shutdown::Trigger,
    running: tokio::task::JoinHandle<Result<Exit>>,
}

fn rig(replays: bool, actor: Actor, policy: Policy) -> Rig {
    let (feed, source) = memory::source(replays);
    let (sink, dead) = (MemorySink::new(), MemorySink::new());
    let (trigger, shutdown) = shutdown::channel();
    let counters = Counters::new(&Metrics::new()).expect("new names");
    let dead_letters = DeadLetters::memory(dead.clone());
    let pump = run(source, sink.clone(), dead_letters, actor.clone(), policy, counters, shutdown);
    Rig { feed, sink, dead, actor, trigger, running: tokio::spawn(pump) }
}

impl Rig {
    async fn exit(self) -> Result<Exit> {
        self.running.await.expect("no panic")
    }
}

fn header<'a>(record: &'a Record, name: &str) -> &'a [u8] {
    let found = record.headers.iter().find(|(known, _)| known == name);
    found.map_or(b"", |(_, value)| value.as_slice())
}

#[tokio::test]
async fn records_of_a_lane_keep_their_order_and_lanes_go_side_by_side() {
    let rig = rig(true, Actor::default(), Policy { lane_batch_max: 3, ..Policy::default() });
    for number in 0..200 {
        rig.feed.record(number % 6, &format!("k{}", number % 10), &format!("{number}"));
    }
    rig.feed.end();
    rig.feed.until_done(200).await;
    let values = rig.sink.values();
    assert_eq!(values.len(), 200);
    for key in 0..10 {
        let of_key = |value: &&String| {
            value.trim_start_matches("out ").parse::<i32>().expect("a number") % 10 == key
        };
        let numbers: Vec<_> = values.iter().filter(of_key).collect();
        let expected: Vec<_> = (0..20).map(|n| format!("out {}", n * 10 + key)).collect();
        assert_eq!(numbers, expected.iter().collect::<Vec<_>>());
    }
    assert!(!rig.actor.0.overlap.load(Ordering::Relaxed));
    assert!(rig.actor.0.most_busy.load(Ordering::Relaxed) > 1);
    assert_eq!(rig.exit().await.expect("drained"), Exit::Done);
}

#[tokio::test]
async fn a_lane_busy_hands_all_that_waited_to_its_next_call() {
    let rig = rig(true, Actor::gated(), Policy::default());
    rig.feed.record(0, "a", "1");
    rig.actor.until_seen(1).await;
    for value in ["2", "3", "4"] {
        rig.feed.record(0, "a", value);
    }
    rig.feed.record(0, "b", "5");
    rig.actor.until_seen(2).await;
    rig.actor.open(10);
    rig.feed.end();
    rig.feed.until_done(5).await;
    assert_eq!(rig.actor.seen(), [vec!["1"], vec!["5"], vec!["2", "3", "4"]]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_fails_is_tried_again_before_newer_ones_and_holds_up_no_other_lane() {
    let rig = rig(true, Actor::default(), Policy::default());
    rig.feed.record(0, "a", "retry 3 a1");
    rig.feed.record(0, "a", "a2");
    rig.feed.record(0, "b", "b1");
    rig.feed.until_done(2).await;
    assert_eq!(rig.feed.lowest_unfinished(0), Some(1));
    rig.feed.until_done(3).await;
    assert_eq!(rig.feed.lowest_unfinished(0), None);
    let values = rig.sink.values();
    assert!(values.contains(&"out b1".to_owned()) && values.len() == 3, "{values:?}");
    rig.feed.end();
    assert_eq!(rig.exit().await.expect("ended"), Exit::Done);
}

#[tokio::test]
async fn a_rejected_record_is_dead_lettered_as_it_was_and_the_end_says_so() {
    let rig = rig(true, Actor::default(), Policy::default());
    rig.feed.record(2, "a", "reject this");
    rig.feed.bad(2, b"\xff", "line 2: not UTF-8");
    rig.feed.record(2, "a", "fine");
    rig.feed.end();
    rig.feed.until_done(3).await;
    let (dead, values) = (rig.dead.clone(), rig.sink.values());
    assert_eq!(values, ["out reject this", "out fine"]);
    assert_eq!(rig.exit().await.expect("ended"), Exit::Failed);
    let mut records = dead.records();
    records.sort_by_key(|record| header(record, "origin_offset").to_vec());
    assert_eq!(records[0].value, b"reject this");
    assert_eq!(
        (header(&records[0], "error"), header(&records[0], "attempts")),
        (b"never".as_slice(), b"3".as_slice())
    );
    assert_eq!(records[0].key.as_deref(), Some("a"));
    assert_eq!(
        (records[1].value.as_slice(), header(&records[1], "error")),
        (b"\xff".as_slice(), b"line 2: not UTF-8".as_slice())
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_before_its_output_and_its_dead_letter_are_durable() {
    let rig = rig(true, Actor::default(), Policy::default());
    rig.sink.fail_next(Error::retry("write", "the broker is away"));
    rig.dead.fail_next(Error::retry("write", "the broker is away"));
    rig.feed.record(0, "a", "reject 1");
    rig.feed.record(1, "b", "2");
    rig.feed.until_done(2).await;
    assert_eq!((rig.sink.values().len(), rig.dead.values().len()), (2, 1));
    assert_eq!(rig.actor.seen().len(), 2, "what was acted on is not acted on again");
}

#[tokio::test]
async fn an_output_too_large_makes_its_record_a_dead_letter() {
    let rig = rig(true, Actor::default(), Policy::default());
    rig.sink.fail_next(Error::reject("write", "too large"));
    rig.feed.record(0, "a", "1");
    rig.feed.until_done(1).await;
    assert_eq!(rig.dead.values(), ["1"]);
}

#[tokio::test]
async fn a_fatal_verdict_stops_the_program_and_leaves_the_record_unfinished() {
    let rig = rig(true, Actor::default(), Policy::default());
    rig.feed.record(0, "a", "1");
    rig.feed.record(0, "b", "fatal");
    let feed = rig.feed.clone();
    let error = rig.exit().await.expect_err("fatal");
    assert_eq!(error.kind, Kind::Fatal);
    assert_eq!(feed.lowest_unfinished(0), Some(2));
    assert!(feed.closed());
}

#[tokio::test(start_paused = true)]
async fn a_fatal_verdict_on_a_pipe_keeps_every_line_that_was_not_finished() {
    let policy = Policy { in_flight_lanes_max: 1, ..Policy::default() };
    let rig = rig(false, Actor::default(), policy);
    rig.feed.record(0, "a", "fatal");
    rig.feed.record(0, "b", "2");
    let dead = rig.dead.clone();
    assert_eq!(rig.exit().await.expect_err("fatal").kind, Kind::Fatal);
    assert!(dead.values().contains(&"fatal".to_owned()), "{:?}", dead.values());
}

#[tokio::test(start_paused = true)]
async fn a_signal_finishes_what_is_begun_and_leaves_the_rest_to_the_next_start() {
    let rig = rig(true, Actor::gated(), Policy { in_flight_lanes_max: 1, ..Policy::default() });
    rig.feed.record(0, "a", "1");
    rig.actor.until_seen(1).await;
    rig.feed.record(0, "b", "2");
    rig.trigger.request();
    tokio::time::sleep(Duration::from_millis(5)).await;
    rig.actor.open(5);
    let (feed, actor, sink) = (rig.feed.clone(), rig.actor.clone(), rig.sink.clone());
    assert_eq!(rig.exit().await.expect("drained"), Exit::Done);
    assert_eq!((feed.done(0), actor.seen().len()), (vec![1], 1));
    assert_eq!(sink.values(), ["out 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_on_a_pipe_finishes_all_and_keeps_what_it_cannot_finish() {
    let rig = rig(false, Actor::default(), Policy::default());
    rig.feed.record(0, "a", "1");
    rig.feed.record(0, "b", "retry 99 2");
    rig.feed.until_done(1).await;
    rig.trigger.request();
    let dead = rig.dead.clone();
    assert_eq!(rig.exit().await.expect("ended"), Exit::Failed);
    assert_eq!(dead.values(), ["retry 99 2"]);
}

#[tokio::test(start_paused = true)]
async fn lines_that_a_pipe_had_handed_over_before_a_signal_are_still_acted_on() {
    let rig = rig(false, Actor::default(), Policy { waiting_records_max: 2, ..Policy::default() });
    // The signal is there first, since nothing has run yet.
    rig.trigger.request();
    for number in 0..9 {
        rig.feed.record(0, "a", &format!("{number}"));
    }
    let sink = rig.sink.clone();
    assert_eq!(rig.exit().await.expect("drained"), Exit::Done);
    assert_eq!(sink.values().len(), 9, "{:?}", sink.values());
}

#[tokio::test(start_paused = true)]
async fn lines_that_a_pipe_had_handed_over_before_something_fatal_are_kept() {
    let policy = Policy { waiting_records_max: 2, ..Policy::default() };
    let rig = rig(false, Actor::gated(), policy);
    rig.feed.record(0, "a", "fatal");
    rig.actor.until_seen(1).await;
    for number in 0..9 {
        rig.feed.record(0, "a", &format!("{number}"));
    }
    rig.actor.open(1);
    let dead = rig.dead.clone();
    assert_eq!(rig.exit().await.expect_err("fatal").kind, Kind::Fatal);
    assert_eq!(dead.values().len(), 10, "{:?}", dead.values());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_does_not_hold_up_the_end_longer_than_the_limit() {
    let rig = rig(true, Actor::gated(), Policy::default());
    rig.feed.record(0, "a", "1");
    rig.actor.until_seen(1).await;
    let begun = Instant::now();
    rig.trigger.request();
    let feed = rig.feed.clone();
    assert_eq!(rig.exit().await.expect("drained"), Exit::Done);
    assert!(begun.elapsed() >= Duration::from_millis(DRAIN_MS_MAX));
    assert_eq!(feed.lowest_unfinished(0), Some(1));
}

#[tokio::test(start_paused = true)]
async fn revoked_records_are_dropped_and_those_in_flight_are_not_marked_done() {
    let rig = rig(true, Actor::gated(), Policy { in_flight_lanes_max: 1, ..Policy::default() });
    rig.feed.record(0, "a", "1");
    rig.actor.until_seen(1).await;
    rig.feed.record(0, "b", "2");
    rig.feed.record(1, "c", "3");
    rig.feed.revoke(&[0]);
    rig.feed.record(0, "d", "4");
    rig.actor.open(10);
    rig.feed.end();
    rig.feed.until_done(2).await;
    assert_eq!(rig.actor.seen(), [vec!["1"], vec!["3"], vec!["4"]]);
    assert_eq!((rig.feed.done(0), rig.feed.done(1)), (vec![3], vec![1]));
    assert_eq!(rig.sink.values(), ["out 1", "out 3", "out 4"]);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_record_is_not_tried_again() {
    let rig = rig(true, Actor::gated(), Policy::default());
    rig.feed.record(0, "a", "retry 99 1");
    rig.actor.until_seen(1).await;
    rig.feed.revoke(&[0]);
    rig.feed.record(1, "b", "2");
    rig.actor.until_seen(2).await;
    rig.actor.open(10);
    rig.feed.end();
    let actor = rig.actor.clone();
    assert_eq!(rig.exit().await.expect("ended"), Exit::Done);
    assert_eq!(actor.seen().len(), 2);
}

#[tokio::test]
async fn a_full_program_pauses_its_source_and_goes_on_later() {
    let policy = Policy { waiting_records_max: 4, lane_batch_max: 1, ..Policy::default() };
    let rig = rig(true, Actor::gated(), policy);
    for number in 0..4 {
        rig.feed.record(0, "a", &format!("{number}"));
    }
    while !rig.feed.paused() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rig.actor.open(2);
    rig.feed.until_done(2).await;
    while rig.feed.paused() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(rig.feed.pauses(), 1);
    rig.actor.open(9);
    rig.feed.until_done(4).await;
}

#[tokio::test]
async fn a_closed_output_pipe_ends_a_mover_quietly() {
    let rig = rig(false, Actor::default(), Policy::default());
    rig.sink.fail_next(Error::closed_pipe("write to stdout"));
    rig.feed.record(0, "a", "1");
    let dead = rig.dead.clone();
    assert_eq!(rig.exit().await.expect("quiet"), Exit::Done);
    assert!(dead.values().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_ends_with_the_signal_loses_no_line_of_a_pipe() {
    let rig = rig(false, Actor::gated(), Policy { in_flight_lanes_max: 1, ..Policy::default() });
    rig.feed.record(0, "a", "1");
    rig.actor.until_seen(1).await;
    rig.feed.record(0, "b", "2");
    rig.sink.fail_next(Error::closed_pipe("write to stdout"));
    rig.trigger.request();
    rig.feed.record(0, "c", "3");
    tokio::time::sleep(Duration::from_millis(5)).await;
    rig.actor.open(1);
    let dead = rig.dead.clone();
    assert_eq!(rig.exit().await.expect("ended"), Exit::Failed);
    assert_eq!(dead.values(), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_does_not_hold_up_the_end_and_its_lines_are_kept() {
    let rig = rig(false, Actor::default(), Policy::default());
    rig.sink.stall();
    rig.feed.record(0, "a", "1");
    rig.actor.until_seen(1).await;
    rig.trigger.request();
    let (feed, dead) = (rig.feed.clone(), rig.dead.clone());
    let limit = Duration::from_millis(3 * DRAIN_MS_MAX);
    let ended = tokio::time::timeout(limit, rig.exit()).await.expect("it ends");
    let error = ended.expect_err("not all was taken");
    assert!(error.to_string().contains("not taken within 10 s"), "{error}");
    assert!(feed.closed());
    assert_eq!(dead.values(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_written_at_the_end_is_an_error_and_all_is_closed() {
    let rig = rig(false, Actor::default(), Policy::default());
    for key in ["a", "b"] {
        rig.feed.record(0, key, &format!("retry 99 {key}"));
    }
    rig.actor.until_seen(2).await;
    rig.dead.fail_next(Error::retry("write", "no space is left"));
    rig.trigger.request();
    let (feed, dead) = (rig.feed.clone(), rig.dead.clone());
    let error = rig.exit().await.expect_err("not kept");
    assert!(error.to_string().contains("no space is left"), "{error}");
    assert!(feed.closed());
    assert_eq!(dead.values(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_no_record_is_kept_too_when_time_runs_out() {
    let rig = rig(false, Actor::default(), Policy::default());
    // More than fit in the limit, with their waits.
    for _ in 0..60 {
        rig.dead.fail_next(Error::retry("write", "the disk is full"));
    }
    rig.feed.bad(0, b"\xff", "not UTF-8");
    tokio::time::sleep(Duration::from_millis(5)).await;
    rig.trigger.request();
    let (feed, dead) = (rig.feed.clone(), rig.dead.clone());
    assert!(rig.exit().await.is_err(), "it could not be kept");
    assert_eq!((feed.closed(), dead.values().len()), (true, 0));
}

#[tokio::test(start_paused = true)]
async fn a_signal_after_a_dead_letter_of_a_pipe_says_so_by_the_exit_code() {
    for (replays, expected) in [(false, Exit::Failed), (true, Exit::Done)] {
        let rig = rig(replays, Actor::default(), Policy::default());
        rig.feed.record(0, "a", "reject 1");
        rig.feed.until_done(1).await;
        rig.trigger.request();
        assert_eq!(rig.exit().await.expect("ended"), expected, "replays: {replays}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_in_trouble_is_asked_again_and_a_broken_one_ends_the_program() {
    let rig = rig(true, Actor::default(), Policy::default());
    rig.feed.fail(Error::retry("read", "the coordinator loads"));
    rig.feed.record(0, "a", "1");
    rig.feed.until_done(1).await;
    rig.feed.fail(Error::fatal("read", "another instance named x took over"));
    assert_eq!(rig.exit().await.expect_err("fenced").kind, Kind::Fatal);
}

#[tokio::test]
async fn a_batch_is_cut_by_records_and_by_bytes_but_one_record_always_goes() {
    let policy = Policy {
        lane_of: |_| Some(String::new()),
        lane_batch_bytes_max: 4,
        linger_ms: 20,
        ..Policy::default()
    };
    let rig = rig(true, Actor::default(), policy);
    for value in ["a", "bb", "cc", "ddddd", "e"] {
        rig.feed.record(0, "x", value);
    }
    rig.feed.end();
    rig.feed.until_done(5).await;
    assert_eq!(rig.actor.seen(), [vec!["a", "bb"], vec!["cc"], vec!["ddddd"], vec!["e"]]);
}
