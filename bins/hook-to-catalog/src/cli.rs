//! The command line, and what it opens.

use std::sync::Arc;

use clap::Parser;
use common::cli::{Args, CommonArgs, Context, FromArgs, KafkaArgs, MetricsArgs, Program};
use common::endpoint::Record;
use common::error::{Exit, Result};
use common::pump::{self, Counters};
use common::store::{Store, Writer, database_path};
use common::stripe::client::API_BASE;
use common::stripe::{Client, Limits, Rate, StripeKey};
use common::sync::{Deletes, Owners, Policy};
use common::{log, secret};
use serde::Deserialize;

use crate::ask::{Ask, Doubts};
use crate::mover::Mover;
use crate::no_output::NoOutput;

pub const PROGRAM: Program = Program {
    name: "hook-to-catalog",
    from: &["kafka:stripe_events", "kafka:stripe_results"],
    to: None,
};

/// Customers taken in side by side; those that wait together share a commit.
const CUSTOMERS_AT_ONCE_MAX: usize = 32;

/// Make the catalog match Stripe
#[derive(Debug, Parser)]
#[command(
    version,
    long_about = "Takes Stripe's events, the results of our own writes and plain customers, told \
                  apart by their content, and makes the catalog match.",
    after_help = "\
Examples:
  hook-to-catalog                        from kafka:stripe_events and kafka:stripe_results
  hook-to-catalog --from - < events.ndjson
  stripe-hook --to - | hook-to-catalog --from -

Environment: DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS, and STRIPE_READ_KEY (may read customers) or
STRIPE_SECRET_KEY: with it a customer is read from Stripe when events leave a doubt. Without it the
doubt is shown (sync.stripe.doubt), and our stamp is sent again: what comes back settles it.
Exit codes: 0 done, 1 some records were dead-lettered, 2 usage, 69 broker or database unavailable,
78 bad configuration or credentials refused."
)]
pub struct Cli {
    #[command(flatten)]
    from: FromArgs,
    /// The catalog: a path, or sqlite:///path
    #[arg(
        long,
        value_name = "PATH",
        env = "DATABASE_URL",
        default_value = "sqlite:///./db.sqlite3"
    )]
    database: String,
    /// Where Stripe's API is
    #[arg(long, value_name = "URL", env = "STRIPE_API_BASE", default_value = API_BASE)]
    api_base: String,
    /// Whose a field is, as FIELD=catalog|stripe|both, by commas; also metadata and metadata.KEY.
    /// An edit at Stripe of a field of the catalog's is undone. catalog-api is told the same
    #[arg(
        long,
        value_name = "FIELD=SIDE,...",
        env = "CATALOG_OWNERS",
        default_value = "",
        hide_default_value = true
    )]
    owner: Owners,
    /// What a deletion at Stripe does here: mirror deletes too; keep leaves the customer, which
    /// then says in `sync` that it is gone there
    #[arg(long, value_name = "mirror|keep", env = "STRIPE_DELETES", default_value = "mirror")]
    deletes: Deletes,
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

/// Opens the topics and the catalog and runs until the input ends or the end is asked for.
pub async fn run(cli: Cli, context: Context) -> Result<Exit> {
    let store = Store::open(&database_path(&cli.database)?)?;
    let ask = ask(&cli.api_base)?;
    if ask.is_none() {
        log::say(
            PROGRAM.name,
            "no STRIPE_READ_KEY or STRIPE_SECRET_KEY: in doubt, a customer waits to be seen again",
        );
    }
    let policy = Arc::new(Policy { owners: cli.owner, deletes: cli.deletes });
    if !policy.is_default() {
        log::say(PROGRAM.name, format_args!("policy: {policy}"));
    }
    let kafka = cli.kafka.options(PROGRAM.name)?;
    let counters = Counters::new(&context.metrics)?;
    let doubts = Doubts::new(&context.metrics)?;
    cli.metrics.serve(&context, counters.ready())?;
    let dead_letters = cli.from.dead_letters(PROGRAM.name, &kafka)?;
    let opened = cli.from.open(&kafka, false);
    let Some(source) = common::cli::unless_asked_to_end(&context, opened).await? else {
        return Ok(Exit::Done);
    };
    let mover = Mover { writer: Writer::spawn(store), ask: ask.clone(), doubts, policy };
    let policy = pump::Policy {
        lane_of: customer,
        in_flight_lanes_max: CUSTOMERS_AT_ONCE_MAX,
        ..pump::Policy::default()
    };
    let end =
        pump::run(source, NoOutput, dead_letters, mover, policy, counters, context.shutdown).await;
    if let Some(ask) = ask {
        ask.rate.close();
    }
    end
}

/// How to read from Stripe; `None` without a key.
fn ask(base: &str) -> Result<Option<Arc<Ask>>> {
    for name in ["STRIPE_READ_KEY", "STRIPE_SECRET_KEY"] {
        if let Some(key) = secret::from_env(name)? {
            let key = StripeKey::new(key.expose(), name)?;
            let rate = Arc::new(Rate::new(Limits::new(&key, None)));
            let client = Client::new(base, key, PROGRAM.name)?;
            return Ok(Some(Arc::new(Ask { client, rate })));
        }
    }
    Ok(None)
}

/// The customer a record is about: its key or, on pipes, what it says. A result names the catalog's
/// id and an event Stripe's: of one customer they may go side by side, for the transactions order
/// them as well as two topics would.
fn customer(record: &Record) -> Option<String> {
    #[derive(Deserialize)]
    struct About {
        customer: Option<String>,
        id: Option<String>,
        data: Option<Data>,
    }
    #[derive(Deserialize)]
    struct Data {
        object: Option<Object>,
    }
    #[derive(Deserialize)]
    struct Object {
        id: Option<String>,
    }
    if record.key.is_some() {
        return record.key.clone();
    }
    let about: About = serde_json::from_slice(&record.value).ok()?;
    let object = about.data.and_then(|data| data.object).and_then(|object| object.id);
    about.customer.or(object).or(about.id)
}
