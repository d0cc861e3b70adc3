//! The Kafka endpoint against a real broker, when `KAFKA_TEST_BOOTSTRAP` names one; else skipped,
//! and said so. `KAFKA_TEST_RESTART` (a shell command that stops the broker and starts it again,
//! keeping its data) makes the test of a restart run as well. Every test has its own topic.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::endpoint::kafka::{
    Cluster, ConsumerOptions, KafkaOptions, KafkaSink, KafkaSource, ensure_topic,
};
use common::endpoint::{Input, Lease, Position, Record, Sink, Source, Taken};
use common::error::{Error, Kind, Result};
use common::secret::Secret;

/// No step of a test takes longer; most take milliseconds.
const STEP: Duration = Duration::from_secs(60);

struct Rig {
    kafka: KafkaOptions,
    topic: String,
}

async fn rig(partitions: i32) -> Option<Rig> {
    let Ok(bootstrap) = std::env::var("KAFKA_TEST_BOOTSTRAP") else {
        eprintln!("skipped: KAFKA_TEST_BOOTSTRAP names no broker");
        return None;
    };
    let mut kafka = KafkaOptions::new(bootstrap, "kafka-test");
    kafka.partitions = partitions;
    let topic = format!("test_{}", uuid::Uuid::now_v7().simple());
    ensure_topic(&topic, &kafka).await.expect("a broker");
    Some(Rig { kafka, topic })
}

impl Rig {
    fn options(&self) -> ConsumerOptions {
        ConsumerOptions {
            group: format!("{}_group", self.topic),
            instance: None,
            exit_at_end: false,
            read_ahead: false,
        }
    }

    fn source(&self, options: &ConsumerOptions) -> KafkaSource {
        KafkaSource::open(std::slice::from_ref(&self.topic), &self.kafka, options)
            .expect("a source")
    }

    fn sink(&self) -> KafkaSink {
        KafkaSink::open(&self.topic, &self.kafka).expect("a sink")
    }

    async fn fill(&self, keys: &[&str]) {
        let records = (0..).zip(keys).map(|(n, key)| record(key, n)).collect();
        self.sink().send_all(records).await.expect("delivered");
    }
}

fn record(key: &str, number: usize) -> Record {
    let key = if key.is_empty() { None } else { Some(key.to_owned()) };
    Record { key, value: format!("{{\"n\":{number}}}").into_bytes(), headers: vec![] }
}

fn text(taken: &Taken) -> String {
    format!(
        "{}{}{}",
        taken.record.key.as_deref().unwrap_or("-"),
        String::from_utf8_lossy(&taken.record.value).replace("{\"n\":", "").replace('}', ""),
        if taken.fresh { "!" } else { "" }
    )
}

async fn next(source: &mut KafkaSource) -> Result<Input> {
    tokio::time::timeout(STEP, source.next()).await.expect("in time")
}

/// The next `count` records.
async fn take(source: &mut KafkaSource, count: usize) -> Vec<Taken> {
    let mut all = Vec::new();
    while all.len() < count {
        match next(source).await.expect("readable") {
            Input::Record(taken) => all.push(taken),
            Input::Revoked(_) | Input::Lost(_) => {}
            other => panic!("not expected: {other:?}"),
        }
    }
    all
}

/// The lease's answer; while a rebalance is under way there is none.
async fn held(lease: &Lease, at: Position) -> bool {
    let until = Instant::now() + STEP;
    loop {
        match lease.held(at).await {
            Ok(held) => return held,
            Err(error) => assert!(error.kind == Kind::Retry && Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn quiet(source: &mut KafkaSource, wait: Duration) -> bool {
    tokio::time::timeout(wait, source.next()).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_as_they_were_written_and_in_order() {
    let Some(rig) = rig(3).await else { return };
    let sink = rig.sink();
    let mut first = record("a", 0);
    first.headers.push(("trace".to_owned(), b"x".to_vec()));
    let mut deliveries = vec![sink.enqueue(first.clone()).await.expect("room")];
    for number in 1..5000 {
        deliveries.push(sink.enqueue(record("a", number)).await.expect("room"));
    }
    let mut last = -1;
    for delivery in deliveries {
        let delivered = delivery.delivered().await.expect("durable");
        assert_eq!(delivered.offset, last + 1);
        last = delivered.offset;
    }
    let mut source = rig.source(&ConsumerOptions { exit_at_end: true, ..rig.options() });
    let taken = take(&mut source, 5000).await;
    assert_eq!(taken[0].record, first);
    assert!((0..).zip(&taken).all(|(n, taken)| taken.record == {
        let mut r = record("a", n);
        r.headers.clone_from(&taken.record.headers);
        r
    }));
    assert!(taken.iter().all(|taken| !taken.fresh));
    assert!(matches!(next(&mut source).await, Ok(Input::End)));
    source.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_finished_records_are_not_read_again() {
    let Some(rig) = rig(1).await else { return };
    rig.fill(&["a", "b", "c", "d"]).await;
    let mut source = rig.source(&rig.options());
    let taken = take(&mut source, 4).await;
    for index in [0, 2, 3] {
        source.done(taken[index].at);
    }
    source.close().await.expect("closed");
    let mut source = rig.source(&rig.options());
    let again: Vec<_> = take(&mut source, 3).await.iter().map(text).collect();
    assert_eq!(again, ["b1", "c2", "d3"]);
    source.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_the_partitions_and_what_was_taken_away_is_said() {
    let Some(rig) = rig(6).await else { return };
    let keys: Vec<String> = (0..60).map(|n| format!("k{n}")).collect();
    rig.fill(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut first = rig.source(&rig.options());
    let taken = take(&mut first, 60).await;
    for taken in &taken {
        first.done(taken.at);
    }
    let mut second = rig.source(&rig.options());
    let Input::Revoked(revoked) = next(&mut first).await.expect("a rebalance") else {
        panic!("nothing was revoked")
    };
    assert!((1..=5).contains(&revoked.len()), "cooperative: {revoked:?}");
    let lease = first.lease();
    let gone = taken.iter().find(|taken| revoked.contains(&(0, taken.at.partition)));
    let kept = taken.iter().find(|taken| !revoked.contains(&(0, taken.at.partition)));
    assert!(!held(&lease, gone.expect("one").at).await);
    assert!(held(&lease, kept.expect("one").at).await);

    // Nothing is read twice: what was finished was committed when it was given away.
    rig.fill(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mine = 6 - revoked.len();
    let mut partitions = (BTreeSet::new(), BTreeSet::new());
    let mut count = 0;
    while count < 60 {
        let taken = tokio::select! {
            input = next(&mut first) => (input, &mut partitions.0),
            input = next(&mut second) => (input, &mut partitions.1),
        };
        if let (Ok(Input::Record(record)), seen) = taken {
            seen.insert(record.at.partition);
            count += 1;
        }
    }
    assert!(partitions.0.is_disjoint(&partitions.1));
    assert!(partitions.0.len() <= mine && partitions.1.len() <= revoked.len());
    assert!(quiet(&mut second, Duration::from_millis(500)).await, "no record twice");
    first.close().await.expect("closed");
    second.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_member_started_again_has_its_partitions_at_once() {
    let Some(rig) = rig(2).await else { return };
    rig.fill(&["a", "b"]).await;
    let options = ConsumerOptions { instance: Some("one".to_owned()), ..rig.options() };
    let mut source = rig.source(&options);
    take(&mut source, 2).await;
    source.close().await.expect("closed");
    let begun = Instant::now();
    let mut source = rig.source(&options);
    take(&mut source, 2).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    eprintln!("a named member was back after {:?}", begun.elapsed());
    source.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_members_with_one_name_the_older_ends_with_a_clear_error() {
    let Some(rig) = rig(2).await else { return };
    rig.fill(&["a", "b"]).await;
    let options = ConsumerOptions { instance: Some("one".to_owned()), ..rig.options() };
    let mut older = rig.source(&options);
    let taken = take(&mut older, 2).await;
    let mut newer = rig.source(&options);
    take(&mut newer, 2).await;
    let error = loop {
        if let Err(error) = next(&mut older).await {
            break error;
        }
    };
    assert_eq!(error.kind, Kind::Fatal);
    assert!(error.to_string().contains("another instance named one took over"), "{error}");
    let held = older.lease().held(taken[0].at).await;
    assert!(!matches!(held, Ok(true)), "{held:?}");
    older.close().await.expect("closed");
    newer.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_ahead_delivers_the_newest_of_each_key_and_then_all_that_is_fresh() {
    let Some(rig) = rig(1).await else { return };
    rig.fill(&["a", "b", "a", "", "a", "c", ""]).await;
    let options = ConsumerOptions { read_ahead: true, ..rig.options() };
    let mut source = rig.source(&options);
    let taken = take(&mut source, 5).await;
    assert_eq!(taken.iter().map(text).collect::<Vec<_>>(), ["b1", "-3", "a4", "c5", "-6"]);
    rig.fill(&["a", "a"]).await;
    let fresh = take(&mut source, 2).await;
    assert_eq!(fresh.iter().map(text).collect::<Vec<_>>(), ["a0!", "a1!"]);
    for taken in taken.iter().chain(&fresh) {
        source.done(taken.at);
    }
    source.close().await.expect("closed");
    // Superseded records are finished as well: nothing is left, and -e says so.
    let mut source = rig.source(&ConsumerOptions { exit_at_end: true, ..options });
    assert!(matches!(next(&mut source).await, Ok(Input::End)));
    source.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_ahead_ends_at_the_end_too() {
    let Some(rig) = rig(2).await else { return };
    rig.fill(&["a", "a", "b", "b"]).await;
    let mut source =
        rig.source(&ConsumerOptions { read_ahead: true, exit_at_end: true, ..rig.options() });
    let mut texts: Vec<_> = take(&mut source, 2).await.iter().map(text).collect();
    texts.sort();
    assert_eq!(texts, ["a1", "b3"]);
    assert!(matches!(next(&mut source).await, Ok(Input::End)));
    source.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_topics_are_read_by_one_member_to_the_end_of_each() {
    let (Some(one), Some(two)) = (rig(2).await, rig(3).await) else { return };
    one.fill(&["a", "b"]).await;
    two.fill(&["c", "d", "e"]).await;
    let topics = [one.topic.clone(), two.topic.clone()];
    let options = ConsumerOptions { exit_at_end: true, ..one.options() };
    let mut source = KafkaSource::open(&topics, &one.kafka, &options).expect("a source");
    let taken = take(&mut source, 5).await;
    for at in taken.iter().map(|taken| taken.at) {
        let of_two = source.name(at) == format!("kafka:{}", two.topic);
        assert_eq!(at.source, u16::from(of_two));
    }
    assert!(matches!(next(&mut source).await, Ok(Input::End)));
    source.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_source_takes_part_in_rebalances_and_goes_on_where_it_was() {
    let Some(rig) = rig(2).await else { return };
    rig.fill(&["a", "b", "c"]).await;
    let mut source = rig.source(&rig.options());
    take(&mut source, 3).await;
    source.pause(true);
    rig.fill(&["a", "b", "c"]).await;
    assert!(quiet(&mut source, Duration::from_secs(1)).await);
    source.pause(false);
    take(&mut source, 3).await;
    assert!(quiet(&mut source, Duration::from_millis(300)).await);
    source.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_confirmed_by_the_broker_once_for_many_and_then_for_a_while() {
    let Some(rig) = rig(1).await else { return };
    rig.fill(&["a"]).await;
    let mut source = rig.source(&rig.options());
    let at = take(&mut source, 1).await[0].at;
    let lease = source.lease();
    let begun = Instant::now();
    let all: Vec<_> = (0..20)
        .map(|_| {
            let lease = lease.clone();
            tokio::spawn(async move { lease.held(at).await })
        })
        .collect();
    for held in all {
        assert!(held.await.expect("no panic").expect("an answer"));
    }
    let first = begun.elapsed();
    let begun = Instant::now();
    for _ in 0..1000 {
        assert!(lease.held(at).await.expect("an answer"));
    }
    eprintln!("confirmed for 20 in {first:?}, asked 1000 times in {:?}", begun.elapsed());
    assert!(!lease.held(Position { epoch: at.epoch + 1, ..at }).await.expect("an answer"));
    // The commit of the lease moved nothing: the record is unfinished.
    source.close().await.expect("closed");
    let mut source = rig.source(&rig.options());
    assert_eq!(take(&mut source, 1).await[0].at.offset, at.offset);
    source.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_gave_up_takes_nothing_until_it_is_reopened() {
    let Some(rig) = rig(1).await else { return };
    let mut kafka = rig.kafka.clone();
    kafka.bootstrap = "127.0.0.1:1".to_owned();
    kafka.properties.push(("message.timeout.ms".to_owned(), Secret::new("500")));
    let sink = KafkaSink::open(&rig.topic, &kafka).expect("made without a broker");
    let first = sink.enqueue(record("a", 0)).await.expect("queued");
    let second = sink.enqueue(record("a", 1)).await.expect("queued");
    let is_retry = |error: &Error| error.kind == Kind::Retry;
    assert!(is_retry(&first.delivered().await.expect_err("given up")));
    assert!(is_retry(&second.delivered().await.expect_err("given up")));
    let error = sink.enqueue(record("a", 2)).await.expect_err("closed");
    assert!(is_retry(&error) && error.to_string().contains("until reopened"), "{error}");
    sink.reopen().await.expect("reopened");
    sink.enqueue(record("a", 3)).await.expect("taken again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_is_refused_and_the_next_one_is_written() {
    let Some(rig) = rig(1).await else { return };
    let sink = rig.sink();
    let sized = |bytes: usize| Record { value: vec![b'x'; bytes], ..record("a", 0) };
    let error = sink.send(sized(2 * 1024 * 1024 + 1)).await.expect_err("too large");
    assert_eq!(error.kind, Kind::Reject);
    let error = sink.send(sized(2 * 1024 * 1024)).await.expect_err("no room for its envelope");
    assert_eq!(error.kind, Kind::Reject);
    sink.send(sized(1024 * 1024 + 4096)).await.expect("a whole line and its headers");
    let mut source = rig.source(&rig.options());
    assert_eq!(take(&mut source, 1).await[0].record.value.len(), 1024 * 1024 + 4096);
    source.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_says_its_id_and_where_topics_end() {
    let Some(rig) = rig(1).await else { return };
    rig.fill(&["a", "b"]).await;
    let asked = tokio::task::spawn_blocking(move || {
        let cluster = Cluster::open(&rig.kafka)?;
        Ok::<_, Error>((cluster.id()?, cluster.end_offsets(&rig.topic)?))
    });
    let (id, ends) = asked.await.expect("no panic").expect("an answer");
    assert!(!id.is_empty());
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(0, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restart_loses_nothing_and_ends_nobody() {
    let Some(rig) = rig(2).await else { return };
    let Ok(restart) = std::env::var("KAFKA_TEST_RESTART") else {
        eprintln!("skipped: KAFKA_TEST_RESTART says no command");
        return;
    };
    rig.fill(&["a"]).await;
    let mut source = rig.source(&rig.options());
    take(&mut source, 1).await;
    let sink = rig.sink();
    let writer = tokio::spawn(async move {
        for number in 0..600 {
            sink.send(record("b", number)).await.expect("delivered");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let command = tokio::task::spawn_blocking(move || {
        std::process::Command::new("sh").args(["-c", &restart]).status()
    });
    let (mut numbers, mut last) = (Vec::new(), None);
    while numbers.len() < 600 {
        match next(&mut source).await.expect("no fatal error") {
            Input::Record(taken) => {
                source.done(taken.at);
                last = Some(taken.at);
                // After a restart longer than the session time-out the last second comes again.
                let mine = taken.record.key.as_deref() == Some("b");
                if mine && !numbers.contains(&taken.record.value) {
                    numbers.push(taken.record.value);
                }
            }
            Input::Revoked(_) | Input::Lost(_) | Input::Bad { .. } | Input::End => {}
        }
    }
    writer.await.expect("no panic");
    assert!(command.await.expect("no panic").expect("a shell").success());
    let expected: Vec<_> = (0..600).map(|n| record("b", n).value).collect();
    assert_eq!(numbers, expected);
    assert!(held(&source.lease(), last.expect("some")).await);
    source.close().await.expect("closed");
}
