use common::endpoint::memory::MemorySink;
use common::shutdown;
use common::stripe::Page;
use serde_json::json;
use std::sync::Mutex;

use super::*;

/// Events as (number, created); listed newest first, two a page.
#[derive(Debug, Default)]
struct Stripe {
    events: Mutex<Vec<(u32, Seconds)>>,
    asked: Mutex<Vec<Seconds>>,
}

impl Stripe {
    fn add(&self, number: u32, created: Seconds) {
        self.events.lock().expect("no panic").push((number, created));
    }
}

impl Lister for Stripe {
    async fn page(&self, since: Seconds, after: Option<String>) -> Result<Page> {
        let mut events = self.events.lock().expect("no panic").clone();
        if after.is_none() {
            self.asked.lock().expect("no panic").push(since);
        }
        events.retain(|(_, created)| *created >= since);
        events.sort_by_key(|(number, created)| (-created, std::cmp::Reverse(*number)));
        let id = |number: u32| format!("evt_{number}");
        let from = after.map_or(0, |after| {
            1 + events.iter().position(|(number, _)| id(*number) == after).expect("known")
        });
        let items: Vec<_> = events[from..].iter().take(2).collect();
        let has_more = from + items.len() < events.len();
        let items = items.into_iter().map(|(number, created)| {
            let event = json!({"id": id(*number), "object": "event", "created": created,
                "type": "customer.updated",
                "data": {"object": {"id": format!("cus_{number}"), "object": "customer"}}});
            let text = serde_json::to_string_pretty(&event).expect("prints");
            RawValue::from_string(text).expect("JSON")
        });
        Ok(Page { items: items.collect(), has_more, date: None })
    }
}

fn tail(sink: AnySink, position: Seconds) -> Tail<Stripe> {
    let (trigger, shutdown) = shutdown::channel();
    std::mem::forget(trigger);
    Tail {
        events: Stripe::default(),
        writer: Writer { sink, shutdown },
        state: State { position, to: "memory".into(), ..State::default() },
        file: None,
        kafka: KafkaOptions::new("127.0.0.1:1", "test"),
        seen: Seen::default(),
    }
}

fn keys(sink: &MemorySink) -> Vec<String> {
    sink.records().into_iter().filter_map(|record| record.key).collect()
}

#[tokio::test]
async fn events_are_written_oldest_first_once_and_on_one_line() {
    let sink = MemorySink::new();
    let mut tail = tail(AnySink::Memory(sink.clone()), 0);
    for number in 1..=5 {
        tail.events.add(number, 1000 + i64::from(number));
    }
    for _ in 0..3 {
        tail.round().await.expect("a round");
    }
    assert_eq!(keys(&sink), ["cus_1", "cus_2", "cus_3", "cus_4", "cus_5"]);
    assert!(sink.values().iter().all(|value| !value.contains(['\n', ' '])));
    assert_eq!((tail.state.position, tail.seen.written), (1005, 5));
}

#[tokio::test]
async fn an_event_that_shows_late_or_in_the_same_second_is_written() {
    let sink = MemorySink::new();
    let mut tail = tail(AnySink::Memory(sink.clone()), 0);
    tail.events.add(1, 1000);
    tail.round().await.expect("a round");
    tail.events.add(2, 1000);
    tail.events.add(3, 1000 - OVERLAP_S);
    tail.events.add(4, 1000 - OVERLAP_S - 1);
    tail.round().await.expect("a round");
    assert_eq!(keys(&sink), ["cus_1", "cus_3", "cus_2"]);
}

#[tokio::test]
async fn what_was_not_delivered_is_written_again_and_the_position_waits_for_it() {
    let sink = MemorySink::new();
    let mut tail = tail(AnySink::Memory(sink.clone()), 0);
    for number in 1..=4 {
        tail.events.add(number, 1000 * i64::from(number));
    }
    // Of the second page (3 and 4) the first record fails.
    tail.round().await.expect("a round");
    tail.events.add(5, 5000);
    tail.events.add(6, 6000);
    sink.fail_next(Error::retry("write", "the broker is away"));
    assert!(tail.round().await.is_err());
    assert_eq!(tail.state.position, 4000);
    tail.round().await.expect("a round");
    assert_eq!(keys(&sink), ["cus_1", "cus_2", "cus_3", "cus_4", "cus_5", "cus_6"]);
}

#[tokio::test]
async fn a_start_on_a_pipe_reads_the_last_day_again_but_only_once() {
    let sink = common::endpoint::ndjson::NdjsonSink::new(std::io::sink()).expect("a pipe");
    let mut tail = tail(AnySink::Pipe(sink), 1_000_000);
    tail.round().await.expect("a round");
    tail.round().await.expect("a round");
    let asked = tail.events.asked.lock().expect("no panic").clone();
    assert_eq!(asked, [1_000_000 - PIPE_OVERLAP_S, 1_000_000 - OVERLAP_S]);
}

#[tokio::test]
async fn a_record_that_can_never_be_written_holds_up_nobody() {
    let sink = MemorySink::new();
    let mut tail = tail(AnySink::Memory(sink.clone()), 0);
    tail.events.add(1, 1000);
    tail.events.add(2, 2000);
    sink.fail_next(Error::reject("write", "too large"));
    tail.round().await.expect("a round");
    tail.round().await.expect("a round");
    assert_eq!(keys(&sink), ["cus_2"]);
    assert_eq!((tail.seen.written, tail.seen.rejected), (1, 1));
}

#[tokio::test]
async fn what_is_no_event_of_stripes_is_an_error() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
    for text in ["{}", "[]", r#"{"object":"customer","id":"cus_1"}"#] {
        assert_eq!(record(&raw(text)).expect_err(text).kind, Kind::Retry, "{text}");
    }
}

#[test]
fn waits_grow_to_their_limit() {
    for failures in 1..40 {
        let full = (0.5 * 2_f64.powi(failures - 1)).min(60.0);
        let wait = backoff(failures.unsigned_abs()).as_secs_f64();
        assert!(wait <= full && wait >= full / 2.0, "{failures}: {wait}");
    }
}
