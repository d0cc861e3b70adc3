//! The lease: nothing is sent to the outside under a partition unless the broker confirmed, within
//! the last third of the session time-out, that we are a member in good standing. A program that
//! was stopped for a while thereby notices before it acts, not after.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::fault;
use super::shared::Shared;
use crate::endpoint::Position;
use crate::error::{Error, Kind, Result};

/// The share of the session time-out for which a confirmation counts.
const SESSION_PARTS: u32 = 3;

/// Cheap to clone; all clones share one confirmation.
#[derive(Clone, Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    term: Duration,
    /// When the last commit that succeeded was begun.
    confirmed: Arc<Mutex<Option<Instant>>>,
    /// One commit at a time, for all that wait for one.
    committing: Arc<tokio::sync::Mutex<()>>,
}

impl Lease {
    pub(super) fn new(shared: Arc<Shared>, session_timeout_ms: u64) -> Self {
        Self {
            shared,
            term: Duration::from_millis(session_timeout_ms) / SESSION_PARTS,
            confirmed: Arc::default(),
            committing: Arc::default(),
        }
    }

    /// See [`crate::endpoint::Lease::held`].
    pub async fn held(&self, at: Position) -> Result<bool> {
        if !self.is_ours(at) {
            return Ok(false);
        }
        if self.is_confirmed() {
            return Ok(true);
        }
        match tokio::time::timeout(self.term, self.confirm()).await {
            Ok(confirmed) => confirmed?,
            Err(_) => return Err(self.error("the broker does not answer")),
        }
        Ok(self.is_ours(at) && self.is_confirmed())
    }

    fn is_ours(&self, at: Position) -> bool {
        let consumer = self.shared.consumer.get().and_then(Weak::upgrade);
        let lost = consumer.is_none_or(|consumer| consumer.assignment_lost());
        !lost && self.shared.partitions().is_current(at)
    }

    fn is_confirmed(&self) -> bool {
        let confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.is_some_and(|begun| begun.elapsed() < self.term)
    }

    async fn confirm(&self) -> Result<()> {
        // Held by the commit itself: one that hangs is not joined by a second.
        let guard = Arc::clone(&self.committing).lock_owned().await;
        if self.is_confirmed() {
            return Ok(());
        }
        let lease = self.clone();
        let commit = tokio::task::spawn_blocking(move || {
            let result = lease.commit();
            drop(guard);
            result
        });
        commit.await.map_err(|error| self.error(error))?
    }

    /// Commits the lowest unfinished offsets and waits for the broker's answer.
    fn commit(&self) -> Result<()> {
        let Some(consumer) = self.shared.consumer.get().and_then(Weak::upgrade) else {
            return Err(self.error("the consumer is closed"));
        };
        let lowest = self.shared.partitions().lowest();
        let offsets: Vec<_> = lowest.iter().map(|(of, offset)| (*of, Some(*offset))).collect();
        // Before the call: the broker may have answered at any moment after it.
        let begun = Instant::now();
        match consumer.commit(&self.shared.list(&offsets), CommitMode::Sync) {
            Ok(()) => {
                let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
                *confirmed = Some(begun);
                Ok(())
            }
            Err(error) => Err(self.refused(&error)),
        }
    }

    fn refused(&self, error: &KafkaError) -> Error {
        let Some(code) = error.rdkafka_error_code() else { return self.error(error) };
        if code == RDKafkaErrorCode::FencedInstanceId {
            let fatal = self.shared.fatal(code, "");
            self.shared.outage.set_fatal(fatal.clone());
            return fatal;
        }
        if matches!(
            code,
            RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::UnknownMemberId
        ) {
            return self.error("a rebalance is under way");
        }
        match fault::kind(code) {
            Kind::Fatal => self.shared.fatal(code, "the commit was refused"),
            Kind::Retry | Kind::Reject => self.error(code),
        }
    }

    fn error(&self, cause: impl std::fmt::Display) -> Error {
        Error::retry(format!("confirm the lease on {}", self.shared.names()), cause)
    }
}
