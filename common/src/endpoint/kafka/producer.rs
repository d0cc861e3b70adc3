//! A topic as a sink: idempotent, acknowledged by all replicas, in the order of the calls. A
//! producer that gave up on a record takes no further one until it is reopened, since a later
//! record could overtake the lost one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use tokio::sync::{Notify, oneshot};

use super::fault::{self, Outage};
use super::options::{KafkaOptions, refused};
use super::{RECORD_BYTES_MAX, cluster};
use crate::endpoint::{Delivered, Delivery, Record, Sink};
use crate::error::{Error, Kind, Result};

/// How long one poll for delivery reports waits; reports end it at once.
const POLL: Duration = Duration::from_secs(1);

/// While the queue is full, room is looked for when a report comes, and at least this often.
const ROOM_WAIT: Duration = Duration::from_millis(100);

/// How long `flush` waits for delivery reports.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

type Report = oneshot::Sender<Result<Delivered>>;

/// Records into one topic. Clones share the producer.
#[derive(Clone, Debug)]
pub struct KafkaSink {
    kafka: KafkaOptions,
    topic: Arc<str>,
    name: Arc<str>,
    current: Arc<RwLock<Arc<Handle>>>,
}

struct Handle {
    producer: Arc<BaseProducer<Context>>,
    state: Arc<State>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    outage: Outage,
    /// Why no further record is taken.
    gave_up: Mutex<Option<Error>>,
    stop: AtomicBool,
    room: Notify,
}

impl State {
    fn gave_up(&self) -> Option<Error> {
        self.gave_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn give_up(&self, error: &Error) {
        let mut gave_up = self.gave_up.lock().unwrap_or_else(PoisonError::into_inner);
        gave_up.get_or_insert_with(|| error.clone());
    }
}

struct Context(Arc<State>, Arc<str>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        fault::log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.outage.reported(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.outage.statistics(statistics);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Report>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        let delivered = match result {
            Ok(message) => {
                self.0.outage.worked();
                Ok(Delivered { partition: message.partition(), offset: message.offset() })
            }
            Err((error, _)) => {
                let error = failed(&self.1, error);
                // A record refused for itself holds up nothing behind it.
                if error.kind != Kind::Reject {
                    self.0.give_up(&error);
                }
                Err(error)
            }
        };
        // Whoever sent it may not wait any more: then it is written nevertheless.
        let _ = report.send(delivered);
        self.0.room.notify_waiters();
    }
}

fn failed(name: &str, error: &KafkaError) -> Error {
    let operation = format!("write to {name}");
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageTimedOut) => {
            Error::retry(operation, "the broker did not take the record in time")
        }
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {
            Error::retry(operation, "given up, since an earlier record was")
        }
        Some(_) | None => fault::error(operation, error),
    }
}

impl KafkaSink {
    /// Returns at once, whether or not the broker is there.
    pub fn open(topic: &str, kafka: &KafkaOptions) -> Result<Self> {
        let name: Arc<str> = format!("kafka:{topic}").into();
        let handle = Arc::new(Handle::new(kafka, &name)?);
        let current = Arc::new(RwLock::new(handle));
        Ok(Self { kafka: kafka.clone(), topic: topic.into(), name, current })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    fn handle(&self) -> Arc<Handle> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands a record over without waiting: `None` when the queue is full (the record comes back).
    pub fn try_enqueue(&self, record: Record) -> Result<std::result::Result<Delivery, Record>> {
        let handle = self.handle();
        if let Some(fatal) = handle.state.outage.fatal() {
            return Err(fatal);
        }
        if let Some(error) = handle.state.gave_up() {
            return Err(Error::retry(
                format!("write to {}", self.name),
                format!("closed until reopened, since a record was given up ({})", error.cause),
            ));
        }
        if record.value.len() > RECORD_BYTES_MAX {
            let cause = format!("{} bytes, at most {RECORD_BYTES_MAX}", record.value.len());
            return Err(Error::reject(format!("write to {}", self.name), cause));
        }
        let (report, delivery) = Delivery::new(Arc::clone(&self.name));
        match handle.send(&self.topic, &record, report) {
            Ok(()) => Ok(Ok(delivery)),
            Err(error) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Ok(Err(record)),
                Some(RDKafkaErrorCode::Fatal) => {
                    let error = Error::retry(format!("write to {}", self.name), error);
                    handle.state.give_up(&error);
                    Err(error)
                }
                Some(_) | None => Err(failed(&self.name, &error)),
            },
        }
    }

    /// To ask the broker about itself and our topic.
    pub fn cluster(&self) -> Result<cluster::Cluster> {
        cluster::Cluster::open(&self.kafka)
    }
}

impl Handle {
    fn new(kafka: &KafkaOptions, name: &Arc<str>) -> Result<Self> {
        let operation = || format!("write to {name}");
        let state = Arc::new(State {
            outage: Outage::new(name.to_string()),
            gave_up: Mutex::new(None),
            stop: AtomicBool::new(false),
            room: Notify::new(),
        });
        let context = Context(Arc::clone(&state), Arc::clone(name));
        let producer = BaseProducer::from_config_and_context(&kafka.producer(), context);
        let producer = Arc::new(producer.map_err(|error| refused(operation(), &error))?);
        let (polled, polled_state) = (Arc::clone(&producer), Arc::clone(&state));
        std::thread::Builder::new()
            .name("kafka send".to_owned())
            .spawn(move || poll(&polled, &polled_state))
            .map_err(|error| Error::retry(operation(), error))?;
        Ok(Self { producer, state })
    }

    fn send(
        &self,
        topic: &str,
        record: &Record,
        report: Report,
    ) -> rdkafka::error::KafkaResult<()> {
        let mut message: BaseRecord<'_, str, [u8], Box<Report>> =
            BaseRecord::with_opaque_to(topic, Box::new(report)).payload(&record.value);
        if let Some(key) = &record.key {
            message = message.key(key);
        }
        if !record.headers.is_empty() {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(value.as_slice()) });
            }
            message = message.headers(headers);
        }
        self.producer.send(message).map_err(|(error, _)| error)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
    }
}

/// Serves delivery reports. Once a record is given up, all behind it are given up as well.
fn poll(producer: &BaseProducer<Context>, state: &State) {
    let mut purged = false;
    while !state.stop.load(Ordering::Relaxed) {
        // Short while reports are awaited, so that a give-up is seen soon.
        producer.poll(if producer.in_flight_count() > 0 { ROOM_WAIT } else { POLL });
        if !purged && state.gave_up().is_some() {
            purged = true;
            producer.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

impl Sink for KafkaSink {
    async fn enqueue(&self, record: Record) -> Result<Delivery> {
        let mut record = record;
        loop {
            let handle = self.handle();
            let room = handle.state.room.notified();
            match self.try_enqueue(record)? {
                Ok(delivery) => return Ok(delivery),
                Err(back) => record = back,
            }
            // Whether a report came or not, the next attempt tells.
            let _ = tokio::time::timeout(ROOM_WAIT, room).await;
        }
    }

    async fn reopen(&self) -> Result<()> {
        if self.handle().state.gave_up().is_none() {
            return Ok(());
        }
        // A broker that came back empty has no topic, or one that it made with its own limits.
        super::admin::try_topic(&self.topic, &self.kafka).await?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.state.gave_up().is_some() {
            *current = Arc::new(Handle::new(&self.kafka, &self.name)?);
        }
        Ok(())
    }

    /// One by one records are independent: a producer that gave up is opened anew for the next.
    async fn send(&self, record: Record) -> Result<Delivered> {
        if self.handle().state.gave_up().is_some() {
            self.reopen().await?;
        }
        self.enqueue(record).await?.delivered().await
    }

    async fn flush(&self) -> Result<()> {
        let producer = Arc::clone(&self.handle().producer);
        let name = Arc::clone(&self.name);
        let flush = move || producer.flush(FLUSH_TIMEOUT);
        let flushed = tokio::task::spawn_blocking(flush).await;
        let operation = || format!("write to {name}");
        flushed
            .map_err(|error| Error::retry(operation(), error))?
            .map_err(|error| fault::error(operation(), &error))
    }

    fn trouble(&self) -> Option<String> {
        self.handle().state.outage.trouble()
    }

    fn name(&self) -> String {
        self.name.to_string()
    }
}
