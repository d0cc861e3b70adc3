//! Endpoints in memory, for tests: a source that is steered, a sink that can be made to fail.
//! Never used by a program.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::{Delivered, Delivery, Holder, Input, Position, Record, Sink, Source, Taken};
use crate::error::{Error, Result};

/// What a test sees of a source.
#[derive(Debug, Default)]
struct Seen {
    done: Vec<Position>,
    paused: bool,
    pauses: usize,
    closed: bool,
    epochs: HashMap<(u16, i32), u32>,
    next_offsets: HashMap<(u16, i32), i64>,
    unfinished: BTreeSet<(u16, i32, i64)>,
    lost: bool,
}

/// Puts inputs in and sees what became of them.
#[derive(Clone, Debug)]
pub struct Feed {
    inputs: mpsc::UnboundedSender<Result<Input>>,
    seen: Arc<Mutex<Seen>>,
    changed: Arc<Notify>,
}

/// The source that a [`Feed`] steers.
#[derive(Debug)]
pub struct MemorySource {
    inputs: mpsc::UnboundedReceiver<Result<Input>>,
    seen: Arc<Mutex<Seen>>,
    changed: Arc<Notify>,
    replays: bool,
    stopped: bool,
}

/// A source that behaves like a topic (`replays`) or like a pipe.
pub fn source(replays: bool) -> (Feed, MemorySource) {
    let (sender, inputs) = mpsc::unbounded_channel();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let changed = Arc::new(Notify::new());
    let feed = Feed { inputs: sender, seen: Arc::clone(&seen), changed: Arc::clone(&changed) };
    (feed, MemorySource { inputs, seen, changed, replays, stopped: false })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    fn position(&self, partition: i32) -> Position {
        let mut seen = lock(&self.seen);
        let epoch = *seen.epochs.entry((0, partition)).or_insert(1);
        let offset = seen.next_offsets.entry((0, partition)).or_insert(0);
        *offset += 1;
        let offset = *offset;
        seen.unfinished.insert((0, partition, offset));
        Position { source: 0, partition, offset, epoch }
    }

    /// One record of this key in this partition; returns where it stands.
    pub fn record(&self, partition: i32, key: &str, value: &str) -> Position {
        let at = self.position(partition);
        let record =
            Record { key: Some(key.to_owned()), value: value.as_bytes().to_vec(), headers: vec![] };
        self.put(Ok(Input::Record(Taken { record, at, fresh: false })));
        at
    }

    pub fn bad(&self, partition: i32, value: &[u8], why: &str) -> Position {
        let at = self.position(partition);
        self.put(Ok(Input::Bad { at, value: value.to_vec(), why: why.to_owned() }));
        at
    }

    /// Takes partitions away; records put in later belong to the next epoch.
    pub fn revoke(&self, partitions: &[i32]) {
        let list: Vec<_> = partitions.iter().map(|partition| (0, *partition)).collect();
        for key in &list {
            *lock(&self.seen).epochs.entry(*key).or_insert(1) += 1;
        }
        self.put(Ok(Input::Revoked(list)));
    }

    pub fn end(&self) {
        self.put(Ok(Input::End));
    }

    pub fn fail(&self, error: Error) {
        self.put(Err(error));
    }

    fn put(&self, input: Result<Input>) {
        // The program under test may have ended: then nobody reads it, as with a real broker.
        let _ = self.inputs.send(input);
    }

    /// Every lease is refused from now on.
    pub fn lose_lease(&self) {
        lock(&self.seen).lost = true;
    }

    /// Offsets of the partition marked done, in that order.
    pub fn done(&self, partition: i32) -> Vec<i64> {
        let seen = lock(&self.seen);
        seen.done.iter().filter(|at| at.partition == partition).map(|at| at.offset).collect()
    }

    /// The offset a restart would begin at.
    pub fn lowest_unfinished(&self, partition: i32) -> Option<i64> {
        let seen = lock(&self.seen);
        seen.unfinished.iter().find(|(_, of, _)| *of == partition).map(|(_, _, offset)| *offset)
    }

    pub fn paused(&self) -> bool {
        lock(&self.seen).paused
    }

    /// How often the source was told to pause.
    pub fn pauses(&self) -> usize {
        lock(&self.seen).pauses
    }

    pub fn closed(&self) -> bool {
        lock(&self.seen).closed
    }

    /// Waits until `count` records are done.
    pub async fn until_done(&self, count: usize) {
        loop {
            let changed = self.changed.notified();
            if lock(&self.seen).done.len() >= count {
                return;
            }
            changed.await;
        }
    }
}

impl Source for MemorySource {
    async fn next(&mut self) -> Result<Input> {
        if self.stopped {
            return self.inputs.try_recv().unwrap_or(Ok(Input::End));
        }
        match self.inputs.recv().await {
            Some(input) => input,
            None => std::future::pending().await,
        }
    }

    fn done(&mut self, at: Position) {
        let mut seen = lock(&self.seen);
        if seen.epochs.get(&(at.source, at.partition)) == Some(&at.epoch) {
            seen.unfinished.remove(&(at.source, at.partition, at.offset));
            seen.done.push(at);
        }
        drop(seen);
        self.changed.notify_waiters();
    }

    fn pause(&mut self, paused: bool) {
        let mut seen = lock(&self.seen);
        seen.paused = paused;
        seen.pauses += usize::from(paused);
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn lease(&self) -> super::Lease {
        super::Lease(Holder::Memory(Lease(Arc::clone(&self.seen))))
    }

    fn replays(&self) -> bool {
        self.replays
    }

    fn lag(&self) -> Option<i64> {
        None
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    async fn close(&mut self) -> Result<()> {
        lock(&self.seen).closed = true;
        Ok(())
    }

    fn name(&self, _at: Position) -> String {
        "memory".to_owned()
    }
}

/// Held while the record's epoch is current, unless a test says otherwise.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Mutex<Seen>>);

impl Lease {
    pub fn held(&self, at: Position) -> bool {
        let seen = lock(&self.0);
        !seen.lost && seen.epochs.get(&(at.source, at.partition)) == Some(&at.epoch)
    }
}

/// A sink that keeps what it gets. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemorySink {
    records: Arc<Mutex<Vec<Record>>>,
    /// Errors to give instead of taking a record, one a call.
    faults: Arc<Mutex<VecDeque<Error>>>,
    stalled: Arc<AtomicBool>,
    full: Arc<Mutex<Option<(usize, Error)>>>,
}

impl MemorySink {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next record handed over gets this error.
    pub fn fail_next(&self, error: Error) {
        lock(&self.faults).push_back(error);
    }

    /// The record that comes after `records` others gets this error, and those behind it too.
    pub fn fail_at(&self, records: usize, error: Error) {
        *lock(&self.full) = Some((records, error));
    }

    /// From now on it takes nothing and refuses nothing, like a pipe whose reader sleeps.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    async fn unless_stalled(&self) {
        if self.stalled.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    }

    pub fn records(&self) -> Vec<Record> {
        lock(&self.records).clone()
    }

    /// The values as text, in order.
    pub fn values(&self) -> Vec<String> {
        let records = lock(&self.records);
        records.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
    }
}

impl Sink for MemorySink {
    async fn enqueue(&self, record: Record) -> Result<Delivery> {
        self.unless_stalled().await;
        if let Some(error) = lock(&self.faults).pop_front() {
            return Err(error);
        }
        let (report, delivery) = Delivery::new("memory".into());
        let mut records = lock(&self.records);
        if let Some((most, error)) = &*lock(&self.full)
            && records.len() >= *most
        {
            return Err(error.clone());
        }
        records.push(record);
        let offset = i64::try_from(records.len()).unwrap_or(i64::MAX);
        // Whoever enqueued may not want to know.
        let _ = report.send(Ok(Delivered { partition: 0, offset }));
        Ok(delivery)
    }

    async fn reopen(&self) -> Result<()> {
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        self.unless_stalled().await;
        Ok(())
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn name(&self) -> String {
        "memory".to_owned()
    }
}
