//! The thread that polls a consumer: it takes part in rebalances, looks up where to begin, reads
//! ahead, and hands records on through a bounded channel. It never decides what a record means and
//! never stores an offset of its own accord, except for superseded records.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::mpsc;

use super::fault::{self, Outage};
use super::partitions::{Key, Partitions, Step};
use crate::endpoint::dead_letters::REDRIVEN;
use crate::endpoint::{Input, Position, Record, Taken};
use crate::error::{Error, Kind, Result};

/// How long one poll waits for something to happen: an idle program wakes once a second.
const POLL_MS: u64 = 1_000;

/// How long a question to the broker may take (committed offsets, watermarks, a seek).
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two attempts to begin with new partitions.
const ASSIGN_RETRY: Duration = Duration::from_millis(500);

pub type Consumer = BaseConsumer<Context>;

/// What the polling thread, the source and its leases share.
pub struct Shared {
    pub topics: Vec<String>,
    pub group: String,
    pub instance: Option<String>,
    pub exit_at_end: bool,
    pub read_ahead: bool,
    /// `auto.offset.reset=latest` was asked for.
    pub from_latest: bool,
    partitions: Mutex<Partitions>,
    to_assign: Mutex<Vec<Key>>,
    /// Owned by the polling thread, which closes it by dropping it.
    pub consumer: OnceLock<Weak<Consumer>>,
    inputs: mpsc::Sender<Result<Input>>,
    pub outage: Outage,
    pub stop: AtomicBool,
    pub paused: AtomicBool,
    /// Records behind, -1 when unknown.
    pub lag: AtomicI64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("topics", &self.topics).finish_non_exhaustive()
    }
}

impl Shared {
    pub fn new(
        topics: Vec<String>,
        options: &super::ConsumerOptions,
        from_latest: bool,
        inputs: mpsc::Sender<Result<Input>>,
    ) -> Self {
        let outage = Outage::new(format!("kafka:{}", topics.join(",")));
        Self {
            topics,
            group: options.group.clone(),
            instance: options.instance.clone(),
            exit_at_end: options.exit_at_end,
            read_ahead: options.read_ahead,
            from_latest,
            partitions: Mutex::default(),
            to_assign: Mutex::default(),
            consumer: OnceLock::new(),
            inputs,
            outage,
            stop: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            lag: AtomicI64::new(-1),
        }
    }

    pub fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses partitions that were just assigned, if the others are paused.
    fn pause_as_the_others(&self, consumer: &Consumer, list: &TopicPartitionList) {
        let mut is_paused = false;
        // The program may go on between the look and the pause, and would leave these behind.
        while self.paused.load(Ordering::SeqCst) != is_paused {
            is_paused = !is_paused;
            let result = if is_paused { consumer.pause(list) } else { consumer.resume(list) };
            if let Err(error) = result {
                debug!("{}: pause {is_paused}: {error}", self.names());
            }
        }
    }

    fn to_assign(&self) -> MutexGuard<'_, Vec<Key>> {
        self.to_assign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn topic(&self, source: u16) -> &str {
        self.topics.get(usize::from(source)).map_or("?", String::as_str)
    }

    fn source(&self, topic: &str) -> Option<u16> {
        let index = self.topics.iter().position(|known| known == topic)?;
        u16::try_from(index).ok()
    }

    /// The list in librdkafka's form, with offsets where they are given.
    pub fn list(&self, offsets: &[(Key, Option<i64>)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for ((source, partition), offset) in offsets {
            let mut element = list.add_partition(self.topic(*source), *partition);
            if let Some(offset) = offset
                && let Err(error) = element.set_offset(Offset::Offset(*offset))
            {
                // Only negative offsets are refused, and none is kept.
                debug!("offset {offset} not set: {error}");
            }
        }
        list
    }

    fn keys(&self, list: &TopicPartitionList) -> Vec<Key> {
        let elements = list.elements();
        let key = |topic: &str, partition| self.source(topic).map(|source| (source, partition));
        elements.iter().filter_map(|one| key(one.topic(), one.partition())).collect()
    }

    /// Waits for room. After `close` nobody listens, and nothing is lost by that: what was read
    /// is not finished and comes again.
    fn hand_over(&self, input: Result<Input>) {
        let _ = self.inputs.blocking_send(input);
    }

    /// Stores an offset, to be committed in the background. Called with the partitions locked, so
    /// that no rebalance comes in between.
    pub fn store(&self, of: Key, offset: i64) {
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else { return };
        let list = self.list(&[(of, Some(offset))]);
        if let Err(error) = consumer.store_offsets(&list) {
            // The partition is being taken away: its next owner repeats from the offset before.
            debug!("offset {offset} of {} not stored: {error}", self.topic(of.0));
        }
    }

    /// A state of the consumer that it does not leave, in words. `Retry`: a new start heals it.
    pub fn fatal(&self, code: RDKafkaErrorCode, text: &str) -> Error {
        let operation = format!("read {}", self.names());
        match (code, &self.instance) {
            // Having been away, the broker may take a late commit of ours, made before we joined
            // again, for one of a second instance. Starting anew joins once more.
            (RDKafkaErrorCode::FencedInstanceId, Some(instance)) if self.outage.is_recent() => {
                let cause = format!("the broker was away, and took {instance} for two instances");
                Error::retry(operation, cause).hint("start it again")
            }
            (RDKafkaErrorCode::FencedInstanceId, Some(instance)) => {
                Error::fatal(operation, format!("another instance named {instance} took over"))
                    .hint("give each running instance a name of its own by --instance")
            }
            (code, _) => Error::fatal(operation, format!("{code}: {text}")),
        }
    }

    pub fn names(&self) -> String {
        format!("kafka:{}", self.topics.join(",kafka:"))
    }
}

/// librdkafka's callbacks. All but log lines run on the polling thread.
pub struct Context(pub Arc<Shared>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        fault::log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // librdkafka never leaves this state, and tells it here, not by the poll's answer.
            Some(code @ RDKafkaErrorCode::FencedInstanceId) => {
                self.0.outage.set_fatal(self.0.fatal(code, reason));
            }
            Some(_) | None => self.0.outage.reported(&error, reason),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.outage.statistics(statistics);
        if let Some(lag) = lag(statistics) {
            self.0.lag.store(lag, Ordering::Relaxed);
        }
    }
}

/// The sum of what librdkafka knows; `None` while it knows nothing.
fn lag(statistics: &[u8]) -> Option<i64> {
    let statistics: serde_json::Value = serde_json::from_slice(statistics).ok()?;
    let topics = statistics.get("topics")?.as_object()?.values();
    let partitions = topics.filter_map(|topic| topic.get("partitions")?.as_object());
    let lags = partitions.flat_map(|of| of.values()).filter_map(|one| one.get("consumer_lag"));
    let known: Vec<i64> = lags.filter_map(serde_json::Value::as_i64).filter(|n| *n >= 0).collect();
    if known.is_empty() { None } else { Some(known.iter().sum()) }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let shared = &self.0;
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Where to begin is a question to the broker: asked outside of the callback, and
            // again until it is answered. Until then librdkafka waits with the assignment.
            shared.to_assign().extend(shared.keys(list));
            // While closing nobody else answers, and librdkafka would wait for ever.
            if list.count() == 0 || shared.stop.load(Ordering::Relaxed) {
                self.assign(consumer, list);
            }
            return;
        }
        let keys = shared.keys(list);
        shared.to_assign().retain(|key| !keys.contains(key));
        // From here on nothing of them is stored and no lease is given for them.
        let revoked = shared.partitions().revoke(&keys);
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        };
        if let Err(error) = result {
            debug!("{}: unassign: {error}", shared.names());
        }
        if !revoked.is_empty() {
            info!("{}: gave back {} partitions", shared.names(), revoked.len());
            shared.hand_over(Ok(Input::Revoked(revoked)));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.0.outage.worked(),
            // Nothing was stored since the last commit.
            Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            // The next commit covers it, or the next owner repeats.
            Err(error) => debug!("{}: commit: {error}", self.0.names()),
        }
    }
}

impl Context {
    fn assign(&self, consumer: &Consumer, list: &TopicPartitionList) -> bool {
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
        };
        if let Err(error) = &result {
            warn!("{}: assign: {error}", self.0.names());
        }
        result.is_ok()
    }
}

/// Polls until told to stop, then closes the consumer.
pub fn run(consumer: Arc<Consumer>, shared: &Arc<Shared>) {
    let mut poller = Poller { consumer, shared: Arc::clone(shared), assign_at: Instant::now() };
    while !shared.stop.load(Ordering::Relaxed) {
        if !poller.step() {
            break;
        }
    }
    poller.release();
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
    assign_at: Instant,
}

impl Poller {
    /// One round; false when nothing more can come of it.
    fn step(&mut self) -> bool {
        let waits = self.assign_waiting();
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

    /// Begins with partitions that were given to us. True while some still wait.
    fn assign_waiting(&mut self) -> bool {
        let keys = self.shared.to_assign().clone();
        if keys.is_empty() {
            return false;
        }
        if Instant::now() < self.assign_at {
            return true;
        }
        self.assign_at = Instant::now() + ASSIGN_RETRY;
        let begins = match self.begins(&keys) {
            Ok(begins) => begins,
            Err(error) => {
                let code = error.rdkafka_error_code();
                self.shared.outage.failed(&format!("find where to begin: {error}"), code);
                return true;
            }
        };
        let offsets: Vec<_> = begins.iter().map(|(of, start, _)| (*of, Some(*start))).collect();
        let list = self.shared.list(&offsets);
        self.shared.to_assign().retain(|key| !keys.contains(key));
        // Held first: a record may be there as soon as the assignment is.
        self.shared.partitions().assign(&begins, self.shared.read_ahead);
        if self.consumer.context().assign(&self.consumer, &list) {
            info!("{}: got {} partitions", self.shared.names(), begins.len());
        }
        self.shared.pause_as_the_others(&self.consumer, &list);
        self.assign_at = Instant::now();
        false
    }

    /// For each partition where it begins and its high watermark.
    fn begins(&self, keys: &[Key]) -> KafkaResult<Vec<(Key, i64, i64)>> {
        let unset: Vec<_> = keys.iter().map(|key| (*key, None)).collect();
        let committed = self.consumer.committed_offsets(self.shared.list(&unset), ASK_TIMEOUT)?;
        let mut begins = Vec::with_capacity(keys.len());
        let mut unknown = 0;
        for element in committed.elements() {
            element.error()?;
            let (topic, partition) = (element.topic(), element.partition());
            let Some(source) = self.shared.source(topic) else { continue };
            let (low, high) = self.consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT)?;
            let committed = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => None,
            };
            unknown += usize::from(committed.is_none() && high > 0);
            let start = self.begin(topic, partition, committed, low, high);
            begins.push(((source, partition), start, high));
        }
        if unknown > 0 {
            let end = if self.shared.from_latest { "latest" } else { "earliest" };
            let (names, group) = (self.shared.names(), &self.shared.group);
            info!(
                "{names}: group {group} has no offset in {unknown} partitions: from the {end} on"
            );
        }
        Ok(begins)
    }

    /// The committed offset or, where there is none that still exists, the oldest record; said
    /// aloud, since the broker would decide it in silence.
    fn begin(&self, topic: &str, of: i32, committed: Option<i64>, low: i64, high: i64) -> i64 {
        let reset = if self.shared.from_latest { high } else { low };
        let group = &self.shared.group;
        match committed {
            Some(offset) if offset < low => {
                warn!(
                    "kafka:{topic} partition {of}: offset {offset} of group {group} is gone, the \
                     oldest record is {low}: beginning at {reset}"
                );
                reset
            }
            Some(offset) if offset > high => {
                warn!(
                    "kafka:{topic} partition {of}: offset {offset} of group {group} is beyond the \
                     end {high}, so the broker lost records or the topic was made anew: beginning \
                     at {reset}"
                );
                reset
            }
            Some(offset) => offset,
            // Said once for all of them by the caller.
            None => reset,
        }
    }

    /// librdkafka cannot be closed while it waits for an assignment to be answered.
    fn release(&self) {
        let keys: Vec<_> = self.shared.to_assign().drain(..).map(|key| (key, None)).collect();
        if !keys.is_empty() {
            self.consumer.context().assign(&self.consumer, &self.shared.list(&keys));
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

#[cfg(test)]
mod tests {
    use super::lag;

    #[test]
    fn the_lag_is_the_sum_of_what_is_known() {
        let text =
            br#"{"topics":{"a":{"partitions":{"0":{"consumer_lag":3},"-1":{"consumer_lag":-1}}},
            "b":{"partitions":{"1":{"consumer_lag":4}}}}}"#;
        assert_eq!(lag(text), Some(7));
        assert_eq!(lag(br#"{"topics":{"a":{"partitions":{"0":{"consumer_lag":-1}}}}}"#), None);
    }
}
