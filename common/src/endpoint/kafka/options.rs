//! Every librdkafka property that matters here, each with the reason for its value, and the
//! properties that the user sets (`-X`), which come last and win. Values are never printed.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use super::RECORD_BYTES_MAX;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// After this time without a sign of life the broker gives a member's partitions to others; also
/// what a start after a kill waits without `--instance`.
pub const SESSION_TIMEOUT_MS: u64 = 10_000;

/// Fetched records that wait in a consumer (librdkafka's default is 64 MiB).
const PREFETCH_KIB_MAX: usize = 8 * 1024;

/// Records that wait in a producer; beyond it the writer waits (the default is 1 GiB).
const PRODUCE_QUEUE_KIB_MAX: usize = 16 * 1024;
const PRODUCE_QUEUE_RECORDS_MAX: usize = 20_000;

/// A record that could not be delivered for so long is given up, visibly: its producer is closed.
const DELIVERY_TIMEOUT_MS: u64 = 300_000;

/// How quickly a broker that was away is noticed again (librdkafka waits up to 10 s).
const RECONNECT_WAIT_MS_MAX: u64 = 1_000;

/// Offsets of finished records are committed this often; a kill repeats at most as much.
const COMMIT_INTERVAL_MS: u64 = 1_000;

/// How often librdkafka reports the lag and its connections (it has no cheaper way to say it).
const STATISTICS_INTERVAL_MS: u64 = 10_000;

/// A broker, and how to talk to it.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `host:port`, several by commas.
    pub bootstrap: String,
    /// Any librdkafka property, as `-X` gives it. Values may be secrets.
    pub properties: Vec<(String, Secret)>,
    /// The program's name, for the broker's logs.
    pub client_id: String,
    /// Partitions of a topic that is created because it is absent.
    pub partitions: i32,
    /// Its replicas; -1 is the broker's default.
    pub replication: i32,
}

/// What a consumer needs beside that.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    pub group: String,
    /// Static membership: a member started again under its name has its partitions back at once.
    pub instance: Option<String>,
    /// `Input::End` once every assigned partition was read to its end.
    pub exit_at_end: bool,
    /// Read a partition up to its high watermark first, then deliver only what is not superseded.
    pub read_ahead: bool,
}

impl KafkaOptions {
    pub fn new(bootstrap: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            properties: Vec::new(),
            client_id: client_id.into(),
            partitions: 6,
            replication: -1,
        }
    }

    /// What every client has.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", &self.client_id)
            // A topic is created on purpose, with our settings, never by asking for it.
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", RECONNECT_WAIT_MS_MAX.to_string())
            // A broker behind a firewall that forgets idle connections stays reachable.
            .set("socket.keepalive.enable", "true")
            // One write is one record: waiting for a second to fill a segment only costs time.
            .set("socket.nagle.disable", "true")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .set_log_level(RDKafkaLogLevel::Info);
        config
    }

    pub(super) fn consumer(&self, options: &ConsumerOptions) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", &options.group)
            // Only partitions that move stop; the others go on.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT_MS.to_string())
            // Members hear of a rebalance by their next heartbeat: it takes two or three of them.
            .set("heartbeat.interval.ms", (SESSION_TIMEOUT_MS / 10).to_string())
            // A new group starts at the oldest record: nothing is skipped.
            .set("auto.offset.reset", "earliest")
            // Stored by us when a record is finished, committed by librdkafka in the background,
            // on a rebalance and when the consumer is closed.
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", COMMIT_INTERVAL_MS.to_string())
            // An end is of interest only to whoever waits for it: with several topics the broker
            // has to be asked which of them ended, behind a fetch that waits for a second.
            .set("enable.partition.eof", (options.exit_at_end || options.read_ahead).to_string())
            .set("queued.max.messages.kbytes", PREFETCH_KIB_MAX.to_string())
            .set("max.partition.fetch.bytes", RECORD_BYTES_MAX.to_string())
            .set("fetch.max.bytes", (PREFETCH_KIB_MAX * 1024).to_string())
            // Idle, ask once a second; a record that comes answers the question at once.
            .set("fetch.wait.max.ms", "1000")
            .set("statistics.interval.ms", STATISTICS_INTERVAL_MS.to_string());
        if let Some(instance) = &options.instance {
            config.set("group.instance.id", instance);
        }
        self.overridden(config)
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // A retry neither doubles nor reorders.
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "5")
            .set("compression.type", "lz4")
            // librdkafka's default of 5 ms is most of the time a record takes.
            .set("linger.ms", "1")
            .set("statistics.interval.ms", STATISTICS_INTERVAL_MS.to_string())
            .set("message.timeout.ms", DELIVERY_TIMEOUT_MS.to_string())
            .set("queue.buffering.max.kbytes", PRODUCE_QUEUE_KIB_MAX.to_string())
            .set("queue.buffering.max.messages", PRODUCE_QUEUE_RECORDS_MAX.to_string())
            // The partition that Kafka's own (Java) tools would choose for the key.
            .set("partitioner", "murmur2_random");
        self.overridden(config)
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.overridden(self.client())
    }

    fn overridden(&self, mut config: ClientConfig) -> ClientConfig {
        for (key, value) in &self.properties {
            config.set(key, value.expose());
        }
        config
    }

    /// The session time-out that counts: ours, or the user's by `-X`.
    pub(super) fn session_timeout_ms(&self) -> u64 {
        let given = self.properties.iter().rev().find(|(key, _)| key == "session.timeout.ms");
        given.and_then(|(_, value)| value.expose().parse().ok()).unwrap_or(SESSION_TIMEOUT_MS)
    }
}

/// Why a client could not be made, without the value of the property that is wrong.
pub(super) fn refused(operation: String, error: &KafkaError) -> Error {
    let cause = match error {
        KafkaError::ClientConfig(_, description, key, _value) => {
            // librdkafka repeats the value in its description of some faults.
            let description = if description.contains("Invalid value") || description.is_empty() {
                "its value is refused"
            } else {
                description
            };
            format!("the property {key} is wrong: {description}")
        }
        other => other.to_string(),
    };
    Error::fatal(operation, cause).hint("properties are set by -X key=value or KAFKA_OPTIONS")
}

/// Properties from `KAFKA_OPTIONS` (`key=value`, by blanks) and from the file `KAFKA_OPTIONS_FILE`
/// (one a line, `#` for comments: the place for passwords). Those of `-X` are put after them.
pub fn properties_from_env() -> Result<Vec<(String, Secret)>> {
    let mut properties = Vec::new();
    if let Ok(path) = std::env::var("KAFKA_OPTIONS_FILE")
        && !path.is_empty()
    {
        let operation = format!("read KAFKA_OPTIONS_FILE {path}");
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| Error::fatal(operation.clone(), error))?;
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            properties.push(parse_property(&operation, line)?);
        }
    }
    if let Ok(text) = std::env::var("KAFKA_OPTIONS") {
        for part in text.split_whitespace() {
            properties.push(parse_property("read KAFKA_OPTIONS", part)?);
        }
    }
    Ok(properties)
}

/// One `key=value`.
pub fn parse_property(operation: &str, text: &str) -> Result<(String, Secret)> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), Secret::new(value.trim())))
        }
        // Not shown: half of a password that was split at a blank would stand here.
        Some(_) | None => Err(Error::fatal(operation, "a property is not key=value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_of_the_user_wins_and_is_never_printed() {
        let mut options = KafkaOptions::new("127.0.0.1:9092", "test");
        options.properties.push(parse_property("-X", "sasl.password=a=b c").expect("a property"));
        options.properties.push(parse_property("-X", "linger.ms=7").expect("a property"));
        let config = options.producer();
        assert_eq!(config.get("sasl.password"), Some("a=b c"));
        assert_eq!(config.get("linger.ms"), Some("7"));
        assert!(!format!("{options:?}").contains("a=b c"));
        assert!(parse_property("-X", "novalue").is_err() && parse_property("-X", "=x").is_err());
    }

    #[test]
    fn the_session_time_out_of_the_user_counts_for_the_lease() {
        let mut options = KafkaOptions::new("127.0.0.1:9092", "test");
        assert_eq!(options.session_timeout_ms(), SESSION_TIMEOUT_MS);
        options.properties.push(("session.timeout.ms".into(), Secret::new("6000")));
        assert_eq!(options.session_timeout_ms(), 6000);
    }

    #[test]
    fn a_wrong_property_is_named_without_its_value() {
        let mut options = KafkaOptions::new("127.0.0.1:9092", "test");
        options.properties.push(("acks".into(), Secret::new("hush")));
        let created = options.producer().create::<rdkafka::producer::BaseProducer>();
        let error = refused("open".into(), &created.err().expect("refused"));
        assert!(error.to_string().contains("acks") && !error.to_string().contains("hush"));
    }
}
