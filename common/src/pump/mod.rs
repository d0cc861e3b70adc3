//! The one loop every mover shares: read, act, deliver, mark done; try again, dead-letter, drain.
//! It never marks a record done before its output is delivered, never acts on one lane twice at a
//! time, and never drops a record that nobody else will read again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use log::{debug, info, warn};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::endpoint::dead_letters::{DeadLetter, DeadLetters};
use crate::endpoint::{Input, Position, Record, Sink, Source, Taken};
use crate::error::{Error, Exit, Kind, Result};
use crate::shutdown::Shutdown;

mod backoff;
mod counters;
mod ending;
mod lanes;
mod work;

pub use backoff::{RETRY_WAIT_MS_MAX, RETRY_WAIT_MS_MIN};
pub use counters::Counters;
use ending::Ending;
use lanes::{LaneKey, Lanes};
use work::{Fate, Finished, Worker};

/// How long a program asked to end finishes what is in hand.
pub const DRAIN_MS_MAX: u64 = 10_000;

/// How often an idle pump looks at its source's lag and trouble.
const IDLE_TICK: Duration = Duration::from_secs(10);

/// Tries that will be repeated are said at most this often; the last error stands for all.
const RETRY_SAID_EVERY: Duration = Duration::from_secs(10);

/// What became of one record.
#[derive(Debug)]
pub enum Verdict {
    /// Its effect is durable; these are its outputs.
    Done(Vec<Record>),
    /// It can never succeed: dead-letter it, send these outputs, go on.
    Reject { why: String, attempts: u32, outputs: Vec<Record> },
    /// Time may heal it: try again, with what came for its lane meanwhile.
    Retry(Error),
    /// Stop; the record is not marked done.
    Fatal(Error),
}

/// What a mover does with records.
pub trait Handler: Send + Sync + 'static {
    /// Acts on records of one lane, oldest first; one verdict for each, in their order.
    /// Called for one lane by one call at a time, for several lanes side by side.
    fn act(&self, lane: Vec<Taken>) -> impl Future<Output = Vec<Verdict>> + Send;
}

/// How records are put into lanes, and the limits.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Records with the same name keep their order; `None`: this one may go whenever it likes.
    pub lane_of: fn(&Record) -> Option<String>,
    /// Records handed to one call.
    pub lane_batch_max: usize,
    pub lane_batch_bytes_max: usize,
    /// Calls side by side.
    pub in_flight_lanes_max: usize,
    /// Records in hand beyond which the source is paused; it goes on at half of it.
    pub waiting_records_max: usize,
    pub waiting_bytes_max: usize,
    /// How long a first record waits for others to make a batch.
    pub linger_ms: u64,
    pub drain_ms_max: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lane_of: |record| record.key.clone(),
            lane_batch_max: 500,
            lane_batch_bytes_max: 4 * 1024 * 1024,
            in_flight_lanes_max: 16,
            waiting_records_max: 2_000,
            waiting_bytes_max: 8 * 1024 * 1024,
            linger_ms: 0,
            drain_ms_max: DRAIN_MS_MAX,
        }
    }
}

/// Runs until the input ends, the end is asked for, the output's reader ends, or something fatal.
pub async fn run<S: Source, K: Sink + Clone + 'static, H: Handler>(
    source: S,
    sink: K,
    dead_letters: DeadLetters,
    handler: H,
    policy: Policy,
    counters: Counters,
    mut shutdown: Shutdown,
) -> Result<Exit> {
    let worker =
        Worker { sink, dead_letters, handler: Arc::new(handler), counters: counters.clone() };
    let mut pump = Pump {
        source,
        worker,
        policy,
        counters,
        lanes: Lanes::default(),
        tasks: JoinSet::new(),
        last_epochs: HashMap::new(),
        bad: BTreeMap::new(),
        paused: false,
        reading: true,
        ending: None,
        drain_until: None,
        rejected: 0,
        retry_said: None,
        source_failures: 0,
    };
    // Both ends are open: from now on readiness is theirs to say.
    pump.show();
    while !pump.is_finished() {
        pump.step(&mut shutdown).await;
    }
    pump.finish().await
}

struct Pump<S, K, H> {
    source: S,
    worker: Worker<K, H>,
    policy: Policy,
    counters: Counters,
    lanes: Lanes,
    tasks: JoinSet<Finished>,
    /// The newest epoch seen of each partition that was taken away: what is of it is dropped.
    last_epochs: HashMap<(u16, i32), (u32, bool)>,
    /// Lines that were no record and are not durable as dead letters yet.
    bad: BTreeMap<Position, Arc<DeadLetter>>,
    paused: bool,
    reading: bool,
    ending: Option<Ending>,
    drain_until: Option<Instant>,
    rejected: u64,
    retry_said: Option<Instant>,
    source_failures: u32,
}

impl<S: Source, K: Sink + Clone + 'static, H: Handler> Pump<S, K, H> {
    async fn step(&mut self, shutdown: &mut Shutdown) {
        self.begin_ready();
        self.pause_when_full();
        self.show();
        let draining = self.drain_until.is_some();
        let tick = Instant::now() + IDLE_TICK;
        let wake = self.lanes.next_timer().into_iter().chain(self.drain_until).min();
        let failures = self.source_failures;
        tokio::select! {
            biased;
            () = shutdown.requested(), if !draining => self.end(Ending::Drain),
            Some(joined) = self.tasks.join_next() => match joined {
                Ok(finished) => self.on_finished(finished),
                Err(error) => {
                    // A bug of ours, already told by the panic's own message.
                    let error = Error::reject("act on records", format!("a task broke: {error}"));
                    self.end(Ending::Fatal(error));
                }
            },
            () = tokio::time::sleep_until(wake.unwrap_or(tick).min(tick)) => {
                self.lanes.wake(Instant::now());
            }
            input = read(&mut self.source, failures), if self.reading => self.on_input(input),
        }
    }

    fn on_input(&mut self, input: Result<Input>) {
        let input = match input {
            Ok(input) => input,
            Err(error) => return self.on_source_error(error),
        };
        self.source_failures = 0;
        match input {
            Input::Record(taken) => {
                self.counters.read.inc();
                self.note_epoch(taken.at);
                let named = (self.policy.lane_of)(&taken.record);
                let key = named.map_or(LaneKey::Alone(taken.at), LaneKey::Named);
                self.lanes.push(key, taken, &self.policy, Instant::now());
            }
            Input::Bad { at, value, why } => {
                self.counters.read.inc();
                self.note_epoch(at);
                let record = Record { key: None, value, headers: Vec::new() };
                let origin = self.source.name(at);
                let letter = DeadLetter { record, at, origin, error: why, attempts: 1 };
                let letter = Arc::new(letter);
                self.bad.insert(at, Arc::clone(&letter));
                let worker = self.worker.clone();
                self.tasks.spawn(async move { worker.bury(letter).await });
            }
            Input::Revoked(partitions) => self.on_revoked(&partitions),
            Input::Lost(error) => self.end(Ending::Fatal(error)),
            Input::End => {
                self.reading = false;
                self.ending.get_or_insert(Ending::End);
            }
        }
    }

    fn on_source_error(&mut self, error: Error) {
        match error.kind {
            Kind::Retry => {
                self.source_failures += 1;
                warn!("{error}; trying again");
            }
            // A source rejects no record by an error: it gives `Input::Bad`.
            Kind::Fatal | Kind::Reject => self.end(Ending::Fatal(error)),
        }
    }

    fn note_epoch(&mut self, at: Position) {
        let last = self.last_epochs.entry((at.source, at.partition)).or_insert((at.epoch, false));
        if at.epoch > last.0 {
            *last = (at.epoch, false);
        }
    }

    fn on_revoked(&mut self, partitions: &[(u16, i32)]) {
        for partition in partitions {
            if let Some(last) = self.last_epochs.get_mut(partition) {
                last.1 = true;
            }
        }
        let revoked = is_revoked(&self.last_epochs);
        let dropped = self.lanes.drop_waiting(revoked);
        self.counters.superseded_or_revoked.inc_by(dropped as u64);
        if dropped > 0 {
            info!("left {dropped} waiting records to another instance");
        }
    }

    fn begin_ready(&mut self) {
        if matches!(self.ending, Some(Ending::Fatal(_) | Ending::ClosedPipe)) {
            return;
        }
        while let Some((key, batch, attempt)) = self.lanes.begin(&self.policy) {
            let worker = self.worker.clone();
            let origins: Vec<String> =
                batch.iter().map(|taken| self.source.name(taken.at)).collect();
            self.tasks.spawn(async move { worker.act(key, batch, origins, attempt).await });
        }
    }

    fn on_finished(&mut self, finished: Finished) {
        let (key, batch, fates) = match finished {
            Finished::Buried { at, result } => return self.on_buried(at, result),
            Finished::Lane { key, batch, fates } => (key, batch, fates),
        };
        let (mut again, mut progress) = (Vec::new(), false);
        let mut last_error = None;
        for (taken, fate) in batch.iter().zip(fates) {
            match fate {
                Fate::Done => {
                    progress = true;
                    self.counters.done.inc();
                    self.source.done(taken.at);
                }
                Fate::Rejected => {
                    progress = true;
                    self.rejected += 1;
                    self.source.done(taken.at);
                }
                Fate::Retry(error) => {
                    self.counters.retries.inc();
                    if is_revoked(&self.last_epochs)(taken.at) {
                        self.counters.superseded_or_revoked.inc();
                    } else {
                        again.push(taken.clone());
                        last_error = Some(error);
                    }
                }
                Fate::Fatal(error) => {
                    self.end(Ending::Fatal(error));
                    // Read again at the next start, or kept with the rest of the lines.
                    if !self.source.replays() {
                        again.push(taken.clone());
                    }
                }
                Fate::ClosedPipe => {
                    self.end(Ending::ClosedPipe);
                    if !self.source.replays() {
                        again.push(taken.clone());
                    }
                }
            }
        }
        if progress {
            self.counters.progressed();
        }
        if let Some(error) = last_error {
            self.say_retry(&error);
        }
        self.lanes.end(&key, again, progress, Instant::now());
        // A restart reads them again, and a program that ends begins nothing new.
        if self.drain_until.is_some() && self.source.replays() {
            self.lanes.drop_waiting(|_| true);
        }
    }

    fn on_buried(&mut self, at: Position, result: Result<()>) {
        match result {
            Ok(()) => {
                self.bad.remove(&at);
                self.rejected += 1;
                self.counters.progressed();
                self.source.done(at);
            }
            Err(error) => self.end(Ending::Fatal(error)),
        }
    }

    fn say_retry(&mut self, error: &Error) {
        if self.retry_said.is_none_or(|said| said.elapsed() > RETRY_SAID_EVERY) {
            self.retry_said = Some(Instant::now());
            warn!("{error}; trying again ({} records in hand)", self.lanes.in_hand().0);
        } else {
            debug!("{error}; trying again");
        }
    }

    fn pause_when_full(&mut self) {
        // What still comes of a source that was stopped is little, and its last.
        if self.drain_until.is_some() {
            return;
        }
        let (records, bytes) = self.lanes.in_hand();
        let records = records + self.bad.len();
        let (records_max, bytes_max) =
            (self.policy.waiting_records_max, self.policy.waiting_bytes_max);
        if !self.paused && (records >= records_max || bytes >= bytes_max) {
            self.paused = true;
            self.source.pause(true);
        } else if self.paused && records <= records_max / 2 && bytes <= bytes_max / 2 {
            self.paused = false;
            self.source.pause(false);
        }
    }

    fn show(&self) {
        self.counters.waiting.set(self.lanes.waiting() as i64);
        self.counters.in_flight.set(self.lanes.busy() as i64);
        self.counters.lag.set(self.source.lag().unwrap_or(-1));
        let trouble = self.source.trouble().or_else(|| self.worker.sink.trouble());
        self.counters.set_trouble(trouble);
    }
}

/// Whether the record's partition was taken away since it was read.
fn is_revoked(last_epochs: &HashMap<(u16, i32), (u32, bool)>) -> impl Fn(Position) -> bool + '_ {
    |at| {
        let last = last_epochs.get(&(at.source, at.partition));
        last.is_some_and(|(epoch, gone)| at.epoch < *epoch || (*gone && at.epoch == *epoch))
    }
}

/// The next input; after failures not at once.
async fn read<S: Source>(source: &mut S, failures: u32) -> Result<Input> {
    if failures > 0 {
        tokio::time::sleep(backoff::wait(failures)).await;
    }
    source.next().await
}

#[cfg(test)]
mod tests;
