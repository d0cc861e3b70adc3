//! Flags that several programs have, in groups. Each flag means the same everywhere.

use std::net::SocketAddr;

use clap::ArgAction;
use clap_complete::Shell;

use super::Context;
use crate::endpoint::kafka::{ConsumerOptions, KafkaOptions, parse_property, properties_from_env};
use crate::endpoint::{
    AnySink, AnySource, DeadLetters, SinkOptions, SourceOptions, Spec, join_specs, open_sink,
    open_source,
};
use crate::error::{Error, Result};
use crate::log;
use crate::metrics::{self, Ready};
use crate::secret::Secret;

/// Of every program.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct CommonArgs {
    /// Say more on stderr (twice: everything)
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say only what is wrong
    #[arg(short, long)]
    pub quiet: bool,
    /// Print completions for a shell and end
    #[arg(long, value_name = "SHELL")]
    pub completions: Option<Shell>,
}

impl CommonArgs {
    pub(super) fn verbosity(&self) -> i8 {
        if self.quiet { -1 } else { i8::try_from(self.verbose).unwrap_or(i8::MAX) }
    }
}

/// How to talk to Kafka.
#[derive(clap::Args, Clone, Debug)]
pub struct KafkaArgs {
    /// Kafka brokers, host:port, several by commas
    #[arg(
        short,
        long,
        value_name = "HOST:PORT",
        env = "KAFKA_BOOTSTRAP_SERVERS",
        default_value = "127.0.0.1:9092",
        help_heading = "Kafka"
    )]
    pub brokers: String,
    // Shown as it stands: backticks mean nothing on a terminal.
    #[arg(
        help = "Any librdkafka property, as in kcat; also KAFKA_OPTIONS (by blanks) and the file \
                KAFKA_OPTIONS_FILE (one a line)",
        short = 'X',
        value_name = "KEY=VALUE",
        action = ArgAction::Append,
        value_parser = parse_x,
        help_heading = "Kafka"
    )]
    pub properties: Vec<(String, Secret)>,
    /// Partitions of a topic that is created
    #[arg(
        long,
        value_name = "N",
        env = "KAFKA_PARTITIONS",
        default_value_t = 6,
        value_parser = clap::value_parser!(i32).range(1..=10_000),
        help_heading = "Kafka"
    )]
    pub partitions: i32,
    /// Replicas of a topic that is created; -1 is the broker's default
    #[arg(
        long,
        value_name = "N",
        env = "KAFKA_REPLICATION",
        default_value_t = -1,
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-1..=100),
        help_heading = "Kafka"
    )]
    pub replication: i32,
}

fn parse_x(text: &str) -> std::result::Result<(String, Secret), String> {
    parse_property("-X", text).map_err(|error| error.cause)
}

impl KafkaArgs {
    pub fn options(&self, program: &str) -> Result<KafkaOptions> {
        let mut properties = properties_from_env()?;
        properties.extend(self.properties.iter().cloned());
        if self.brokers.trim().is_empty() {
            return Err(Error::fatal("read --brokers", "it names no broker")
                .hint("KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092"));
        }
        Ok(KafkaOptions {
            bootstrap: self.brokers.clone(),
            properties,
            client_id: program.to_owned(),
            partitions: self.partitions,
            replication: self.replication,
        })
    }
}

/// Where records come from.
#[derive(clap::Args, Clone, Debug)]
pub struct FromArgs {
    /// Where records come from: - (one JSON object a line) or kafka:TOPIC, several times for
    /// several topics
    #[arg(long, value_name = "-|kafka:TOPIC", action = ArgAction::Append)]
    pub from: Vec<Spec>,
    /// End at the end of the topic
    #[arg(short, long)]
    pub exit_at_end: bool,
    /// Where records go that can never succeed: kafka:TOPIC or a file [default: kafka:<from>.dlq,
    /// or ./PROGRAM.dlq.ndjson with -]
    #[arg(long, value_name = "FILE|kafka:TOPIC")]
    pub dlq: Option<String>,
    /// Consumer group; all instances of a program share one
    #[arg(long, value_name = "NAME", help_heading = "Kafka")]
    pub group: String,
    /// A name for this instance: started again after a kill, it has its partitions back at once
    #[arg(long, value_name = "NAME", env = "KAFKA_INSTANCE", help_heading = "Kafka")]
    pub instance: Option<String>,
}

impl FromArgs {
    /// Opens the source. `read_ahead`: see [`ConsumerOptions::read_ahead`].
    pub async fn open(&self, kafka: &KafkaOptions, read_ahead: bool) -> Result<AnySource> {
        let consumer = ConsumerOptions {
            group: self.group.clone(),
            instance: self.instance.clone().filter(|name| !name.is_empty()),
            exit_at_end: self.exit_at_end,
            read_ahead,
        };
        open_source(&self.from, &SourceOptions { kafka: kafka.clone(), consumer }).await
    }

    pub fn dead_letters(&self, program: &str, kafka: &KafkaOptions) -> Result<DeadLetters> {
        let specs = join_specs("--from", &self.from)?;
        DeadLetters::open(self.dlq.as_deref(), &specs, program, kafka)
    }

    /// Whether records come from stdin.
    pub fn is_pipe(&self) -> bool {
        self.from.contains(&Spec::Pipe)
    }
}

/// Where records go.
#[derive(clap::Args, Clone, Debug)]
pub struct ToArgs {
    /// Where records go: - (one JSON object a line) or kafka:TOPIC
    #[arg(long, value_name = "-|kafka:TOPIC")]
    pub to: Spec,
}

impl ToArgs {
    pub async fn open(&self, kafka: &KafkaOptions) -> Result<AnySink> {
        open_sink(&self.to, &SinkOptions { kafka: kafka.clone() }).await
    }
}

/// Where a mover shows its health.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct MetricsArgs {
    /// Serve /healthz, /readyz and /metrics here
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<SocketAddr>,
}

impl MetricsArgs {
    /// Starts the server, if an address was given.
    pub fn serve(&self, context: &Context, ready: Ready) -> Result<()> {
        if let Some(address) = self.metrics {
            let bound = metrics::serve(address, context.metrics.clone(), ready)?;
            log::say(context.program, format_args!("metrics on http://{bound}/metrics"));
        }
        Ok(())
    }
}
