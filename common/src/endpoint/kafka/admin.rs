//! Topics are created on start when they are absent, with our limits. An existing topic is never
//! changed, and none is ever deleted.

use std::time::Duration;

use log::{info, warn};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

use super::RECORD_BYTES_MAX;
use super::fault;
use super::options::{KafkaOptions, refused};
use crate::error::{Error, Kind, Result};

/// How long a start waits for a broker that is not there yet; then the program ends with 69 and
/// its supervisor starts it again.
pub const START_WAIT_MS_MAX: u64 = 30_000;

/// Between two attempts.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        fault::log_line(level, facility, text);
    }

    // Each attempt says its own error; librdkafka's would come on top.
    fn error(&self, error: KafkaError, reason: &str) {
        log::debug!("kafka: {error}: {reason}");
    }
}

/// Creates the topic unless it is there, waiting for the broker for a named time.
pub async fn ensure_topic(topic: &str, kafka: &KafkaOptions) -> Result<()> {
    let operation = format!("create kafka:{topic} at {}", kafka.bootstrap);
    let client = AdminClient::from_config_and_context(&kafka.admin(), Quiet);
    let client = client.map_err(|error| refused(operation.clone(), &error))?;
    let deadline = Instant::now() + Duration::from_millis(START_WAIT_MS_MAX);
    let mut said = false;
    loop {
        let error = match create(&client, topic, kafka).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match fault::code(&error).map_or(Kind::Retry, fault::kind) {
            Kind::Fatal | Kind::Reject => return Err(fault::error(operation, &error)),
            Kind::Retry => {}
        }
        if Instant::now() >= deadline {
            return Err(Error::retry(operation, "the broker does not answer")
                .hint("is it running? KAFKA_BOOTSTRAP_SERVERS or --brokers says where it is"));
        }
        if !said {
            said = true;
            let error = fault::error(operation.clone(), &error);
            warn!("{error}; trying for {} s", START_WAIT_MS_MAX / 1000);
        }
        tokio::time::sleep(RETRY_WAIT).await;
    }
}

/// Creates the topic if the broker is there; if it is not, that is for later.
pub(super) async fn try_topic(topic: &str, kafka: &KafkaOptions) -> Result<()> {
    let operation = format!("create kafka:{topic} at {}", kafka.bootstrap);
    let client = AdminClient::from_config_and_context(&kafka.admin(), Quiet);
    let client = client.map_err(|error| refused(operation.clone(), &error))?;
    let Err(error) = create(&client, topic, kafka).await else { return Ok(()) };
    let error = fault::error(operation, &error);
    match error.kind {
        Kind::Fatal | Kind::Reject => Err(error),
        Kind::Retry => {
            log::debug!("{error}");
            Ok(())
        }
    }
}

/// How long a topic keeps its records; `None` is the broker's default. Dead letters wait for
/// somebody to look at them, however long that takes.
fn retention_ms(topic: &str) -> Option<&'static str> {
    topic.strip_suffix(".dlq").map(|_| "-1")
}

async fn create(
    client: &AdminClient<Quiet>,
    topic: &str,
    kafka: &KafkaOptions,
) -> std::result::Result<(), KafkaError> {
    let bytes_max = RECORD_BYTES_MAX.to_string();
    let replication = TopicReplication::Fixed(kafka.replication);
    let mut new =
        NewTopic::new(topic, kafka.partitions, replication).set("max.message.bytes", &bytes_max);
    if let Some(retention) = retention_ms(topic) {
        new = new.set("retention.ms", retention);
    }
    let options = AdminOptions::new()
        .request_timeout(Some(ATTEMPT_TIMEOUT))
        .operation_timeout(Some(ATTEMPT_TIMEOUT));
    for result in client.create_topics([&new], &options).await? {
        match result {
            Ok(_) => info!("kafka:{topic}: created with {} partitions", kafka.partitions),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((
                _,
                code @ (RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed),
            )) => {
                // Where rights are strict somebody else makes topics. If nobody did, reading and
                // writing will say so.
                warn!("kafka:{topic}: may not be created by us ({code}): it should exist");
            }
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_kept_for_good_and_all_else_as_the_broker_likes() {
        assert_eq!(retention_ms("customer_events.dlq"), Some("-1"));
        assert_eq!(retention_ms("customer_events"), None);
        assert_eq!(retention_ms("a.dlq.b"), None);
    }
}
