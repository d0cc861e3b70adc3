//! A consumer group's member as a source. The polling itself is in `poller`; here is what the
//! program sees of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{debug, warn};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer as _;
use tokio::sync::mpsc;

use super::options::{ConsumerOptions, KafkaOptions, refused};
use super::shared::{Consumer, Context, Shared};
use super::{Lease, fault, poller};
use crate::endpoint::{Holder, Input, Position, Source};
use crate::error::{Error, Result};

/// Records between the polling thread and the program; beyond it polling waits.
const QUEUE_RECORDS_MAX: usize = 64;

/// How long leaving the group and the last commit may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// One or several topics, read as a member of a group.
#[derive(Debug)]
pub struct KafkaSource {
    inputs: mpsc::Receiver<Result<Input>>,
    shared: Arc<Shared>,
    lease: Lease,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl KafkaSource {
    /// Joins the group. Returns at once: partitions come when the broker gives them.
    pub fn open(
        topics: &[String],
        kafka: &KafkaOptions,
        options: &ConsumerOptions,
    ) -> Result<Self> {
        let operation = || format!("read kafka:{}", topics.join(",kafka:"));
        let config = kafka.consumer(options);
        let from_latest = matches!(config.get("auto.offset.reset"), Some("latest" | "largest"));
        let (sender, inputs) = mpsc::channel(QUEUE_RECORDS_MAX);
        let shared = Arc::new(Shared::new(topics.to_vec(), options, from_latest, sender));
        let context = Context(Arc::clone(&shared));
        let consumer = Consumer::from_config_and_context(&config, context);
        let consumer = Arc::new(consumer.map_err(|error| refused(operation(), &error))?);
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| fault::error(operation(), &error))?;
        // Set once, here.
        let _ = shared.consumer.set(Arc::downgrade(&consumer));
        let polled = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("kafka poll".to_owned())
            .spawn(move || poller::run(consumer, &polled))
            .map_err(|error| Error::retry(operation(), error))?;
        let lease = Lease::new(Arc::clone(&shared), kafka.session_timeout_ms());
        Ok(Self { inputs, shared, lease, thread: Some(thread) })
    }

    fn is_stale(&self, at: Position) -> bool {
        !self.shared.partitions().is_current(at)
    }
}

impl Source for KafkaSource {
    async fn next(&mut self) -> Result<Input> {
        loop {
            match self.inputs.recv().await {
                // Read before its partition went to another instance, taken after.
                Some(Ok(Input::Record(taken))) if self.is_stale(taken.at) => {}
                Some(Ok(Input::Bad { at, .. })) if self.is_stale(at) => {}
                Some(input) => return input,
                None => return std::future::pending().await,
            }
        }
    }

    fn done(&mut self, at: Position) {
        let mut partitions = self.shared.partitions();
        if let Some(offset) = partitions.done(at) {
            self.shared.store((at.source, at.partition), offset);
        }
    }

    fn pause(&mut self, paused: bool) {
        self.shared.paused.store(paused, Ordering::SeqCst);
        let Some(consumer) = self.shared.consumer.get().and_then(std::sync::Weak::upgrade) else {
            return;
        };
        let held: Vec<_> =
            self.shared.partitions().keys().into_iter().map(|key| (key, None)).collect();
        let list = self.shared.list(&held);
        let result = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
        if let Err(error) = result {
            // A partition that is going away. What we still get of it waits in memory.
            debug!("{}: pause {paused}: {error}", self.shared.names());
        }
    }

    fn lease(&self) -> crate::endpoint::Lease {
        crate::endpoint::Lease(Holder::Kafka(self.lease.clone()))
    }

    fn replays(&self) -> bool {
        true
    }

    fn lag(&self) -> Option<i64> {
        let lag = self.shared.lag.load(Ordering::Relaxed);
        (lag >= 0).then_some(lag)
    }

    fn trouble(&self) -> Option<String> {
        self.shared.outage.trouble()
    }

    async fn close(&mut self) -> Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.inputs.close();
        // What waits is not finished: the polling thread may go on and see that it should stop.
        while self.inputs.try_recv().is_ok() {}
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join());
        let name = self.shared.names();
        match tokio::time::timeout(CLOSE_TIMEOUT, joined).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(_)) | Err(_)) => {
                Err(Error::retry(format!("close {name}"), "its thread broke"))
            }
            Err(_) => {
                // Then the broker gives our partitions to others after the session time-out, and
                // the last second's records are repeated: never wrong, only slower.
                warn!("{name}: the broker did not answer when the group was left");
                Ok(())
            }
        }
    }

    fn name(&self, at: Position) -> String {
        format!("kafka:{}", self.shared.topic(at.source))
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}
