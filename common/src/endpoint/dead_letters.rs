//! Dead letters: records that can never succeed, kept as they were, with the reason, where people
//! find them: the topic `<origin>.dlq`, a topic of one's own, or a file of NDJSON. A record counts
//! as put there only once it is durable. Never dropped, never changed.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::value::RawValue;

use super::kafka::{KafkaOptions, KafkaSink, ensure_topic};
use super::memory::MemorySink;
use super::{Delivery, Position, Record, Sink, Spec};
use crate::clock;
use crate::error::{Error, Kind, Result};

/// A record and why it can never succeed.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub record: Record,
    pub at: Position,
    /// As in `kafka:customer_events` or `-`.
    pub origin: String,
    pub error: String,
    pub attempts: u32,
}

/// Where they go. Clones share it; what it needs is opened by the first dead letter.
#[derive(Clone, Debug)]
pub struct DeadLetters(Arc<Place>);

#[derive(Debug)]
enum Place {
    File { path: PathBuf, file: Mutex<Option<File>> },
    Topic { topic: Option<String>, kafka: KafkaOptions, sinks: tokio::sync::Mutex<Sinks> },
    Memory(MemorySink),
}

type Sinks = HashMap<String, KafkaSink>;

/// Ending of the topic for dead letters, after the name of the topic they come from.
const TOPIC_ENDING: &str = ".dlq";

impl DeadLetters {
    /// What `--dlq` says: `kafka:TOPIC` or a file. Without it: `<origin>.dlq` for records from a
    /// topic, `./PROGRAM.dlq.ndjson` for lines.
    pub fn open(
        flag: Option<&str>,
        from: &[Spec],
        program: &str,
        kafka: &KafkaOptions,
    ) -> Result<Self> {
        let topic = |topic| Place::Topic {
            topic,
            kafka: kafka.clone(),
            sinks: tokio::sync::Mutex::default(),
        };
        let file = |path: PathBuf| Place::File { path, file: Mutex::default() };
        let place = match flag {
            Some("" | "-") => {
                return Err(Error::fatal("read --dlq", "it takes kafka:TOPIC or a file")
                    .hint("stdout is for records only; /dev/stderr is a file"));
            }
            Some(text) if text.starts_with("kafka:") => match Spec::parse("--dlq", text)? {
                Spec::Kafka(name) => topic(Some(name)),
                Spec::Pipe => return Err(Error::fatal("read --dlq", "it takes no pipe")),
            },
            Some(path) => file(PathBuf::from(path)),
            None if from.contains(&Spec::Pipe) => file(PathBuf::from(default_file(program))),
            None => topic(None),
        };
        Ok(Self(Arc::new(place)))
    }

    /// For tests.
    pub fn memory(sink: MemorySink) -> Self {
        Self(Arc::new(Place::Memory(sink)))
    }

    /// Returns when the record is durable there. `Retry` errors may be tried again.
    pub async fn put(&self, letter: DeadLetter) -> Result<()> {
        self.put_all(vec![letter]).await.1
    }

    /// Puts several in order, waiting once for all of them. How many of them are durable, counted
    /// from the first, and why no more are.
    pub async fn put_all(&self, letters: Vec<DeadLetter>) -> (usize, Result<()>) {
        let count = letters.len();
        if let Place::File { path, .. } = &*self.0 {
            let (this, path) = (self.clone(), path.clone());
            let written = tokio::task::spawn_blocking(move || this.append(&letters)).await;
            let failed = |error| Err(Error::retry(write_operation(&path), error));
            let result = written.unwrap_or_else(failed);
            return (if result.is_ok() { count } else { 0 }, result);
        }
        let (mut deliveries, mut result) = (Vec::with_capacity(count), Ok(()));
        for letter in letters {
            match self.enqueue(letter).await {
                Ok(delivery) => deliveries.push(delivery),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let sent = deliveries.len();
        for (index, delivery) in deliveries.into_iter().enumerate() {
            if let Err(error) = delivery.delivered().await {
                return (index, Err(error));
            }
        }
        (sent, result)
    }

    async fn enqueue(&self, letter: DeadLetter) -> Result<Delivery> {
        match &*self.0 {
            Place::File { path, .. } => Err(Error::fatal(write_operation(path), "it is a file")),
            Place::Topic { topic, kafka, sinks } => {
                let origin = letter.origin.trim_start_matches("kafka:");
                let topic = topic.clone().unwrap_or_else(|| format!("{origin}{TOPIC_ENDING}"));
                let mut sinks = sinks.lock().await;
                let sink = if let Some(sink) = sinks.get(&topic) {
                    sink.clone()
                } else {
                    ensure_topic(&topic, kafka).await?;
                    let sink = KafkaSink::open(&topic, kafka)?;
                    sinks.insert(topic, sink.clone());
                    sink
                };
                drop(sinks);
                // Where it gave up on a letter, that one is put again by whoever put it.
                sink.reopen().await?;
                sink.enqueue(with_headers(letter)).await
            }
            Place::Memory(sink) => sink.enqueue(with_headers(letter)).await,
        }
    }

    /// One write and one wait for the disk, however many.
    fn append(&self, letters: &[DeadLetter]) -> Result<()> {
        let Place::File { path, file } = &*self.0 else { return Ok(()) };
        let failed = |error| Error::new(file_kind(&error), write_operation(path), error);
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match file.take() {
            Some(opened) => opened,
            None => open_file(path).map_err(failed)?,
        };
        let mut lines = String::new();
        for letter in letters {
            let line = envelope(letter);
            lines += &line.map_err(|error| Error::fatal(write_operation(path), error))?;
            lines.push('\n');
        }
        (&opened).write_all(lines.as_bytes()).and_then(|()| sync(&opened)).map_err(failed)?;
        *file = Some(opened);
        Ok(())
    }
}

/// The file used by default for lines that are refused.
pub fn default_file(program: &str) -> String {
    format!("./{program}.dlq.ndjson")
}

fn write_operation(path: &Path) -> String {
    format!("write a dead letter to {}", path.display())
}

fn open_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true);
    // Records hold personal data: a file we make is for its owner.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // A pipe or a terminal cannot always be opened for reading.
        Err(_) if path.exists() => OpenOptions::new().append(true).open(path),
        Err(error) => Err(error),
        Ok(file) => {
            end_line(&file)?;
            Ok(file)
        }
    }
}

/// A program killed while it wrote leaves half a line: the next one must not be joined to it.
fn end_line(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() > 0 {
        let mut last = [0];
        file.read_exact_at(&mut last, metadata.len() - 1)?;
        if last != *b"\n" {
            let mut file = file;
            file.write_all(b"\n")?;
        }
    }
    Ok(())
}

fn sync(file: &File) -> std::io::Result<()> {
    if file.metadata()?.is_file() { file.sync_data() } else { Ok(()) }
}

/// A full disk may be emptied; a place that cannot be written to is the operator's to mend.
fn file_kind(error: &std::io::Error) -> Kind {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory => Kind::Fatal,
        // All others (a full disk, an interrupted call): the record is kept and tried again.
        other => {
            log::debug!("dead letters: {other:?}");
            Kind::Retry
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a str,
    attempts: u32,
    origin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    at: String,
    /// The record itself where it is JSON, else its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// What is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

fn envelope(letter: &DeadLetter) -> serde_json::Result<String> {
    let text = std::str::from_utf8(&letter.record.value).ok();
    let record = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    // Only what stands on one line can stand as it is.
    let record = record.filter(|record| !record.get().contains(['\n', '\r']));
    let line = letter.origin == "-";
    serde_json::to_string(&Envelope {
        error: &letter.error,
        attempts: letter.attempts,
        origin: &letter.origin,
        line: line.then_some(letter.at.offset),
        partition: (!line).then_some(letter.at.partition),
        offset: (!line).then_some(letter.at.offset),
        key: letter.record.key.as_deref(),
        at: clock::rfc3339(clock::now_ms()),
        record,
        text: if record.is_none() { text } else { None },
        hex: if text.is_none() { Some(hex::encode(&letter.record.value)) } else { None },
    })
}

pub const ERROR: &str = "error";
pub const ATTEMPTS: &str = "attempts";
pub const ORIGIN_TOPIC: &str = "origin_topic";
pub const ORIGIN_PARTITION: &str = "origin_partition";
pub const ORIGIN_OFFSET: &str = "origin_offset";
pub const FAILED_AT: &str = "failed_at";

/// The headers of a dead letter.
pub const HEADERS: [&str; 6] =
    [ERROR, ATTEMPTS, ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET, FAILED_AT];

/// The header of a record that was put back: where its dead letter lies. Newer ones may stand
/// before it, so a reader takes it neither for new nor for the newest.
pub const REDRIVEN: &str = "redriven";

/// The record as it was, with what a person needs to know in headers.
fn with_headers(letter: DeadLetter) -> Record {
    let mut record = letter.record;
    // A dead letter put back that dies again tells its last death.
    record.headers.retain(|(name, _)| !HEADERS.contains(&name.as_str()));
    let values = [
        letter.error,
        letter.attempts.to_string(),
        letter.origin.trim_start_matches("kafka:").to_owned(),
        letter.at.partition.to_string(),
        letter.at.offset.to_string(),
        clock::rfc3339(clock::now_ms()),
    ];
    for (name, value) in HEADERS.iter().zip(values) {
        record.headers.push(((*name).to_owned(), value.into_bytes()));
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(value: &[u8], origin: &str) -> DeadLetter {
        DeadLetter {
            record: Record { key: None, value: value.to_vec(), headers: vec![] },
            at: Position { source: 0, partition: 2, offset: 7, epoch: 1 },
            origin: origin.to_owned(),
            error: "no such field".to_owned(),
            attempts: 1,
        }
    }

    #[tokio::test]
    async fn a_file_keeps_each_record_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.ndjson");
        let kafka = KafkaOptions::new("127.0.0.1:1", "test");
        let open = || DeadLetters::open(path.to_str(), &[Spec::Pipe], "test", &kafka);
        let letters = open().expect("a file");
        letters.put(letter(b"{\"a\": 1.0}", "-")).await.expect("durable");
        letters.put(letter(b"{\"a\":", "-")).await.expect("durable");
        // Half a line, as a kill leaves it.
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"{\"error\":").expect("written");
        open().expect("a file").put(letter(b"\xff", "kafka:t")).await.expect("durable");

        let text = std::fs::read_to_string(&path).expect("readable");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("\"record\":{\"a\": 1.0}") && lines[0].contains("\"line\":7"));
        assert!(lines[1].contains("\"text\":\"{\\\"a\\\":\""), "{}", lines[1]);
        assert_eq!(lines[2], "{\"error\":");
        assert!(lines[3].contains("\"hex\":\"ff\"") && lines[3].contains("\"partition\":2"));
    }

    #[tokio::test]
    async fn several_are_put_in_order_and_counted_up_to_the_first_that_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.ndjson");
        let kafka = KafkaOptions::new("127.0.0.1:1", "test");
        let letters = DeadLetters::open(path.to_str(), &[], "test", &kafka).expect("a file");
        let three = || (0..3).map(|n| letter(format!("{{\"n\":{n}}}").as_bytes(), "-")).collect();
        let (put, result) = letters.put_all(three()).await;
        assert_eq!((put, result.is_ok()), (3, true));
        let text = std::fs::read_to_string(&path).expect("readable");
        let order: Vec<_> = text.lines().map(|it| it.contains("\"n\":1")).collect();
        assert_eq!(order, [false, true, false]);

        let sink = MemorySink::new();
        sink.fail_at(1, Error::retry("write", "away"));
        let (put, result) = DeadLetters::memory(sink.clone()).put_all(three()).await;
        assert_eq!((put, result.is_err(), sink.values().len()), (1, true, 1));
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_for_the_operator() {
        let kafka = KafkaOptions::new("127.0.0.1:1", "test");
        let letters = DeadLetters::open(Some("/does/not/exist"), &[], "test", &kafka);
        let error = letters.expect("named").put(letter(b"{}", "-")).await.expect_err("no folder");
        assert_eq!(error.kind, Kind::Fatal);
        assert!(DeadLetters::open(Some("-"), &[], "test", &kafka).is_err());
        assert!(DeadLetters::open(Some("kafka:a b"), &[], "test", &kafka).is_err());
    }

    #[tokio::test]
    async fn headers_say_why_and_where_from_and_the_value_is_untouched() {
        let sink = MemorySink::new();
        let mut first = letter(b"{\"a\": 1}", "kafka:customer_events");
        first.record.headers.push(("error".into(), b"older".to_vec()));
        first.record.headers.push(("trace".into(), b"1".to_vec()));
        DeadLetters::memory(sink.clone()).put(first).await.expect("kept");
        let record = sink.records().remove(0);
        assert_eq!(record.value, b"{\"a\": 1}");
        let header = |name: &str| {
            let found = record.headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        assert_eq!(header("error").as_deref(), Some("no such field"));
        assert_eq!(header("origin_topic").as_deref(), Some("customer_events"));
        assert_eq!(header("origin_offset").as_deref(), Some("7"));
        assert_eq!(header("trace").as_deref(), Some("1"));
    }
}
