//! What a mover counts, and whether it moves. Only numbers: nothing is decided by them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounter, IntGauge};

use crate::clock;
use crate::error::Result;
use crate::metrics::{Metrics, Ready};

/// A mover with waiting records that finished none for so long is not ready.
const STALL_MS_MAX: i64 = 60_000;

/// Why a mover is not ready at first.
const NOT_OPEN: &str = "the broker has not answered yet";

/// A mover's numbers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Counters {
    pub read: IntCounter,
    pub done: IntCounter,
    pub rejected: IntCounter,
    pub retries: IntCounter,
    pub superseded_or_revoked: IntCounter,
    pub waiting: IntGauge,
    pub in_flight: IntGauge,
    pub lag: IntGauge,
    pub last_progress_seconds: IntGauge,
    progress_ms: Arc<AtomicI64>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Counters {
    pub fn new(metrics: &Metrics) -> Result<Self> {
        Ok(Self {
            read: metrics.counter("mover_records_read_total", "records read")?,
            done: metrics.counter("mover_records_done_total", "records finished")?,
            rejected: metrics.counter("mover_records_rejected_total", "records dead-lettered")?,
            retries: metrics.counter("mover_retries_total", "tries that will be repeated")?,
            superseded_or_revoked: metrics
                .counter("mover_records_dropped_total", "records left to another instance")?,
            waiting: metrics.gauge("mover_records_waiting", "records taken and not yet begun")?,
            in_flight: metrics.gauge("mover_records_in_flight", "records being acted on")?,
            lag: metrics.gauge("mover_lag_records", "records not yet read, -1 when unknown")?,
            last_progress_seconds: metrics
                .gauge("mover_last_progress_seconds", "when a record was last finished (Unix)")?,
            progress_ms: Arc::new(AtomicI64::new(clock::now_ms())),
            trouble: Arc::new(Mutex::new(Some(NOT_OPEN.to_owned()))),
        })
    }

    pub(super) fn progressed(&self) {
        let now_ms = clock::now_ms();
        self.progress_ms.store(now_ms, Ordering::Relaxed);
        self.last_progress_seconds.set(now_ms / 1000);
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// For `/readyz`: the pipeline moves, or has nothing to move.
    pub fn ready(&self) -> Ready {
        let counters = self.clone();
        Arc::new(move || counters.check())
    }

    fn check(&self) -> std::result::Result<(), String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let in_hand = self.waiting.get() + self.in_flight.get();
        let still_ms = clock::now_ms() - self.progress_ms.load(Ordering::Relaxed);
        if in_hand > 0 && still_ms > STALL_MS_MAX {
            let seconds = still_ms / 1000;
            return Err(format!("{in_hand} records wait and none was finished for {seconds} s"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mover_that_stands_still_with_work_waiting_is_not_ready() {
        let counters = Counters::new(&Metrics::new()).expect("new names");
        let ready = counters.ready();
        assert!(ready().is_err(), "nothing is open yet");
        counters.set_trouble(None);
        counters.progress_ms.store(0, Ordering::Relaxed);
        assert_eq!(ready(), Ok(()));
        counters.waiting.set(2);
        assert!(ready().is_err_and(|why| why.starts_with("2 records wait")));
        counters.progressed();
        assert_eq!(ready(), Ok(()));
        counters.set_trouble(Some("kafka:x: all brokers are down".to_owned()));
        assert!(ready().is_err());
    }
}
