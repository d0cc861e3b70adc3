//! A topic as a bystander sees it: all its records, how far a group has come, one more record.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::Value as Json;

/// How long one question to the broker may take.
const WAIT: Duration = Duration::from_secs(20);

/// A record as the broker keeps it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl Kept {
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.value).unwrap_or(Json::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

/// A topic by its bare name.
#[derive(Clone, Debug)]
pub struct Topic {
    pub broker: String,
    pub name: String,
}

impl Topic {
    pub fn new(broker: &str, name: &str) -> Self {
        let name = name.trim_start_matches("kafka:").to_owned();
        Self { broker: broker.to_owned(), name }
    }

    /// The topic of its dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> Self {
        Self::new(&self.broker, &format!("{}.dlq", self.name))
    }

    /// Puts a record there, as any producer might.
    pub fn produce(&self, key: &str, value: &[u8]) {
        let producer: BaseProducer = self.config().create().expect("a producer");
        let record = BaseRecord::to(&self.name).key(key).payload(value);
        producer.send(record.headers(OwnedHeaders::new())).expect("queued");
        producer.flush(WAIT).expect("delivered");
    }

    /// All its records, each partition's in order; none when there is no such topic.
    pub fn records(&self) -> Vec<Kept> {
        let consumer = self.consumer("nobody");
        let ends = ends(&consumer, &self.name);
        let mut all = TopicPartitionList::new();
        for (partition, end) in &ends {
            if *end > 0 {
                all.add_partition_offset(&self.name, *partition, Offset::Beginning).expect("added");
            }
        }
        consumer.assign(&all).expect("assigned");
        let mut left: i64 = ends.iter().map(|(_, end)| end).sum();
        let mut records = Vec::new();
        while left > 0 {
            let message = consumer.poll(WAIT).expect("a record in time").expect("a record");
            left -= 1;
            records.push(Kept {
                partition: message.partition(),
                offset: message.offset(),
                key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: message
                    .headers()
                    .map(|all| all.iter().map(|header| text(&header)).collect())
                    .unwrap_or_default(),
            });
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Whether this group has finished all that is there.
    pub fn is_finished_by(&self, group: &str) -> bool {
        let consumer = self.consumer(group);
        let ends = ends(&consumer, &self.name);
        let mut asked = TopicPartitionList::new();
        for (partition, _) in &ends {
            asked.add_partition(&self.name, *partition);
        }
        let Ok(committed) = consumer.committed_offsets(asked, WAIT) else { return false };
        ends.iter().all(|(partition, end)| {
            let found = committed.find_partition(&self.name, *partition);
            let offset = found.and_then(|of| of.offset().to_raw()).unwrap_or(-1);
            *end == 0 || offset >= *end
        })
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.create().expect("a consumer")
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker).set("allow.auto.create.topics", "false");
        config
    }
}

fn text(header: &Header<'_, &[u8]>) -> (String, String) {
    let value = header.value.unwrap_or_default();
    (header.key.to_owned(), String::from_utf8_lossy(value).into_owned())
}

/// Each partition and where it ends. Nothing is ever deleted here, so that is how many it holds.
fn ends(consumer: &BaseConsumer, topic: &str) -> Vec<(i32, i64)> {
    let Ok(metadata) = consumer.fetch_metadata(Some(topic), WAIT) else { return Vec::new() };
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    partitions
        .map(|partition| {
            let marks = consumer.fetch_watermarks(topic, partition.id(), WAIT);
            (partition.id(), marks.map_or(0, |(_, high)| high))
        })
        .collect()
}
