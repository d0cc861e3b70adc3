//! Publishes the outbox in order, many records in flight, and deletes a row only when its record is
//! durable where it went. A broker that is away costs nothing but time: rows stay, the API goes on.
//!
//! It never changes a record, but marks those that may have been published before, and never lets a
//! later one overtake an earlier one: when the sink gives up, it starts anew from the oldest row
//! that is left.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use common::endpoint::{AnySink, Delivered, Delivery, Record, Sink as _, Spec, closed};
use common::error::{Error, Kind, Result};
use common::shutdown::Shutdown;
use common::store::Store;
use common::sync::announce;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::again::Again;
use crate::broker::Known;
use crate::ready::Ready;

/// Records handed over and not yet confirmed, at most.
const IN_FLIGHT_RECORDS_MAX: usize = 1_000;

/// Rows read from the outbox at once.
const ROWS_AT_ONCE: usize = 250;

/// Rows deleted in one transaction, at most.
const DELETED_PER_COMMIT_MAX: usize = 500;

/// A confirmed row waits so long for others to be deleted with it: a commit each would cost more
/// than it frees.
const DELETE_WAIT: Duration = Duration::from_millis(20);

/// After an outage the relay starts anew, but not at once.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// How often the broker is asked whether it is still the one that has what was delivered.
const ASK_BROKER_EVERY: Duration = Duration::from_secs(10);

pub struct Relay {
    pub to: Spec,
    pub open: Box<dyn Fn() -> Opening + Send + Sync>,
    pub again: Again,
    /// The newest row of the outbox from before this start.
    pub before: i64,
    /// Told when there may be new rows.
    pub wake: Arc<Notify>,
    pub ready: Arc<Ready>,
}

/// The sink on its way.
pub type Opening = Pin<Box<dyn Future<Output = Result<AnySink>> + Send>>;

/// A row whose record was handed over, and its delivery report to come; `None` for a record that
/// can never be delivered.
struct Handed {
    seq: i64,
    delivery: Option<Delivery>,
}

impl Relay {
    /// Publishes until the end is asked for and the outbox is empty. An error is final: a closed
    /// pipe, or credentials that were refused.
    pub async fn run(&self, stop: Shutdown) -> Result<()> {
        if self.to == Spec::Pipe {
            // A pipe starts empty: whoever reads it knows nothing of what was written before.
            // What was changed since this start waits in the outbox and tells it anyway.
            self.announce_all("what reads our output starts without memory", self.before).await?;
        }
        loop {
            let error = match self.session(&stop).await {
                Ok(()) => return Ok(()),
                Err(error) if closed(&error) || self.to == Spec::Pipe => return Err(error),
                Err(error) => match error.kind {
                    Kind::Retry => error,
                    Kind::Reject | Kind::Fatal => return Err(error),
                },
            };
            if self.ready.broken() {
                log::warn!("{error}; changes wait in the catalog until it works again");
            }
            self.ready.waits(false);
            if stop.unless(tokio::time::sleep(RESTART_WAIT)).await.is_none() {
                return Ok(());
            }
        }
    }

    /// From the oldest row until the end, or until the sink gives up.
    async fn session(&self, stop: &Shutdown) -> Result<()> {
        let Some(sink) = stop.unless((self.open)()).await else { return Ok(()) };
        let sink = sink?;
        let known = self.ask_broker(&sink).await?;
        if self.ready.works() {
            log::info!("publishing to {}", sink.name());
        }
        let (hand, handed) = mpsc::channel(IN_FLIGHT_RECORDS_MAX);
        let work = async {
            tokio::try_join!(self.publish(&sink, hand, stop), self.acknowledge(handed, known))
        };
        tokio::select! {
            done = work => done.map(|_| ()),
            error = self.keep_asking_broker(&sink) => Err(error),
        }
    }

    async fn publish(
        &self,
        sink: &AnySink,
        hand: mpsc::Sender<Handed>,
        stop: &Shutdown,
    ) -> Result<()> {
        let mut last = 0;
        // What is there at the start may have been published before, and come after newer ones.
        let old = self.again.readers.read(Store::outbox_last)?;
        loop {
            let rows = self.again.readers.read(|store| store.outbox_after(last, ROWS_AT_ONCE))?;
            if rows.is_empty() {
                if stop.is_requested() {
                    return Ok(());
                }
                stop.unless(self.wake.notified()).await;
            }
            for row in rows {
                last = row.seq;
                let is_new = last > old;
                let value = if is_new { row.line } else { announce::maybe_before_line(row.line) };
                let record = Record { key: Some(row.customer), value, headers: Vec::new() };
                let delivery = self.hand_over(sink, record, &row.event_id).await?;
                if hand.send(Handed { seq: last, delivery }).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn hand_over(
        &self,
        sink: &AnySink,
        record: Record,
        event: &str,
    ) -> Result<Option<Delivery>> {
        match sink.enqueue(record).await {
            Ok(delivery) => Ok(Some(delivery)),
            Err(error) => match error.kind {
                // Cannot be, as fields have limits; if it is, it must not stop everybody else.
                Kind::Reject => {
                    log::error!("event {event} is left out: {error}");
                    Ok(None)
                }
                Kind::Retry | Kind::Fatal => Err(error),
            },
        }
    }

    /// Waits for the delivery reports in order, and deletes the rows they confirm.
    async fn acknowledge(
        &self,
        mut handed: mpsc::Receiver<Handed>,
        mut known: Option<Known>,
    ) -> Result<()> {
        let mut current = None;
        let mut confirmed: Vec<i64> = Vec::new();
        let mut delete_at = Instant::now();
        loop {
            let next = tokio::select! {
                biased;
                next = self.next_report(&mut handed, &mut current) => next,
                () = tokio::time::sleep_until(delete_at), if !confirmed.is_empty() => {
                    self.delete(&mut confirmed, known.clone()).await?;
                    continue;
                }
            };
            let Some((seq, report)) = next else { break };
            match report {
                Ok(delivered) => {
                    if let (Some(known), Some(delivered)) = (&mut known, delivered) {
                        self.check_delivery(known, delivered)?;
                    }
                }
                Err(error) => match error.kind {
                    Kind::Reject => log::error!("a change is left out: {error}"),
                    Kind::Retry | Kind::Fatal => {
                        // What was confirmed before need not be sent again.
                        self.delete(&mut confirmed, known).await?;
                        return Err(error);
                    }
                },
            }
            if confirmed.is_empty() {
                delete_at = Instant::now() + DELETE_WAIT;
            }
            confirmed.push(seq);
            if confirmed.len() >= DELETED_PER_COMMIT_MAX {
                self.delete(&mut confirmed, known.clone()).await?;
            }
        }
        self.delete(&mut confirmed, known).await
    }

    /// The oldest record's report. Cancel-safe: the report under way is kept in `current`.
    async fn next_report(
        &self,
        handed: &mut mpsc::Receiver<Handed>,
        current: &mut Option<(i64, Reporting)>,
    ) -> Option<(i64, Result<Option<Delivered>>)> {
        if current.is_none() {
            let Handed { seq, delivery } = handed.recv().await?;
            let Some(delivery) = delivery else { return Some((seq, Ok(None))) };
            self.ready.waits(true);
            *current = Some((seq, Box::pin(delivery.delivered())));
        }
        let (seq, reporting) = current.as_mut()?;
        let (seq, report) = (*seq, reporting.await);
        *current = None;
        self.ready.waits(false);
        Some((seq, report.map(Some)))
    }

    async fn delete(&self, confirmed: &mut Vec<i64>, known: Option<Known>) -> Result<()> {
        if confirmed.is_empty() {
            return Ok(());
        }
        let seqs = std::mem::take(confirmed);
        let (count, writer, name) = (seqs.len(), self.again.writer.clone(), self.to.to_string());
        blocking("delete from the outbox", move || {
            writer.run(move |tx| {
                tx.outbox_delivered(&seqs)?;
                known.map_or(Ok(()), |known| known.save(tx, &name))
            })
        })
        .await?;
        self.again.metrics.published.inc_by(count as u64);
        Ok(())
    }

    fn check_delivery(&self, known: &mut Known, delivered: Delivered) -> Result<()> {
        let before = known.ends.get(&delivered.partition).copied();
        if known.delivered(delivered) {
            return Ok(());
        }
        let (to, partition, offset) = (&self.to, delivered.partition, delivered.offset);
        let before = before.unwrap_or(0);
        let cause = format!("partition {partition} was at {before} and took a record at {offset}");
        Err(Error::retry(format!("publish to {to}"), cause))
    }

    /// Asks whether the broker still has what was delivered to it, and announces all that is
    /// pending if not. `None` for what is no broker.
    async fn ask_broker(&self, sink: &AnySink) -> Result<Option<Known>> {
        let AnySink::Kafka(sink) = sink else { return Ok(None) };
        let name = self.to.to_string();
        let before = Known::load(&self.again.readers, &name)?;
        let sink = sink.clone();
        let now = blocking("ask the broker", move || Known::ask(&sink)).await?;
        let Some(before) = before else { return Ok(Some(now)) };
        if let Some(why) = before.lost(&now) {
            let why = format!("the broker came back without what it had: {why}");
            self.announce_all(&why, i64::MAX).await?;
        }
        // Only once all was announced: who is killed before that does it again.
        let (writer, known) = (self.again.writer.clone(), now.clone());
        blocking("note the broker", move || writer.run(move |tx| known.save(tx, &name))).await?;
        Ok(Some(now))
    }

    /// Returns when the broker turns out to be another one than it was.
    async fn keep_asking_broker(&self, sink: &AnySink) -> Error {
        let AnySink::Kafka(sink) = sink else { return std::future::pending().await };
        loop {
            tokio::time::sleep(ASK_BROKER_EVERY).await;
            let (asked, name) = (sink.clone(), self.to.to_string());
            // Loaded before it is asked: what is delivered in between must not look like a loss.
            let before = Known::load(&self.again.readers, &name).ok().flatten();
            match blocking("ask the broker", move || Known::ask(&asked)).await {
                Ok(now) => {
                    if self.ready.works() {
                        log::info!("{name} answers again");
                    }
                    if let Some(why) = before.and_then(|before| before.lost(&now)) {
                        return Error::retry(format!("publish to {name}"), why);
                    }
                }
                Err(error) => {
                    if self.ready.broken() {
                        log::warn!("{error}; changes wait in the catalog until it does");
                    }
                }
            }
        }
    }

    async fn announce_all(&self, why: &str, after: i64) -> Result<()> {
        let again = self.again.clone();
        let count = blocking("announce again", move || again.announce_all(after)).await?;
        if count > 0 {
            log::info!("{why}: {count} customers with something pending announced again");
        }
        Ok(())
    }
}

type Reporting = Pin<Box<dyn Future<Output = Result<Delivered>> + Send>>;

/// Runs what blocks where it holds up nobody.
async fn blocking<T: Send + 'static>(
    operation: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::retry(operation, error)),
    }
}
