//! Opens what the command line names. One type for each direction, so that programs are written
//! once for pipes, topics and tests.

use super::kafka::{ConsumerOptions, KafkaOptions, KafkaSink, KafkaSource, ensure_topic};
use super::memory::{MemorySink, MemorySource};
use super::ndjson::{NdjsonSink, NdjsonSource};
use super::{Delivered, Delivery, Input, Lease, Position, Record, Sink, Source, Spec};
use crate::error::{Error, Result};

/// What a source needs to be opened.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    pub kafka: KafkaOptions,
    pub consumer: ConsumerOptions,
}

/// What a sink needs to be opened.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    pub kafka: KafkaOptions,
}

/// Any source.
#[derive(Debug)]
pub enum AnySource {
    Pipe(NdjsonSource),
    Kafka(KafkaSource),
    Memory(MemorySource),
}

/// Any sink. Clones share it.
#[derive(Clone, Debug)]
pub enum AnySink {
    Pipe(NdjsonSink),
    Kafka(KafkaSink),
    Memory(MemorySink),
}

/// Opens a source: one pipe, or one or several topics, which are created when they are absent.
/// Waits for the broker for [`super::kafka::START_WAIT_MS_MAX`], then `Retry`.
pub async fn open_source(specs: &[Spec], options: &SourceOptions) -> Result<AnySource> {
    let mut topics = Vec::new();
    for spec in super::join_specs("--from", specs)? {
        match spec {
            Spec::Pipe => return NdjsonSource::stdin().map(AnySource::Pipe),
            Spec::Kafka(topic) => topics.push(topic),
        }
    }
    if topics.is_empty() {
        return Err(Error::fatal("read --from", "it names nothing to read from"));
    }
    for topic in &topics {
        ensure_topic(topic, &options.kafka).await?;
    }
    KafkaSource::open(&topics, &options.kafka, &options.consumer).map(AnySource::Kafka)
}

/// Opens a sink; an absent topic is created. Waits for the broker like [`open_source`].
pub async fn open_sink(spec: &Spec, options: &SinkOptions) -> Result<AnySink> {
    match spec {
        Spec::Pipe => NdjsonSink::stdout().map(AnySink::Pipe),
        Spec::Kafka(topic) => {
            ensure_topic(topic, &options.kafka).await?;
            KafkaSink::open(topic, &options.kafka).map(AnySink::Kafka)
        }
    }
}

impl Source for AnySource {
    async fn next(&mut self) -> Result<Input> {
        match self {
            Self::Pipe(source) => source.next().await,
            Self::Kafka(source) => source.next().await,
            Self::Memory(source) => source.next().await,
        }
    }

    fn done(&mut self, at: Position) {
        match self {
            Self::Pipe(source) => source.done(at),
            Self::Kafka(source) => source.done(at),
            Self::Memory(source) => source.done(at),
        }
    }

    fn pause(&mut self, paused: bool) {
        match self {
            Self::Pipe(source) => source.pause(paused),
            Self::Kafka(source) => source.pause(paused),
            Self::Memory(source) => source.pause(paused),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Pipe(source) => source.stop(),
            Self::Kafka(source) => source.stop(),
            Self::Memory(source) => source.stop(),
        }
    }

    fn left_off(&mut self) {
        match self {
            Self::Pipe(source) => source.left_off(),
            Self::Kafka(source) => source.left_off(),
            Self::Memory(source) => source.left_off(),
        }
    }

    fn lease(&self) -> Lease {
        match self {
            Self::Pipe(source) => source.lease(),
            Self::Kafka(source) => source.lease(),
            Self::Memory(source) => source.lease(),
        }
    }

    fn replays(&self) -> bool {
        match self {
            Self::Pipe(source) => source.replays(),
            Self::Kafka(source) => source.replays(),
            Self::Memory(source) => source.replays(),
        }
    }

    fn lag(&self) -> Option<i64> {
        match self {
            Self::Pipe(source) => source.lag(),
            Self::Kafka(source) => source.lag(),
            Self::Memory(source) => source.lag(),
        }
    }

    fn trouble(&self) -> Option<String> {
        match self {
            Self::Pipe(source) => source.trouble(),
            Self::Kafka(source) => source.trouble(),
            Self::Memory(source) => source.trouble(),
        }
    }

    async fn close(&mut self) -> Result<()> {
        match self {
            Self::Pipe(source) => source.close().await,
            Self::Kafka(source) => source.close().await,
            Self::Memory(source) => source.close().await,
        }
    }

    fn name(&self, at: Position) -> String {
        match self {
            Self::Pipe(source) => source.name(at),
            Self::Kafka(source) => source.name(at),
            Self::Memory(source) => source.name(at),
        }
    }
}

impl Sink for AnySink {
    async fn enqueue(&self, record: Record) -> Result<Delivery> {
        match self {
            Self::Pipe(sink) => sink.enqueue(record).await,
            Self::Kafka(sink) => sink.enqueue(record).await,
            Self::Memory(sink) => sink.enqueue(record).await,
        }
    }

    async fn reopen(&self) -> Result<()> {
        match self {
            Self::Pipe(sink) => sink.reopen().await,
            Self::Kafka(sink) => sink.reopen().await,
            Self::Memory(sink) => sink.reopen().await,
        }
    }

    async fn send(&self, record: Record) -> Result<Delivered> {
        match self {
            Self::Pipe(sink) => sink.send(record).await,
            Self::Kafka(sink) => sink.send(record).await,
            Self::Memory(sink) => sink.send(record).await,
        }
    }

    async fn flush(&self) -> Result<()> {
        match self {
            Self::Pipe(sink) => sink.flush().await,
            Self::Kafka(sink) => sink.flush().await,
            Self::Memory(sink) => sink.flush().await,
        }
    }

    fn trouble(&self) -> Option<String> {
        match self {
            Self::Pipe(sink) => sink.trouble(),
            Self::Kafka(sink) => sink.trouble(),
            Self::Memory(sink) => sink.trouble(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Pipe(sink) => sink.name(),
            Self::Kafka(sink) => sink.name(),
            Self::Memory(sink) => sink.name(),
        }
    }
}
