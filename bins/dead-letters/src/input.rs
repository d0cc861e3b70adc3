//! Where dead letters are read: a topic, from where it begins or from where redriving stands; a
//! file; stdin.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::str::FromStr;
use std::sync::Arc;

use common::endpoint::kafka::{KafkaOptions, Scan, Scanned};
use common::endpoint::ndjson::NdjsonSource;
use common::endpoint::{Input, Source as _, Spec};
use common::error::{Error, Result};
use tokio::sync::mpsc;

use crate::letter::{At, Letter};
use crate::parse;
use crate::redriven::Redriven;

/// What `--from` says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    Stdin,
    Topic(String),
    File(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "-" => Ok(Self::Stdin),
            "" => Err("it takes kafka:TOPIC, a file or -".to_owned()),
            _ if text.starts_with("kafka:") => match text.parse::<Spec>()? {
                Spec::Kafka(topic) => Ok(Self::Topic(topic)),
                Spec::Pipe => Ok(Self::Stdin),
            },
            path => Ok(Self::File(path.to_owned())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::Topic(topic) => write!(f, "kafka:{topic}"),
            Self::File(path) => f.write_str(path),
        }
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    Letter(Box<Letter>),
    /// A line that is none; it is passed over.
    Bad(String),
    End,
}

/// One opened source of dead letters.
#[derive(Debug)]
pub enum Letters {
    Lines { name: String, lines: NdjsonSource },
    Topic(TopicLetters),
}

#[derive(Debug)]
pub struct TopicLetters {
    topic: String,
    scan: Arc<Scan>,
    records: mpsc::Receiver<Result<Scanned>>,
    redriven: BTreeMap<i32, Redriven>,
}

impl Letters {
    /// `all`: from the oldest on, also what was put back before.
    pub async fn open(from: &Place, kafka: &KafkaOptions, group: &str, all: bool) -> Result<Self> {
        let name = from.to_string();
        match from {
            Place::Stdin => Ok(Self::Lines { name, lines: NdjsonSource::stdin()? }),
            Place::File(path) => {
                let file = File::open(path).map_err(|error| {
                    Error::fatal(format!("read {path}"), error).hint("a topic is kafka:TOPIC")
                })?;
                Ok(Self::Lines { name, lines: NdjsonSource::new(file)? })
            }
            Place::Topic(topic) => {
                let (topic, kafka, group) = (topic.clone(), kafka.clone(), group.to_owned());
                blocking(move || open_topic(&topic, &kafka, &group, all)).await.map(Self::Topic)
            }
        }
    }

    /// Cancel-safe.
    pub async fn next(&mut self) -> Result<Next> {
        match self {
            Self::Lines { name, lines } => {
                let (value, number) = match lines.next().await? {
                    Input::Record(taken) => (taken.record.value, taken.at.offset),
                    // Around a record stands its envelope: what is too long for a record is not
                    // for this.
                    Input::Bad { at, value, .. } => (value, at.offset),
                    Input::Revoked(_) => return Ok(Next::Bad(String::new())),
                    Input::Lost(error) => return Err(error),
                    Input::End => return Ok(Next::End),
                };
                Ok(match parse::line(&value, name, number) {
                    Ok(letter) => Next::Letter(Box::new(letter)),
                    Err(why) => Next::Bad(format!("{name} line {number}: {why}")),
                })
            }
            Self::Topic(topic) => topic.next().await,
        }
    }

    /// This letter was put back, and that is durable.
    pub fn put_back(&mut self, at: &At) {
        if let (Self::Topic(letters), At::Topic { partition, offset, .. }) = (self, at) {
            letters.redriven.entry(*partition).or_default().add(*offset);
        }
    }

    /// Makes what was put back known to the next who asks. Files remember nothing.
    pub async fn remember(&self) -> Result<()> {
        let Self::Topic(letters) = self else { return Ok(()) };
        let mark = |(partition, redriven): (&i32, &Redriven)| {
            let (offset, text) = redriven.mark();
            (*partition, offset, text)
        };
        let marks: Vec<_> = letters.redriven.iter().map(mark).collect();
        let scan = Arc::clone(&letters.scan);
        blocking(move || scan.remember(&marks)).await
    }
}

fn open_topic(topic: &str, kafka: &KafkaOptions, group: &str, all: bool) -> Result<TopicLetters> {
    let scan = Scan::open(topic, kafka, group)?;
    let (mut from, mut redriven) = (Vec::new(), BTreeMap::new());
    for span in scan.spans()? {
        let committed = span.committed.as_ref().map(|(offset, text)| (*offset, text.as_str()));
        let known = Redriven::read(committed, span.low, span.end);
        let start = if all { span.low } else { known.next() };
        from.push((span.partition, start, span.end));
        redriven.insert(span.partition, known);
    }
    let records = scan.read(&from)?;
    Ok(TopicLetters { topic: topic.to_owned(), scan: Arc::new(scan), records, redriven })
}

impl TopicLetters {
    async fn next(&mut self) -> Result<Next> {
        let Some(scanned) = self.records.recv().await.transpose()? else { return Ok(Next::End) };
        let (partition, offset) = (scanned.partition, scanned.offset);
        let at = At::Topic { topic: self.topic.clone(), partition, offset };
        let mut letter = parse::record(scanned.record, at);
        letter.redriven =
            self.redriven.get(&partition).is_some_and(|redriven| redriven.contains(offset));
        Ok(Next::Letter(Box::new(letter)))
    }
}

/// Runs it on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => Err(Error::retry("ask the broker", panicked)),
    }
}
