//! Puts dead letters back: each record as it was, with its key, on the topic it came from. It
//! counts as put back once the broker has it; a crash before that is remembered puts it back twice,
//! which harms nobody, and never loses it.

use std::collections::BTreeMap;

use common::endpoint::dead_letters::REDRIVEN;
use common::endpoint::kafka::{KafkaOptions, KafkaSink, ensure_topic};
use common::endpoint::ndjson::NdjsonSink;
use common::endpoint::{AnySink, Delivery, Record, Sink as _, Spec};
use common::error::{Error, Kind, Result};

use crate::input::Letters;
use crate::letter::{At, Letter, Origin};

/// Records on their way at once; then what became of them is remembered.
const IN_FLIGHT_MAX: usize = 500;

/// Where records go, and what is on its way there.
#[derive(Debug)]
pub struct Redrive {
    to: Option<Spec>,
    kafka: KafkaOptions,
    sinks: BTreeMap<String, AnySink>,
    in_flight: Vec<(At, Delivery)>,
    pub put_back: u64,
    /// Refused for good: too large for where they should go, or of unknown origin.
    pub refused: u64,
}

impl Redrive {
    pub fn new(to: Option<Spec>, kafka: KafkaOptions) -> Self {
        let (sinks, in_flight) = (BTreeMap::new(), Vec::new());
        Self { to, kafka, sinks, in_flight, put_back: 0, refused: 0 }
    }

    /// Where this letter's record belongs.
    pub fn target(&self, letter: &Letter) -> Result<Spec> {
        let refuse = |cause: &str| {
            Err(Error::reject(format!("put back {}", letter.at), cause)
                .hint("--to says where to, as in --to kafka:customer_events"))
        };
        match (&self.to, &letter.origin) {
            (Some(to), _) => Ok(to.clone()),
            (None, Some(Origin::Topic { topic, .. })) => {
                Spec::parse("origin", &format!("kafka:{topic}"))
                    .map_err(|error| Error { kind: Kind::Reject, ..error })
            }
            (None, Some(Origin::Pipe { .. })) => refuse("it came from a pipe"),
            (None, None) => refuse("it does not say where it came from"),
        }
    }

    /// Sends the letter's record on its way.
    pub async fn put(&mut self, letter: Letter, letters: &mut Letters) -> Result<()> {
        let sent = self.send(&letter).await;
        match sent {
            Ok(delivery) => self.in_flight.push((letter.at, delivery)),
            Err(error) if error.kind == Kind::Reject => self.refuse(&error),
            Err(error) => {
                self.settle(letters).await?;
                return Err(error);
            }
        }
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            self.settle(letters).await?;
        }
        Ok(())
    }

    async fn send(&mut self, letter: &Letter) -> Result<Delivery> {
        let to = self.target(letter)?;
        let mut record: Record = letter.record.clone();
        record.headers.push((REDRIVEN.to_owned(), letter.at.to_string().into_bytes()));
        self.sink(&to).await?.enqueue(record).await
    }

    async fn sink(&mut self, to: &Spec) -> Result<AnySink> {
        let name = to.to_string();
        if let Some(sink) = self.sinks.get(&name) {
            return Ok(sink.clone());
        }
        let sink = match to {
            Spec::Pipe => AnySink::Pipe(NdjsonSink::stdout()?),
            Spec::Kafka(topic) => {
                ensure_topic(topic, &self.kafka).await?;
                AnySink::Kafka(KafkaSink::open(topic, &self.kafka)?)
            }
        };
        self.sinks.insert(name, sink.clone());
        Ok(sink)
    }

    /// Waits for all that is on its way, and remembers what arrived. What was handed on to a pipe
    /// is not durable: it is not remembered.
    pub async fn settle(&mut self, letters: &mut Letters) -> Result<()> {
        let mut failed = None;
        let mut arrived = false;
        for (at, delivery) in std::mem::take(&mut self.in_flight) {
            match delivery.delivered().await {
                Ok(_) => {
                    self.put_back += 1;
                    if self.to != Some(Spec::Pipe) {
                        letters.put_back(&at);
                        arrived = true;
                    }
                }
                Err(error) if error.kind == Kind::Reject => self.refuse(&error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if arrived {
            letters.remember().await?;
        }
        failed.map_or(Ok(()), Err)
    }

    fn refuse(&mut self, error: &Error) {
        self.refused += 1;
        log::error!("{error}");
        // Said once: it is the same for all of them.
        if let (1, Some(hint)) = (self.refused, &error.hint) {
            log::error!("hint: {hint}");
        }
    }
}
