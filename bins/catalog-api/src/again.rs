//! Announces again what stays pending (DESIGN 3, Repeat): what is due, at a bounded rate; all of it
//! at once when the broker or the pipe came back empty. And forgets what is old enough. Harmless at
//! any time: the version stays the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::clock;
use common::error::{Error, Result};
use common::record::{Millis, STRIPE};
use common::store::{Tx, Writer};
use common::sync::announce;

use crate::customers::envelope;
use crate::idempotency::KEPT_MS;
use crate::metrics::ApiMetrics;
use crate::readers::Readers;
use crate::ready::Ready;

/// How often to look for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Announced again at each look, at most: 20 a second, below what Stripe takes.
const REPEATS_PER_LOOK_MAX: usize = 100;

/// Announced again in one transaction: some milliseconds of the one writer's time.
const REPEATS_PER_COMMIT: usize = 50;

/// How often old keys and events are forgotten, and how many in one transaction.
const FORGET_EVERY: Duration = Duration::from_secs(600);
const FORGET_PER_COMMIT: usize = 500;

/// Stripe sends an event again for 3 days and lists it for 30; a few more for good measure.
const INBOX_KEPT_MS: Millis = 35 * 24 * 60 * 60 * 1000;

/// What the repeats work with.
#[derive(Clone, Debug)]
pub struct Again {
    pub writer: Writer,
    pub readers: Arc<Readers>,
    pub metrics: ApiMetrics,
}

impl Again {
    /// Repeats and forgets from now on, on a thread of its own that ends with the process.
    pub fn start(self, ready: Arc<Ready>) -> Result<()> {
        let run = move || {
            let mut forgot_at: Option<Instant> = None;
            loop {
                // While nothing can be published, repeats would only pile up in the outbox.
                if ready.check().is_ok()
                    && let Err(error) = self.repeat_due()
                {
                    log::warn!("{error}; trying again");
                }
                if forgot_at.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
                    forgot_at = Some(Instant::now());
                    if let Err(error) = self.forget_old() {
                        log::warn!("{error}; trying again");
                    }
                }
                std::thread::sleep(LOOK_EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("again".to_owned()).stack_size(512 * 1024);
        thread.spawn(run).map_err(|error| Error::retry("start the repeating thread", error))?;
        Ok(())
    }

    fn repeat_due(&self) -> Result<()> {
        let mut repeated = 0;
        while repeated < REPEATS_PER_LOOK_MAX {
            let due = self.readers.read(|store| store.due(STRIPE, clock::now_ms(), 1))?;
            if due.is_empty() {
                break;
            }
            let count = self.writer.run(|tx| {
                let due = tx.due(STRIPE, clock::now_ms(), REPEATS_PER_COMMIT)?;
                announce(tx, &due)
            })?;
            repeated += count;
            if count == 0 {
                break;
            }
        }
        if repeated > 0 {
            log::info!("{repeated} customers announced again: something of them is still pending");
            self.metrics.announced_again.inc_by(repeated as u64);
        }
        Ok(())
    }

    /// Announces all that is pending, whenever it was announced last; only those whose change waits
    /// in the outbox behind row `seq` need no second one. Blocks.
    pub fn announce_all(&self, seq: i64) -> Result<usize> {
        let mut after: Option<String> = None;
        let mut total = 0;
        loop {
            let from = after.take();
            let (count, last) = self.writer.run(move |tx| {
                let ids = tx.wanting(STRIPE, from.as_deref(), REPEATS_PER_COMMIT)?;
                let mut lacking = Vec::with_capacity(ids.len());
                for id in &ids {
                    if !tx.outbox_waits_after(seq, id)? {
                        lacking.push(id);
                    }
                }
                Ok((announce(tx, lacking)?, ids.last().cloned()))
            })?;
            total += count;
            after = last;
            if after.is_none() {
                break;
            }
        }
        self.metrics.announced_again.inc_by(total as u64);
        Ok(total)
    }

    fn forget_old(&self) -> Result<()> {
        loop {
            let now = clock::now_ms();
            let forgotten = self.writer.run(move |tx| {
                let keys = tx.forget_remembered(now - KEPT_MS, FORGET_PER_COMMIT)?;
                Ok(keys.max(tx.inbox_prune(now - INBOX_KEPT_MS, FORGET_PER_COMMIT)?))
            })?;
            if forgotten < FORGET_PER_COMMIT {
                return Ok(());
            }
        }
    }
}

/// Announces these customers again, with the version they have.
fn announce<'a>(tx: &Tx, ids: impl IntoIterator<Item = &'a String>) -> Result<usize> {
    let mut count = 0;
    for id in ids {
        if let Some(mut entry) = tx.entry(id)? {
            let change = announce::again(&mut entry, envelope());
            tx.save(&entry)?;
            tx.announce(&change)?;
            count += 1;
        }
    }
    Ok(count)
}
