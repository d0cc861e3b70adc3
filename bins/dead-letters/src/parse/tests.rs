use common::endpoint::kafka::KafkaOptions;
use common::endpoint::memory::MemorySink;
use common::endpoint::{DeadLetters, Position, dead_letters::DeadLetter};

use super::*;

fn dead(value: &[u8], origin: &str) -> DeadLetter {
    DeadLetter {
        record: Record {
            key: Some("c1".into()),
            value: value.to_vec(),
            headers: vec![("trace".into(), b"1".to_vec())],
        },
        at: Position { source: 0, partition: 2, offset: 7, epoch: 1 },
        origin: origin.to_owned(),
        error: "no such field".to_owned(),
        attempts: 3,
    }
}

fn came_from_a_topic(letter: &Letter) {
    let origin = Origin::Topic { topic: "events".into(), partition: Some(2), offset: Some(7) };
    assert_eq!(letter.origin, Some(origin));
    assert_eq!((letter.error.as_str(), letter.attempts), ("no such field", Some(3)));
    assert!(letter.failed_at.as_ref().is_some_and(|at| at.ends_with('Z')));
    assert_eq!(letter.record.key.as_deref(), Some("c1"));
}

#[tokio::test]
async fn what_a_program_writes_to_a_topic_is_read_as_it_was() {
    let sink = MemorySink::new();
    DeadLetters::memory(sink.clone()).put(dead(b"{\"a\": 1}", "kafka:events")).await.expect("put");
    let at = At::Topic { topic: "events.dlq".into(), partition: 0, offset: 9 };
    let letter = record(sink.records().remove(0), at);
    came_from_a_topic(&letter);
    assert_eq!(letter.record, dead(b"{\"a\": 1}", "").record, "with its own header, and no other");
}

#[tokio::test]
async fn what_a_program_writes_to_a_file_is_read_as_it_was_and_so_is_what_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.ndjson");
    let kafka = KafkaOptions::new("127.0.0.1:1", "test");
    let letters = DeadLetters::open(path.to_str(), &[], "test", &kafka).expect("a file");
    let values: [&[u8]; 4] = [b"{\"a\": 1.0}", b"not json", b"\xff\x00", b"{\"a\":\n1}"];
    for value in values {
        letters.put(dead(value, "kafka:events")).await.expect("durable");
    }
    letters.put(dead(b"{}", "-")).await.expect("durable");
    let text = std::fs::read_to_string(&path).expect("readable");
    for (text, value) in text.lines().zip(values) {
        let letter = line(text.as_bytes(), "x", 1).expect(text);
        came_from_a_topic(&letter);
        assert_eq!(letter.record.value, value);
        // Shown, kept, and read again: still the same.
        let shown = letter.whole().expect("prints");
        let again = line(&shown, "y", 1).expect("reads");
        came_from_a_topic(&again);
        assert_eq!(again.record.value, value);
    }
    let piped = line(text.lines().last().unwrap_or_default().as_bytes(), "x", 5).expect("reads");
    assert_eq!(piped.origin, Some(Origin::Pipe { line: Some(7) }));
}

#[test]
fn a_line_of_kcat_is_a_dead_letter_with_its_place_in_the_topic() {
    let kcat = r#"{"topic":"events.dlq","partition":1,"offset":4,"tstype":"create","ts":1,
        "headers":["trace","1","error","no such field","attempts","3","origin_topic","events",
        "origin_partition","2","origin_offset","7","failed_at","2026-11-24T07:00:00.000Z"],
        "key":"c1","payload":"{\"a\": 1}"}"#;
    let letter = line(kcat.as_bytes(), "-", 1).expect("reads");
    came_from_a_topic(&letter);
    assert_eq!(letter.record, dead(b"{\"a\": 1}", "").record);
    assert_eq!(letter.at.to_string(), "kafka:events.dlq 1:4");
}

#[test]
fn what_is_no_dead_letter_is_named_in_words() {
    for (text, word) in [
        ("{\"error\":", "EOF"),
        ("{}", "no error"),
        (r#"{"error":"x"}"#, "record is missing"),
        (r#"{"error":"x","hex":"0"}"#, "hex"),
        ("[]", "invalid"),
    ] {
        let error = line(text.as_bytes(), "-", 1).expect_err(text);
        assert!(error.contains(word), "{text}: {error}");
    }
}
