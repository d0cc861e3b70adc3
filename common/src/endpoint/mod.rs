//! Where records come from and go to: `-` (NDJSON), `kafka:TOPIC`, or memory (tests).
//! Nothing here knows what a record means.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::{Error, Result};

mod any;
pub mod dead_letters;
pub mod kafka;
pub mod memory;
pub mod ndjson;
mod spec;

pub use any::{AnySink, AnySource, SinkOptions, SourceOptions, open_sink, open_source};
pub use dead_letters::DeadLetters;
pub use spec::{Spec, join_specs};

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
/// `epoch` counts assignments of the partition: what was read in an older one is not ours to
/// finish.
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
    /// At or beyond the high watermark the partition had when it was assigned, and not put back
    /// there; always false on `-`.
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
    /// Nothing more will come from here, but would after a new start of the program.
    Lost(Error),
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
    /// Takes nothing more from outside. What was taken before still comes, and then the end. For
    /// those that do not replay; the others are simply left.
    fn stop(&mut self) {}
    /// The program says itself from where on its input has to be read again.
    fn left_off(&mut self) {}
    /// A handle that says whether a record may still be acted on.
    fn lease(&self) -> Lease;
    /// Whether what is not finished comes again when the program is started again. On pipes it
    /// does not, so that a program asked to end finishes all that it has taken.
    fn replays(&self) -> bool;
    /// Records behind the end of what there is to read, if that is known.
    fn lag(&self) -> Option<i64>;
    /// What keeps it from reading right now, for `/readyz`.
    fn trouble(&self) -> Option<String>;
    /// Commits stored offsets and leaves the group.
    fn close(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// As in `kafka:customer_events` or `-`, for logs and dead-letter headers.
    fn name(&self, at: Position) -> String;
}

/// Where a record has been put. On `-` the partition is 0 and the offset counts lines from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delivered {
    pub partition: i32,
    pub offset: i64,
}

/// A record's delivery report, to come. A future; dropping it does not take the record back.
#[derive(Debug)]
pub struct Delivery {
    report: oneshot::Receiver<Result<Delivered>>,
    to: Arc<str>,
}

impl Delivery {
    fn new(to: Arc<str>) -> (oneshot::Sender<Result<Delivered>>, Self) {
        let (sender, report) = oneshot::channel();
        (sender, Self { report, to })
    }

    /// Waits for the report: durable there or, on `-`, handed on.
    pub async fn delivered(self) -> Result<Delivered> {
        match self.report.await {
            Ok(report) => report,
            Err(_) => Err(Error::retry(
                format!("write to {}", self.to),
                "it was closed before the record's delivery report came",
            )),
        }
    }
}

/// Where records go. Records are written in the order in which `enqueue` was called.
pub trait Sink: Send + Sync {
    /// Hands a record over, waiting only for room. Many may be in flight. A sink that gave up on a
    /// record refuses all later ones with `Retry` until [`Sink::reopen`], since they could overtake
    /// it: the caller starts anew from its lowest record without a delivery report.
    fn enqueue(&self, record: Record) -> impl Future<Output = Result<Delivery>> + Send;

    /// Makes a sink usable again that gave up. What was handed over before is given up as well.
    fn reopen(&self) -> impl Future<Output = Result<()>> + Send;

    /// Returns when the record is durable there (delivery report) or, on `-`, handed on.
    /// Retries by itself what time may heal; an error is `Fatal`, `Reject` (too large), or
    /// `Retry` when the sink gave up after its named limit. A closed pipe is [`closed`].
    fn send(&self, record: Record) -> impl Future<Output = Result<Delivered>> + Send {
        async move { self.enqueue(record).await?.delivered().await }
    }

    /// Sends several in order, waiting once for all their reports.
    fn send_all(&self, records: Vec<Record>) -> impl Future<Output = Result<()>> + Send {
        async move {
            let mut deliveries = Vec::with_capacity(records.len());
            for record in records {
                deliveries.push(self.enqueue(record).await?);
            }
            for delivery in deliveries {
                delivery.delivered().await?;
            }
            Ok(())
        }
    }

    /// Waits until everything handed over is durable, at most the drain limit.
    fn flush(&self) -> impl Future<Output = Result<()>> + Send;
    /// What keeps it from writing right now, for `/readyz`.
    fn trouble(&self) -> Option<String>;
    fn name(&self) -> String;
}

/// Whether the error says that the reader of our pipe has ended.
pub fn closed(error: &Error) -> bool {
    error.pipe_closed
}

/// Says whether a record may still be acted on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lease(Holder);

#[derive(Clone, Debug)]
enum Holder {
    /// Pipes: nobody else can have the record.
    Always,
    Kafka(kafka::Lease),
    Memory(memory::Lease),
}

impl Lease {
    /// True if the record's partition is ours, proved by the broker within the last third of the
    /// session time-out. False: it is not ours any more, leave it (`Verdict::Retry` will do, the
    /// pump drops it). `Retry`: the broker did not answer; nothing may be sent yet.
    pub async fn held(&self, at: Position) -> Result<bool> {
        match &self.0 {
            Holder::Always => Ok(true),
            Holder::Kafka(lease) => lease.held(at).await,
            Holder::Memory(lease) => Ok(lease.held(at)),
        }
    }
}
