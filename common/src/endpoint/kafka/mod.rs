//! `kafka:TOPIC`: records from and to topics, by librdkafka. Offsets are stored only for finished
//! records, output counts only with its delivery report, and no property's value is ever printed.

mod admin;
mod cluster;
mod fault;
mod lease;
mod offsets;
mod options;
mod partitions;
mod poller;
mod producer;
mod rebalance;
mod scan;
mod shared;
mod source;

pub use admin::{START_WAIT_MS_MAX, ensure_topic};
pub use cluster::Cluster;
pub use lease::Lease;

pub use options::{
    ConsumerOptions, KafkaOptions, SESSION_TIMEOUT_MS, parse_property, properties_from_env,
};
pub use producer::KafkaSink;
pub use scan::{Scan, Scanned, Span};
pub use source::KafkaSource;

/// A record may be a little larger than a line, for the envelope that producers put around it.
pub const RECORD_BYTES_MAX: usize = 2 * 1024 * 1024;
