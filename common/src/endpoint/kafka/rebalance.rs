//! Rebalances: partitions that the group gives us or takes back. Where to begin is a question to
//! the broker, asked outside of librdkafka's callback and again until it is answered. What was
//! given to us is read, or the program ends: it is never left aside in silence. Reads no record.

use std::time::{Duration, Instant};

use log::{debug, info, warn};
use rdkafka::consumer::{Consumer as _, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::fault;
use super::partitions::Key;
use super::shared::{Consumer, Shared};
use crate::endpoint::Input;
use crate::error::{Error, Kind};

/// How long a question to the broker may take (committed offsets, watermarks, a seek).
pub const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two attempts to begin with new partitions.
pub const ASSIGN_RETRY: Duration = Duration::from_millis(500);

/// Attempts to assign the same partitions, some ten seconds of them. Where so many failed a new
/// start, which joins the group anew, is the better attempt.
const ASSIGN_TRIES_MAX: u32 = 20;

/// The group gave us these. Called back by librdkafka.
pub fn given(shared: &Shared, consumer: &Consumer, list: &TopicPartitionList) {
    // Where to begin is a question to the broker: asked outside of the callback, and again until
    // it is answered. Until then librdkafka waits with the assignment.
    shared.to_assign().extend(shared.keys(list));
    // While closing nobody else answers, and librdkafka would wait for ever.
    if (list.count() == 0 || shared.is_stopping())
        && let Err(error) = assign(consumer, list)
    {
        // Nothing waits that would bring another attempt.
        shared.outage.set_fatal(failed_for_good(shared, &error, 1));
    }
}

/// The group took these back. Called back by librdkafka.
pub fn taken_back(shared: &Shared, consumer: &Consumer, list: &TopicPartitionList) {
    let keys = shared.keys(list);
    shared.to_assign().retain(|key| !keys.contains(key));
    // From here on nothing of them is stored and no lease is given for them.
    let revoked = shared.partitions().revoke(&keys);
    let result = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    };
    answered(shared, result);
    if !revoked.is_empty() {
        info!("{}: gave back {} partitions", shared.names(), revoked.len());
        shared.hand_over(Ok(Input::Revoked(revoked)));
    }
}

/// librdkafka waits for this answer before it does anything else: without one, for ever.
fn answered(shared: &Shared, result: KafkaResult<()>) {
    if let Err(error) = result {
        let what = "partitions taken from us could not be given back";
        shared.outage.set_fatal(for_good(shared, &error, what));
    }
}

fn assign(consumer: &Consumer, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// An assignment that failed, as an end of the program. `Retry`: a new start heals it.
fn failed_for_good(shared: &Shared, error: &KafkaError, tries: u32) -> Error {
    let what = format!("partitions given to us could not be begun with (tried {tries} times)");
    for_good(shared, error, &what)
}

fn for_good(shared: &Shared, error: &KafkaError, what: &str) -> Error {
    match fault::code(error) {
        Some(code) if fault::kind(code) == Kind::Fatal => shared.fatal(code, &error.to_string()),
        Some(_) | None => {
            let cause = format!("{what}: {error}");
            Error::retry(format!("read {}", shared.names()), cause).hint("start it again")
        }
    }
}

/// Begins with partitions that were given to us.
pub struct Beginner {
    next_try: Instant,
    failed: u32,
}

impl Beginner {
    pub fn new() -> Self {
        Self { next_try: Instant::now(), failed: 0 }
    }

    /// Begins with those that wait. True while some still do.
    pub fn begin_waiting(&mut self, shared: &Shared, consumer: &Consumer) -> bool {
        let keys = shared.to_assign().clone();
        if keys.is_empty() {
            self.failed = 0;
            return false;
        }
        if Instant::now() < self.next_try {
            return true;
        }
        self.next_try = Instant::now() + ASSIGN_RETRY;
        let begins = match begins(shared, consumer, &keys) {
            Ok(begins) => begins,
            Err(error) => {
                unknown(shared, &error);
                return true;
            }
        };
        let offsets: Vec<_> = begins.iter().map(|(of, start, _)| (*of, Some(*start))).collect();
        let list = shared.list(&offsets);
        if !self.hold(shared, &begins, || assign(consumer, &list)) {
            return true;
        }
        info!("{}: got {} partitions", shared.names(), begins.len());
        pause_as_the_others(shared, consumer, &list);
        self.next_try = Instant::now();
        false
    }

    /// Holds these partitions if `assign` works. If it does not they wait for another attempt; the
    /// last one ends the program.
    fn hold(
        &mut self,
        shared: &Shared,
        begins: &[(Key, i64, i64)],
        assign: impl FnOnce() -> KafkaResult<()>,
    ) -> bool {
        let keys: Vec<Key> = begins.iter().map(|(of, _, _)| *of).collect();
        // Held first: a record may be there as soon as the assignment is.
        shared.partitions().assign(begins, shared.read_ahead);
        let Err(error) = assign() else {
            self.failed = 0;
            shared.to_assign().retain(|key| !keys.contains(key));
            return true;
        };
        shared.partitions().revoke(&keys);
        self.failed += 1;
        let code = fault::code(&error);
        let is_fatal = code.is_some_and(|code| fault::kind(code) == Kind::Fatal);
        if is_fatal || self.failed >= ASSIGN_TRIES_MAX {
            shared.outage.set_fatal(failed_for_good(shared, &error, self.failed));
        } else {
            shared.outage.failed(&format!("assign: {error}"), code);
        }
        false
    }
}

/// The broker did not say where to begin: it is asked again, unless it refuses to say.
fn unknown(shared: &Shared, error: &KafkaError) {
    let code = fault::code(error);
    if code.is_some_and(|code| fault::kind(code) == Kind::Fatal) {
        shared.outage.set_fatal(failed_for_good(shared, error, 1));
    } else {
        shared.outage.failed(&format!("find where to begin: {error}"), code);
    }
}

/// Pauses partitions that were just assigned, if the others are paused.
fn pause_as_the_others(shared: &Shared, consumer: &Consumer, list: &TopicPartitionList) {
    let mut is_paused = false;
    // The program may go on between the look and the pause, and would leave these behind.
    while shared.is_paused() != is_paused {
        is_paused = !is_paused;
        let result = if is_paused { consumer.pause(list) } else { consumer.resume(list) };
        if let Err(error) = result {
            debug!("{}: pause {is_paused}: {error}", shared.names());
        }
    }
}

/// librdkafka cannot be closed while it waits for an assignment to be answered.
pub fn release(shared: &Shared, consumer: &Consumer) {
    let keys: Vec<_> = shared.to_assign().drain(..).map(|key| (key, None)).collect();
    if !keys.is_empty()
        && let Err(error) = assign(consumer, &shared.list(&keys))
    {
        // Nothing of them was read. Closing waits only so long.
        debug!("{}: assign: {error}", shared.names());
    }
}

/// For each partition where it begins and its high watermark.
fn begins(shared: &Shared, consumer: &Consumer, keys: &[Key]) -> KafkaResult<Vec<(Key, i64, i64)>> {
    let unset: Vec<_> = keys.iter().map(|key| (*key, None)).collect();
    let committed = consumer.committed_offsets(shared.list(&unset), ASK_TIMEOUT)?;
    let mut begins = Vec::with_capacity(keys.len());
    let mut unknown = 0;
    for element in committed.elements() {
        element.error()?;
        let (topic, partition) = (element.topic(), element.partition());
        let Some(source) = shared.source(topic) else { continue };
        let (low, high) = consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT)?;
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            Offset::Beginning
            | Offset::End
            | Offset::Stored
            | Offset::Invalid
            | Offset::OffsetTail(_) => None,
        };
        unknown += usize::from(committed.is_none() && high > 0);
        let start = begin(shared, (topic, partition), committed, (low, high));
        begins.push(((source, partition), start, high));
    }
    if unknown > 0 {
        let end = if shared.from_latest { "latest" } else { "earliest" };
        let (names, group) = (shared.names(), &shared.group);
        info!("{names}: group {group} has no offset in {unknown} partitions: from the {end} on");
    }
    Ok(begins)
}

/// The committed offset or, where there is none that still exists, the oldest record; said
/// aloud, since the broker would decide it in silence.
fn begin(
    shared: &Shared,
    (topic, of): (&str, i32),
    committed: Option<i64>,
    (low, high): (i64, i64),
) -> i64 {
    let reset = if shared.from_latest { high } else { low };
    let group = &shared.group;
    match committed {
        Some(offset) if offset < low => {
            warn!(
                "kafka:{topic} partition {of}: offset {offset} of group {group} is gone, the \
                 oldest record is {low}: beginning at {reset}"
            );
            reset
        }
        Some(offset) if offset > high => {
            warn!(
                "kafka:{topic} partition {of}: offset {offset} of group {group} is beyond the \
                 end {high}, so the broker lost records or the topic was made anew: beginning \
                 at {reset}"
            );
            reset
        }
        Some(offset) => offset,
        // Said once for all of them by the caller.
        None => reset,
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode as Code;
    use tokio::sync::mpsc;

    use super::*;
    use crate::endpoint::kafka::ConsumerOptions;

    const BEGINS: [(Key, i64, i64); 2] = [((0, 0), 5, 9), ((0, 1), 0, 0)];

    /// Two partitions were given to us.
    fn given_two() -> Shared {
        let options = ConsumerOptions {
            group: "g".into(),
            instance: None,
            exit_at_end: false,
            read_ahead: false,
        };
        let (inputs, _) = mpsc::channel(1);
        let shared = Shared::new(vec!["t".into()], &options, false, inputs);
        shared.to_assign().extend([(0, 0), (0, 1)]);
        shared
    }

    fn refuses() -> KafkaResult<()> {
        Err(KafkaError::Subscription("no".into()))
    }

    #[test]
    fn what_could_not_be_assigned_waits_for_another_attempt_and_is_read_then() {
        let (shared, mut beginner) = (given_two(), Beginner::new());
        for _ in 1..ASSIGN_TRIES_MAX {
            assert!(!beginner.hold(&shared, &BEGINS, refuses));
            assert_eq!(shared.to_assign().len(), 2, "they still wait");
            assert!(shared.partitions().keys().is_empty(), "and are not held");
        }
        assert!(shared.outage.trouble().is_some_and(|what| what.contains("assign")));
        assert!(shared.outage.fatal().is_none());
        assert!(beginner.hold(&shared, &BEGINS, || Ok(())));
        assert!(shared.to_assign().is_empty());
        assert_eq!(shared.partitions().keys().len(), 2);
        assert!(!beginner.hold(&shared, &BEGINS, refuses));
        assert!(shared.outage.fatal().is_none(), "counted anew");
    }

    #[test]
    fn what_can_never_be_assigned_ends_the_program_for_a_new_start() {
        let (shared, mut beginner) = (given_two(), Beginner::new());
        for _ in 0..ASSIGN_TRIES_MAX {
            assert!(!beginner.hold(&shared, &BEGINS, refuses));
        }
        let error = shared.outage.fatal().expect("it ends");
        assert_eq!(error.kind, Kind::Retry, "a new start heals it: {error}");
        assert!(error.to_string().contains("kafka:t"), "{error}");
    }

    #[test]
    fn rights_that_are_refused_are_not_asked_for_again() {
        let (shared, mut beginner) = (given_two(), Beginner::new());
        let refused = || Err(KafkaError::ConsumerCommit(Code::GroupAuthorizationFailed));
        assert!(!beginner.hold(&shared, &BEGINS, refused));
        assert_eq!(shared.outage.fatal().expect("it ends").kind, Kind::Fatal);
    }

    #[test]
    fn a_question_that_is_refused_ends_the_program_and_one_without_an_answer_does_not() {
        let shared = given_two();
        unknown(&shared, &KafkaError::OffsetFetch(Code::OperationTimedOut));
        assert!(shared.outage.fatal().is_none());
        unknown(&shared, &KafkaError::OffsetFetch(Code::TopicAuthorizationFailed));
        assert_eq!(shared.outage.fatal().expect("it ends").kind, Kind::Fatal);
    }

    #[test]
    fn partitions_that_cannot_be_given_back_end_the_program_for_a_new_start() {
        let shared = given_two();
        answered(&shared, Ok(()));
        assert!(shared.outage.fatal().is_none());
        answered(&shared, refuses());
        let error = shared.outage.fatal().expect("it ends");
        assert_eq!(error.kind, Kind::Retry, "a new start heals it: {error}");
        assert!(error.to_string().contains("given back"), "{error}");
    }
}
