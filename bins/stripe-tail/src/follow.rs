//! Follows Stripe's events: reads from the stored position, writes what is new, moves on. The
//! position moves only past what was delivered, and every read begins a little before it, since
//! Stripe shows some events late and tells times in whole seconds; repeats are harmless.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use common::endpoint::kafka::{KafkaOptions, ensure_topic};
use common::endpoint::{AnySink, Record, Sink as _};
use common::error::{Error, Kind, Result};
use common::record::Seconds;
use common::record::compact::compact;
use common::shutdown::Shutdown;
use common::stripe::EventHead;
use serde_json::value::RawValue;

use crate::broker::Broker;
use crate::state::{State, StateFile};
use crate::walk::{self, Lister};
use crate::write::Writer;

/// Every read begins so long before the position.
pub const OVERLAP_S: Seconds = 120;
/// After a start on a pipe: what was handed on may have been lost in the pipe, or in a reader
/// that was killed. A day is more than any reader that still lives has in hand.
pub const PIPE_OVERLAP_S: Seconds = 24 * 3600;
/// How often at most the broker is asked whether it still has what was delivered.
const ASK_BROKER_AFTER: Duration = Duration::from_secs(30);
/// Without `--follow` this many failures in a row end the program; with it none does.
const ATTEMPTS_MAX: u32 = 8;
/// After a failure: half a second, doubled with each further one, up to this.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A tail under way.
#[derive(Debug)]
pub struct Tail<L> {
    pub events: L,
    pub writer: Writer,
    pub state: State,
    pub file: Option<StateFile>,
    /// To create the topic again on a broker that came back empty.
    pub kafka: KafkaOptions,
    pub seen: Seen,
}

/// What this process has written and asked so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// The ids written that the next read may bring again, with the time of their events.
    recent: HashMap<String, Seconds>,
    /// The first whole read is done.
    started: bool,
    broker_asked_at: Option<Instant>,
    pub written: u64,
    pub rejected: u64,
}

impl<L: Lister> Tail<L> {
    /// Reads once, or again and again until the end is asked for.
    pub async fn run(
        &mut self,
        interval: Option<Duration>,
        shutdown: &Shutdown,
        mut after_round: impl FnMut(&Self, &Result<()>),
    ) -> Result<()> {
        let mut failures = 0;
        loop {
            let round = self.round().await;
            after_round(self, &round);
            if shutdown.is_requested() {
                return Ok(());
            }
            let wait = match (round, interval) {
                (Ok(()), None) => return Ok(()),
                (Ok(()), Some(interval)) => {
                    if std::mem::take(&mut failures) > 0 {
                        log::info!("works again");
                    }
                    interval
                }
                (Err(error), interval) => {
                    failures += 1;
                    wait_after(error, failures, interval.is_some())?
                }
            };
            if shutdown.unless(tokio::time::sleep(wait)).await.is_none() {
                return Ok(());
            }
        }
    }

    /// One read, from before the position to the newest event.
    async fn round(&mut self) -> Result<()> {
        self.check_broker().await?;
        let overlap_s = match self.writer.sink {
            AnySink::Pipe(_) if !self.seen.started => PIPE_OVERLAP_S,
            AnySink::Pipe(_) | AnySink::Kafka(_) | AnySink::Memory(_) => OVERLAP_S,
        };
        let since = self.state.position.saturating_sub(overlap_s).max(0);
        let Self { events, writer, state, file, seen, .. } = self;
        walk::walk(events, since, async |items| {
            deliver(items, writer, state, seen).await?;
            file.as_ref().map_or(Ok(()), |file| file.save(state))
        })
        .await?;
        seen.started = true;
        let oldest = state.position.saturating_sub(OVERLAP_S);
        seen.recent.retain(|_, created| *created >= oldest);
        Ok(())
    }

    /// Starts anew when the broker has lost what was delivered.
    async fn check_broker(&mut self) -> Result<()> {
        let seen = &mut self.seen;
        if seen.broker_asked_at.is_some_and(|at| at.elapsed() < ASK_BROKER_AFTER) {
            return Ok(());
        }
        let Some(mut broker) = Broker::ask(&self.writer.sink).await? else { return Ok(()) };
        if let (Some(why), AnySink::Kafka(sink)) = (broker.lost(&self.state), &self.writer.sink) {
            log::warn!("{}: {why}; reading all that Stripe keeps again", sink.name());
            // The position goes back first: a crash from here on finds it there.
            self.state = State { to: self.state.to.clone(), ..State::default() };
            seen.recent.clear();
            self.save()?;
            ensure_topic(sink.topic(), &self.kafka).await?;
            let Some(again) = Broker::ask(&self.writer.sink).await? else { return Ok(()) };
            broker = again;
        }
        let known = (self.state.cluster.take(), std::mem::take(&mut self.state.ends));
        let now = (Some(broker.cluster), broker.ends);
        let is_new = known != now;
        (self.state.cluster, self.state.ends) = now;
        if is_new {
            self.save()?;
        }
        self.seen.broker_asked_at = Some(Instant::now());
        Ok(())
    }

    fn save(&self) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.save(&self.state))
    }
}

/// Writes the events of a page that were not written yet, and moves the position past them.
async fn deliver(
    items: Vec<Box<RawValue>>,
    writer: &Writer,
    state: &mut State,
    seen: &mut Seen,
) -> Result<()> {
    let mut records = Vec::with_capacity(items.len());
    let mut ids = BTreeMap::new();
    for item in items {
        let (head, record) = record(&item)?;
        if !seen.recent.contains_key(&head.id) {
            ids.insert(head.id, head.created.unwrap_or(state.position));
            records.push(record);
        }
    }
    let count = records.len() as u64;
    if count == 0 {
        return Ok(());
    }
    let written = writer.write(records).await?;
    // On a pipe lines are counted, which says nothing about the next start.
    if state.cluster.is_some() {
        for (partition, end) in written.ends {
            let known = state.ends.entry(partition).or_default();
            *known = (*known).max(end);
        }
    }
    state.position = ids.values().copied().fold(state.position, Seconds::max);
    seen.recent.extend(ids);
    seen.written += count - written.rejected;
    seen.rejected += written.rejected;
    Ok(())
}

/// The record that `stripe-hook` makes of the same event.
fn record(item: &RawValue) -> Result<(EventHead, Record)> {
    let unreadable = |cause: String| {
        // Not an event at all: what answered is not Stripe, and may be again later.
        Error::retry("list events at Stripe", cause).hint("is STRIPE_API_BASE right?")
    };
    let json = item.get().as_bytes();
    let head = EventHead::parse(json).map_err(|error| unreadable(error.cause))?;
    let value = compact(json).map_err(|error| unreadable(error.to_string()))?;
    let record = Record { key: Some(head.key.clone()), value, headers: Vec::new() };
    Ok((head, record))
}

/// How long to wait after this many failures in a row, unless the program ends with the error.
pub fn wait_after(error: Error, failures: u32, follows: bool) -> Result<Duration> {
    match error.kind {
        Kind::Retry if common::endpoint::closed(&error) => Err(error),
        Kind::Retry if !follows && failures >= ATTEMPTS_MAX => Err(error),
        Kind::Retry => {
            let wait = backoff(failures);
            // An outage is said when it begins, then now and then.
            if failures.is_power_of_two() {
                log::warn!("{error}; trying again in {:.1} s", wait.as_secs_f64());
            }
            Ok(wait)
        }
        Kind::Reject | Kind::Fatal => Err(error),
    }
}

fn backoff(failures: u32) -> Duration {
    let doubled = Duration::from_millis(500) * 2_u32.saturating_pow(failures.min(10) - 1);
    // Jitter: those who failed together do not come back together.
    doubled.min(BACKOFF_MAX).mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests;
