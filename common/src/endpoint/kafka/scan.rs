//! A topic read once, from where the reader likes to where it ends now, without joining a group;
//! and what a group remembers of it: an offset, and a text beside it, per partition. For programs
//! that people run by hand. It makes no topic and changes none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::cluster::Quiet;
use super::fault;
use super::options::{ConsumerOptions, KafkaOptions, refused};
use super::poller::record;
use crate::endpoint::Record;
use crate::error::{Error, Kind, Result};

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// A broker that just started answers "not yet" for a while.
const PATIENCE: Duration = Duration::from_secs(15);

/// Without a record for so long the broker is taken to be away.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Records between the reading thread and the program: when it is full, reading waits.
const READ_QUEUE_RECORDS_MAX: usize = 64;

/// A partition as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Span {
    pub partition: i32,
    /// The oldest record, and one past the newest.
    pub low: i64,
    pub end: i64,
    /// What the group committed: an offset, and the text beside it.
    pub committed: Option<(i64, String)>,
}

/// A record and where it lies.
#[derive(Clone, Debug)]
pub struct Scanned {
    pub record: Record,
    pub partition: i32,
    pub offset: i64,
}

/// Its calls block: use `spawn_blocking`.
pub struct Scan {
    topic: String,
    client: Arc<BaseConsumer<Quiet>>,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Scan {
    /// Makes the client; nothing is asked yet.
    pub fn open(topic: &str, kafka: &KafkaOptions, group: &str) -> Result<Self> {
        let options = ConsumerOptions {
            group: group.to_owned(),
            instance: None,
            // Ends are told, also where gaps in the offsets hide them.
            exit_at_end: true,
            read_ahead: false,
        };
        let client = BaseConsumer::from_config_and_context(&kafka.consumer(&options), Quiet);
        let client = client.map_err(|error| refused(format!("open kafka:{topic}"), &error))?;
        Ok(Self { topic: topic.to_owned(), client: Arc::new(client) })
    }

    /// Its partitions; none when there is no such topic.
    pub fn spans(&self) -> Result<Vec<Span>> {
        let asked = patiently(|| self.client.fetch_metadata(Some(&self.topic), ASK_TIMEOUT));
        let metadata = asked.map_err(|error| self.failed("ask for", &error))?;
        let mut spans = Vec::new();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            let partition = partition.id();
            let marks = || self.client.fetch_watermarks(&self.topic, partition, ASK_TIMEOUT);
            let (low, end) = patiently(marks).map_err(|error| self.failed("ask for", &error))?;
            spans.push(Span { partition, low, end, committed: None });
            list.add_partition(&self.topic, partition);
        }
        if spans.is_empty() {
            return Ok(spans);
        }
        let committed = patiently(|| self.client.committed_offsets(list.clone(), ASK_TIMEOUT))
            .map_err(|error| self.failed("ask what was committed for", &error))?;
        for span in &mut spans {
            let found = committed.find_partition(&self.topic, span.partition);
            span.committed = found.and_then(|of| match of.offset() {
                Offset::Offset(offset) => Some((offset, of.metadata().to_owned())),
                // The group committed nothing.
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => None,
            });
        }
        spans.sort_by_key(|span| span.partition);
        Ok(spans)
    }

    /// Reads these partitions, each from its offset up to (not including) its end. The channel
    /// closes when all is read.
    pub fn read(&self, from: &[(i32, i64, i64)]) -> Result<mpsc::Receiver<Result<Scanned>>> {
        let (sender, receiver) = mpsc::channel(READ_QUEUE_RECORDS_MAX);
        let mut list = TopicPartitionList::new();
        let mut ends = BTreeMap::new();
        for (partition, offset, end) in from.iter().filter(|(_, offset, end)| offset < end) {
            let added = list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset));
            added.map_err(|error| self.failed("read", &error))?;
            ends.insert(*partition, *end);
        }
        self.client.assign(&list).map_err(|error| self.failed("read", &error))?;
        let (client, topic) = (Arc::clone(&self.client), self.topic.clone());
        let thread = std::thread::Builder::new().name("scan".to_owned());
        thread
            .spawn(move || {
                if let Err(error) = read(&client, &topic, ends, &sender) {
                    // Whoever reads may have gone.
                    let _ = sender.blocking_send(Err(error));
                }
            })
            .map_err(|error| Error::retry("start the reading thread", error))?;
        Ok(receiver)
    }

    /// Has the group remember an offset, and a text beside it, for these partitions. Durable when
    /// it returns.
    pub fn remember(&self, marks: &[(i32, i64, String)]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset, text) in marks {
            let mut of = list.add_partition(&self.topic, *partition);
            of.set_metadata(text);
            let set = of.set_offset(Offset::Offset(*offset));
            set.map_err(|error| self.failed("commit", &error))?;
        }
        patiently(|| self.client.commit(&list, CommitMode::Sync))
            .map_err(|error| self.failed("remember what was put back of", &error))
    }

    fn failed(&self, what: &str, error: &KafkaError) -> Error {
        fault::error(format!("{what} kafka:{}", self.topic), error)
            .hint("is the broker running? KAFKA_BOOTSTRAP_SERVERS or --brokers says where it is")
    }
}

/// Asks again while the broker says "not yet"; a broker that is not there is no such case.
fn patiently<T>(mut ask: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    use RDKafkaErrorCode as Code;
    let started = Instant::now();
    loop {
        let error = match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let not_yet = matches!(
            fault::code(&error),
            Some(
                Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::NotLeaderForPartition
                    | Code::LeaderNotAvailable
            )
        );
        if !not_yet || started.elapsed() > PATIENCE {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn read(
    client: &BaseConsumer<Quiet>,
    topic: &str,
    mut ends: BTreeMap<i32, i64>,
    sender: &mpsc::Sender<Result<Scanned>>,
) -> Result<()> {
    let operation = || format!("read kafka:{topic}");
    let mut heard = Instant::now();
    while !ends.is_empty() && !sender.is_closed() {
        match client.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let (partition, offset) = (message.partition(), message.offset());
                let Some(end) = ends.get(&partition).copied() else { continue };
                if offset + 1 >= end {
                    ends.remove(&partition);
                }
                let scanned = Scanned { record: record(&message), partition, offset };
                if offset < end && sender.blocking_send(Ok(scanned)).is_err() {
                    return Ok(());
                }
                // While the program was busy with what it has, nothing could be heard.
                heard = heard.max(Instant::now());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
            }
            Some(Err(error)) => match fault::code(&error).map_or(Kind::Retry, fault::kind) {
                Kind::Fatal | Kind::Reject => return Err(fault::error(operation(), &error)),
                Kind::Retry => log::debug!("{}: {error}", operation()),
            },
            None => {}
        }
        if heard.elapsed() > SILENCE_MAX {
            return Err(Error::retry(operation(), "the broker does not answer"));
        }
    }
    Ok(())
}
