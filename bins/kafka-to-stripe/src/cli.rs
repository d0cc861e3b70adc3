//! The command line, and what it opens.

use std::sync::Arc;

use clap::Parser;
use common::cli::{Args, CommonArgs, Context, FromArgs, KafkaArgs, MetricsArgs, Program, ToArgs};
use common::endpoint::{Record, Source as _};
use common::error::{Error, Exit, Result};
use common::pump::{self, Counters, Policy};
use common::stripe::client::API_BASE;
use common::stripe::{Client, Limits, Rate, StripeKey};
use common::{log, secret};
use serde::Deserialize;

use crate::edge::Edge;
use crate::memories::Memories;
use crate::mover::Mover;

pub const PROGRAM: Program = Program {
    name: "kafka-to-stripe",
    from: &["kafka:customer_events"],
    to: Some("kafka:stripe_results"),
};

/// Customers brought to Stripe side by side: enough to use up Stripe's rate at its latency.
const CUSTOMERS_AT_ONCE_MAX: usize = 24;

/// Make Stripe match the catalog
#[derive(Debug, Parser)]
#[command(
    version,
    long_about = "Takes change events, makes Stripe match, and writes what came of each.",
    after_help = "\
Examples:
  kafka-to-stripe                                    from kafka:customer_events, to kafka:stripe_results
  kafka-to-stripe --from - --to - < changes.ndjson   replay a file, see the results
  kcat -C -e -q -t customer_events | kafka-to-stripe --from - --to - | jq .outcome

Environment: STRIPE_SECRET_KEY (or STRIPE_SECRET_KEY_FILE), KAFKA_BOOTSTRAP_SERVERS.
Exit codes: 0 done, 1 some records were dead-lettered, 2 usage, 69 broker unavailable,
78 bad configuration or credentials refused."
)]
pub struct Cli {
    #[command(flatten)]
    from: FromArgs,
    #[command(flatten)]
    to: ToArgs,
    /// Requests a second to Stripe, in all [default: 100, with a test key 25]
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Where Stripe's API is
    #[arg(long, value_name = "URL", env = "STRIPE_API_BASE", default_value = API_BASE)]
    api_base: String,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    common: CommonArgs,
}

impl Args for Cli {
    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

fn parse_rate(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        Ok(_) | Err(_) => Err("a number above 0".into()),
    }
}

/// Opens both ends and runs until the input ends or the end is asked for.
pub async fn run(cli: Cli, context: Context) -> Result<Exit> {
    let name = "STRIPE_SECRET_KEY";
    let key = secret::from_env(name)?.ok_or_else(|| {
        Error::fatal(format!("read {name}"), "it is not set")
            .hint("set it, or STRIPE_SECRET_KEY_FILE, or put it into .env")
    })?;
    let key = StripeKey::new(key.expose(), name)?;
    let rate = Arc::new(Rate::new(Limits::new(&key, cli.rate)));
    let client = Client::new(&cli.api_base, key, PROGRAM.name)?;
    let edge = Arc::new(Edge::new(client, rate));
    let kafka = cli.kafka.options(PROGRAM.name)?;
    let counters = Counters::new(&context.metrics)?;
    cli.metrics.serve(&context, counters.ready())?;
    let dead_letters = cli.from.dead_letters(PROGRAM.name, &kafka)?;
    let opened =
        async { Ok::<_, Error>((cli.from.open(&kafka, true).await?, cli.to.open(&kafka).await?)) };
    let Some((source, sink)) = common::cli::unless_asked_to_end(&context, opened).await? else {
        return Ok(Exit::Done);
    };
    log::say(PROGRAM.name, format_args!("Stripe is {}", cli.api_base));
    let mover =
        Mover { edge: Arc::clone(&edge), lease: source.lease(), memories: Memories::default() };
    let policy = Policy {
        lane_of: customer,
        in_flight_lanes_max: CUSTOMERS_AT_ONCE_MAX,
        ..Policy::default()
    };
    let end =
        pump::run(source, sink, dead_letters, mover, policy, counters, context.shutdown).await;
    edge.close();
    end
}

/// The customer a record is about: its key or, on pipes, what it says.
fn customer(record: &Record) -> Option<String> {
    #[derive(Deserialize)]
    struct About {
        subject: String,
    }
    let about = || serde_json::from_slice::<About>(&record.value).ok();
    record.key.clone().or_else(|| about().map(|about| about.subject))
}
