//! What the polling thread, the source and its leases share, and what librdkafka tells them by its
//! callbacks. Nothing here reads a record or asks the broker.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use log::debug;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::mpsc;

use super::fault::{self, Outage};
use super::partitions::{Key, Partitions};
use super::rebalance;
use crate::endpoint::Input;
use crate::error::{Error, Result};

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

    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Partitions that were given to us and not begun with yet.
    pub fn to_assign(&self) -> MutexGuard<'_, Vec<Key>> {
        self.to_assign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn topic(&self, source: u16) -> &str {
        self.topics.get(usize::from(source)).map_or("?", String::as_str)
    }

    pub fn source(&self, topic: &str) -> Option<u16> {
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

    pub fn keys(&self, list: &TopicPartitionList) -> Vec<Key> {
        let elements = list.elements();
        let key = |topic: &str, partition| self.source(topic).map(|source| (source, partition));
        elements.iter().filter_map(|one| key(one.topic(), one.partition())).collect()
    }

    /// Waits for room. After `close` nobody listens, and nothing is lost by that: what was read
    /// is not finished and comes again.
    pub fn hand_over(&self, input: Result<Input>) {
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

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            rebalance::given(&self.0, consumer, list);
        } else {
            rebalance::taken_back(&self.0, consumer, list);
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

/// The sum of what librdkafka knows; `None` while it knows nothing.
fn lag(statistics: &[u8]) -> Option<i64> {
    let statistics: serde_json::Value = serde_json::from_slice(statistics).ok()?;
    let topics = statistics.get("topics")?.as_object()?.values();
    let partitions = topics.filter_map(|topic| topic.get("partitions")?.as_object());
    let lags = partitions.flat_map(|of| of.values()).filter_map(|one| one.get("consumer_lag"));
    let known: Vec<i64> = lags.filter_map(serde_json::Value::as_i64).filter(|n| *n >= 0).collect();
    if known.is_empty() { None } else { Some(known.iter().sum()) }
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
