//! Where records come from and go to: `-` (NDJSON), `kafka:TOPIC`, or memory (tests).
//! Nothing here knows what a record means.

use crate::error::Result;

/// One record: a Kafka message, or one line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Record {
    /// The partition key, the subject's id; `None` on pipes, where the value says it.
    pub key: Option<String>,
    /// Compact JSON, without the line's end.
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Where a record was read. On `-` the partition is 0 and the offset is the line number, from 1.
/// `epoch` counts assignments of the partition: what was read in an older one is not ours to finish.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// Index of the source among several (`hook-to-catalog` reads two topics).
    pub source: u16,
    pub partition: i32,
    pub offset: i64,
    pub epoch: u32,
}

/// A record and where it was read.
#[derive(Clone, Debug)]
pub struct Taken {
    pub record: Record,
    pub at: Position,
    /// At or beyond the high watermark the partition had when it was assigned; always false on `-`.
    pub fresh: bool,
}

/// What a source has to say.
#[derive(Debug)]
pub enum Input {
    Record(Taken),
    /// A line that is no record (too long, not UTF-8, not JSON): for the dead-letter topic.
    Bad {
        at: Position,
        value: Vec<u8>,
        why: String,
    },
    /// These partitions went to another instance: forget what waits, send nothing more for them.
    Revoked(Vec<(u16, i32)>),
    /// Nothing more will come (end of stdin; end of the topic with `--exit-at-end`).
    End,
}

/// Where records come from.
pub trait Source: Send {
    /// Waits for the next input. Cancel-safe. `Retry` errors are transient: call again.
    fn next(&mut self) -> impl Future<Output = Result<Input>> + Send;
    /// The record at this position is finished: its effect is durable and its output delivered.
    /// The stored offset is the lowest unfinished one of its partition.
    fn done(&mut self, at: Position);
    /// Stops (or goes on) taking records while the program is full; polling goes on.
    fn pause(&mut self, paused: bool);
    /// A handle that says whether a record may still be acted on.
    fn lease(&self) -> Lease;
    /// Commits stored offsets and leaves the group.
    fn close(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// As in "kafka:customer_events" or "-", for logs and dead-letter headers.
    fn name(&self, at: Position) -> String;
}

/// Where records go.
pub trait Sink: Send + Sync {
    /// Returns when the record is durable there (delivery report) or, on `-`, handed on.
    /// Retries by itself what time may heal; an error is `Fatal`, `Reject` (too large), or
    /// `Retry` when the sink gave up after its named limit. A closed pipe is [`closed`].
    fn send(&self, record: Record) -> impl Future<Output = Result<()>> + Send;
    /// Waits until everything handed over is durable, at most the drain limit.
    fn flush(&self) -> impl Future<Output = Result<()>> + Send;
    fn name(&self) -> String;
}
