//! What a broker says of itself: its cluster's id and where its topics end. A broker that came back
//! empty has another id, or ends before what was delivered to it. Only asks, never changes.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;

use super::fault;
use super::options::{KafkaOptions, refused};
use crate::error::{Error, Result};

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that only asks. Keep it: a new one for each question costs threads and connections.
/// Its calls block, so use `spawn_blocking`; `Retry` while the broker is away.
pub struct Cluster {
    bootstrap: String,
    client: BaseConsumer<Quiet>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}

/// Says nothing of its own: whoever asked gets an error.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        fault::log_line(level, facility, text);
    }

    // Whoever asked gets an error; a second line about it would say nothing new.
    fn error(&self, error: KafkaError, reason: &str) {
        log::debug!("kafka: {error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

impl Cluster {
    /// Makes the client; nothing is asked yet.
    pub fn open(kafka: &KafkaOptions) -> Result<Self> {
        let operation = format!("ask the broker {}", kafka.bootstrap);
        let client = BaseConsumer::from_config_and_context(&kafka.admin(), Quiet);
        let client = client.map_err(|error| refused(operation, &error))?;
        Ok(Self { bootstrap: kafka.bootstrap.clone(), client })
    }

    /// The id that was chosen when the broker's data folder was made, as it is now: librdkafka
    /// keeps the one it saw last, and sees it with each answer about metadata.
    pub fn id(&self) -> Result<String> {
        let operation = || format!("ask the broker {}", self.bootstrap);
        let hint = "is it running? KAFKA_BOOTSTRAP_SERVERS or --brokers says where it is";
        // About a topic that nobody has: the answer is small, and no topic is made by asking.
        let asked = self.client.fetch_metadata(Some("__cluster_id"), ASK_TIMEOUT);
        asked.map_err(|error| fault::error(operation(), &error).hint(hint))?;
        let id = self.client.client().fetch_cluster_id(ASK_TIMEOUT);
        id.ok_or_else(|| Error::retry(operation(), "it does not answer").hint(hint))
    }

    /// The high watermark of each partition; empty when there is no such topic.
    pub fn end_offsets(&self, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let operation = || format!("ask where kafka:{topic} ends");
        let failed = |error: KafkaError| fault::error(operation(), &error);
        let metadata = self.client.fetch_metadata(Some(topic), ASK_TIMEOUT).map_err(failed)?;
        let mut ends = BTreeMap::new();
        for found in metadata.topics().iter().filter(|found| found.name() == topic) {
            for partition in found.partitions() {
                let watermarks = self.client.fetch_watermarks(topic, partition.id(), ASK_TIMEOUT);
                ends.insert(partition.id(), watermarks.map_err(failed)?.1);
            }
        }
        Ok(ends)
    }
}
