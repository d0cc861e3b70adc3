//! What a Kafka error means for us, decided once, and how often it is said: an outage is one line
//! in the log, not one a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::{Error, Kind};

/// An outage that goes on is said again after this time.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// An outage that was over this long ago may still explain what happens now: a broker answers late
/// requests of before.
const RECENT: Duration = Duration::from_secs(60);

/// The fate of an error of the broker or of librdkafka.
pub fn kind(code: RDKafkaErrorCode) -> Kind {
    use RDKafkaErrorCode as Code;
    match code {
        // Credentials or rights are refused: only the operator can change that.
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        // Another member has our name, or our configuration does not fit the group's or topic's.
        | Code::FencedInstanceId
        | Code::InconsistentGroupProtocol
        | Code::InvalidSessionTimeout
        | Code::InvalidGroupId
        | Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::UnsupportedVersion => Kind::Fatal,
        // This one record can never be written there.
        Code::MessageSizeTooLarge | Code::InvalidMessage | Code::InvalidRecord => Kind::Reject,
        // All others, those of future brokers too: time may heal it, and giving up loses more.
        other => {
            debug!("kafka error taken as transient: {other:?}");
            Kind::Retry
        }
    }
}

/// The code within an error, where it has one (rdkafka leaves out those of admin calls).
pub fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// The error in our form.
pub fn error(operation: impl Into<String>, error: &KafkaError) -> Error {
    let kind = code(error).map_or(Kind::Retry, kind);
    let cause = match code(error) {
        Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::AllBrokersDown) => {
            "the broker does not answer".to_owned()
        }
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    Error::new(kind, operation, cause)
}

/// Says an outage once, and that it is over.
#[derive(Debug)]
pub struct Outage {
    /// As in `kafka:customer_events`.
    name: String,
    since: Mutex<Option<(Instant, String)>>,
    /// When the last outage was over.
    over_at: Mutex<Option<Instant>>,
    fatal: Mutex<Option<Error>>,
}

impl Outage {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            since: Mutex::default(),
            over_at: Mutex::default(),
            fatal: Mutex::default(),
        }
    }

    /// Something failed that is tried again.
    pub fn failed(&self, what: &str, code: Option<RDKafkaErrorCode>) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.as_ref().is_none_or(|(said, _)| said.elapsed() > REPEAT_AFTER) {
            *since = Some((Instant::now(), what.to_owned()));
            warn!("{}: {what}; trying again", self.name);
        } else {
            debug!("{}: {what} ({code:?})", self.name);
        }
    }

    /// Something worked.
    pub fn worked(&self) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.take().is_some() {
            *self.over_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            info!("{}: works again", self.name);
        }
    }

    /// Something fails, or did until a moment ago.
    pub fn is_recent(&self) -> bool {
        // Before the other lock: whoever says that it works again takes them in this order too.
        let is_troubled = self.trouble().is_some();
        let over_at = self.over_at.lock().unwrap_or_else(PoisonError::into_inner);
        is_troubled || over_at.is_some_and(|at| at.elapsed() < RECENT)
    }

    /// What failed last and did not work since.
    pub fn trouble(&self) -> Option<String> {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.as_ref().map(|(_, what)| format!("{}: {what}", self.name))
    }

    /// librdkafka's statistics say that a broker answers.
    pub fn statistics(&self, statistics: &[u8]) {
        // Cheaper than reading all of it, and only a log line depends on it.
        let up = br#""state":"UP""#;
        if self.trouble().is_some() && statistics.windows(up.len()).any(|part| part == up) {
            self.worked();
        }
    }

    /// A global error that librdkafka reports on its own; it goes on trying unless it is fatal.
    pub fn reported(&self, error: &KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        match code {
            // No error: it says that a partition was read to its end.
            RDKafkaErrorCode::PartitionEOF => {}
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                let operation = format!("log in to the broker for {}", self.name);
                self.set_fatal(Error::fatal(operation, reason));
            }
            code if reason.is_empty() => self.failed(&code.to_string(), Some(code)),
            code => self.failed(reason, Some(code)),
        }
    }

    pub fn set_fatal(&self, error: Error) {
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        fatal.get_or_insert(error);
    }

    /// The error that only the operator can mend, if one was met.
    pub fn fatal(&self) -> Option<Error> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// librdkafka's own log lines: for those who look for something. What counts comes as an error.
pub fn log_line(level: RDKafkaLogLevel, facility: &str, text: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            warn!("librdkafka: {facility}: {text}");
        }
        RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info
        | RDKafkaLogLevel::Debug => debug!("librdkafka: {facility}: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_starts_is_waited_for_and_refused_credentials_are_not() {
        use RDKafkaErrorCode as Code;
        for code in [
            Code::CoordinatorLoadInProgress,
            Code::NotCoordinator,
            Code::UnknownTopicOrPartition,
            Code::AllBrokersDown,
            Code::RebalanceInProgress,
        ] {
            assert_eq!(kind(code), Kind::Retry, "{code:?}");
        }
        for code in [Code::Authentication, Code::FencedInstanceId, Code::TopicAuthorizationFailed] {
            assert_eq!(kind(code), Kind::Fatal, "{code:?}");
        }
        assert_eq!(kind(Code::MessageSizeTooLarge), Kind::Reject);
    }

    #[test]
    fn the_end_of_a_partition_is_no_outage() {
        let outage = Outage::new("kafka:x");
        outage.reported(&KafkaError::Global(RDKafkaErrorCode::PartitionEOF), "");
        assert!(outage.since.lock().expect("unpoisoned").is_none());
        outage.reported(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 are down");
        assert!(outage.since.lock().expect("unpoisoned").is_some() && outage.fatal().is_none());
        outage.reported(&KafkaError::Global(RDKafkaErrorCode::Authentication), "refused");
        assert!(outage.fatal().is_some());
    }
}
