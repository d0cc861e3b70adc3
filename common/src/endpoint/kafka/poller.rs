//! The thread that polls a consumer: it takes part in rebalances, reads ahead, and hands records on
//! through a bounded channel. It never decides what a record means and never stores an offset of
//! its own accord, except for superseded records.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::Offset;

use super::fault;
use super::partitions::{Key, Step};
use super::rebalance::{self, ASK_TIMEOUT, ASSIGN_RETRY, Beginner};
use super::shared::{Consumer, Shared};
use crate::endpoint::dead_letters::REDRIVEN;
use crate::endpoint::{Input, Position, Record, Taken};
use crate::error::{Error, Kind, Result};

/// How long one poll waits for something to happen: an idle program wakes once a second.
const POLL_MS: u64 = 1_000;

/// Polls until told to stop, then closes the consumer.
pub fn run(consumer: Arc<Consumer>, shared: &Arc<Shared>) {
    let mut poller = Poller { consumer, shared: Arc::clone(shared), beginner: Beginner::new() };
    while !shared.is_stopping() {
        if !poller.step() {
            break;
        }
    }
    rebalance::release(shared, &poller.consumer);
}

/// Nothing more comes from here.
fn ended(error: Error) -> Result<Input> {
    match error.kind {
        Kind::Retry => Ok(Input::Lost(error)),
        Kind::Fatal | Kind::Reject => Err(error),
    }
}

struct Poller {
    consumer: Arc<Consumer>,
    shared: Arc<Shared>,
    beginner: Beginner,
}

impl Poller {
    /// One round; false when nothing more can come of it.
    fn step(&mut self) -> bool {
        let waits = self.beginner.begin_waiting(&self.shared, &self.consumer);
        self.turn_back();
        let wait = if waits { ASSIGN_RETRY } else { Duration::from_millis(POLL_MS) };
        let consumer = Arc::clone(&self.consumer);
        match consumer.poll(wait) {
            None => {}
            Some(Ok(message)) => self.on_message(&message),
            Some(Err(KafkaError::PartitionEOF(partition))) => self.on_end(partition),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let (code, text) = consumer.client().fatal_error().unwrap_or((code, String::new()));
                self.shared.hand_over(ended(self.shared.fatal(code, &text)));
                return false;
            }
            Some(Err(error)) => self.on_error(&error),
        }
        match self.shared.outage.fatal() {
            Some(error) => {
                self.shared.hand_over(ended(error));
                false
            }
            None => true,
        }
    }

    fn on_error(&self, error: &KafkaError) {
        let Some(code) = error.rdkafka_error_code() else {
            self.shared.outage.failed(&error.to_string(), None);
            return;
        };
        match fault::kind(code) {
            Kind::Fatal => self.shared.outage.set_fatal(self.shared.fatal(code, "")),
            Kind::Retry | Kind::Reject => self.shared.outage.failed(&code.to_string(), Some(code)),
        }
    }

    fn on_message(&self, message: &BorrowedMessage<'_>) {
        let Some(source) = self.shared.source(message.topic()) else { return };
        let (of, offset) = ((source, message.partition()), message.offset());
        self.shared.outage.worked();
        let key = message.key().map(|key| String::from_utf8_lossy(key).into_owned());
        // What was put back replaces nothing that stands before it, and nothing replaces it.
        let redriven = is_redriven(message);
        let ordered = key.as_deref().filter(|_| !redriven);
        let mut partitions = self.shared.partitions();
        match partitions.read(of, ordered, offset) {
            Step::Skip => {}
            Step::Superseded { store } => {
                if let Some(offset) = store {
                    self.shared.store(of, offset);
                }
            }
            Step::SeekBack { to } => {
                drop(partitions);
                self.seek(of, to);
            }
            Step::Deliver { epoch, fresh } => {
                drop(partitions);
                let at = Position { source, partition: of.1, offset, epoch };
                self.shared.hand_over(Ok(input(message, at, fresh && !redriven)));
            }
        }
    }

    /// librdkafka names the partition but not the topic: with several, the broker is asked.
    fn on_end(&self, partition: i32) {
        let held = self.shared.partitions().keys();
        let ended = held.into_iter().filter(|of| of.1 == partition);
        for of in ended {
            if self.shared.topics.len() > 1 && !self.is_at_end(of) {
                continue;
            }
            let step = self.shared.partitions().end(of);
            if let Step::SeekBack { to } = step {
                self.seek(of, to);
            }
        }
        let waits = !self.shared.to_assign().is_empty();
        if self.shared.exit_at_end && !waits && self.shared.partitions().all_at_end() {
            self.shared.hand_over(Ok(Input::End));
        }
    }

    fn is_at_end(&self, of: Key) -> bool {
        let watermarks = self.consumer.fetch_watermarks(self.shared.topic(of.0), of.1, ASK_TIMEOUT);
        let next = self.shared.partitions().next_offset(of);
        watermarks.is_ok_and(|(_, high)| next.is_some_and(|next| next >= high))
    }

    fn seek(&self, of: Key, to: i64) {
        let topic = self.shared.topic(of.0);
        match self.consumer.seek(topic, of.1, Offset::Offset(to), ASK_TIMEOUT) {
            Ok(()) => self.shared.partitions().back(of),
            // Tried again before the next poll; until then its records are left aside.
            Err(error) => self.shared.outage.failed(&format!("seek: {error}"), None),
        }
    }

    fn turn_back(&self) {
        if self.shared.read_ahead {
            let turning = self.shared.partitions().turning_back();
            for (of, to) in turning {
                self.seek(of, to);
            }
        }
    }
}

fn is_redriven(message: &BorrowedMessage<'_>) -> bool {
    let mut headers = message.headers().into_iter().flat_map(BorrowedHeaders::iter);
    headers.any(|header| header.key == REDRIVEN)
}

fn input(message: &BorrowedMessage<'_>, at: Position, fresh: bool) -> Input {
    if message.payload().is_none() {
        return Input::Bad { at, value: Vec::new(), why: "the record has no value".to_owned() };
    }
    Input::Record(Taken { record: record(message), at, fresh })
}

/// The message as a record; without a value it is empty.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        let header = |one: rdkafka::message::Header<'_, &[u8]>| {
            (one.key.to_owned(), one.value.unwrap_or_default().to_vec())
        };
        headers.iter().map(header).collect()
    });
    Record {
        key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()),
        value: message.payload().unwrap_or_default().to_vec(),
        headers: headers.unwrap_or_default(),
    }
}
