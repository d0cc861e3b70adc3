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

/// A broker that answered. Calls block: use `spawn_blocking`.
pub struct Cluster {
    /// Chosen when the broker's data folder was made.
    pub id: String,
    client: BaseConsumer<Quiet>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("id", &self.id).finish_non_exhaustive()
    }
}

struct Quiet;

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
    /// Asks with a client made for it, since a long-lived one keeps the first id it saw.
    pub fn open(kafka: &KafkaOptions) -> Result<Self> {
        let operation = || format!("ask the broker {}", kafka.bootstrap);
        let client = BaseConsumer::from_config_and_context(&kafka.admin(), Quiet);
        let client = client.map_err(|error| refused(operation(), &error))?;
        match client.client().fetch_cluster_id(ASK_TIMEOUT) {
            Some(id) => Ok(Self { id, client }),
            None => Err(Error::retry(operation(), "it does not answer")
                .hint("is it running? KAFKA_BOOTSTRAP_SERVERS or --brokers says where it is")),
        }
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
