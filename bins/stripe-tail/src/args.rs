//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use common::cli::{Args as CliArgs, CommonArgs, KafkaArgs, MetricsArgs, Program, ToArgs};
use common::clock;
use common::record::Seconds;
use common::stripe::client::API_BASE;

use crate::since;

pub const PROGRAM: Program =
    Program { name: "stripe-tail", from: &[], to: Some("kafka:stripe_events") };

/// Between two reads of Stripe itself. An account may read 10 000 times a month at least; one
/// read every five minutes is 8 640, and webhooks bring what is urgent.
const INTERVAL: Duration = Duration::from_secs(300);
/// Between two reads of anything else that speaks Stripe's language, which counts no reads.
const INTERVAL_ELSEWHERE: Duration = Duration::from_secs(2);

/// Reads from Stripe what webhooks missed: its events of the last 30 days, oldest first, or with
/// --list all live customers as they are now. It writes what stripe-hook would have written.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Environment:
  STRIPE_READ_KEY, or else STRIPE_SECRET_KEY
                              a key that may read events and customers; …_FILE names a file with it

Examples:
  stripe-tail --follow --state tail.json      follow Stripe's events into Kafka, for good
  stripe-tail --to - --since 1h | jq .type    what happened in the last hour
  stripe-tail --to - --list | wc -l           how many customers there are
  stripe-tail --follow --state tail.json --to - | hook-to-catalog --from -
                                              without a broker"
)]
pub struct Args {
    /// Go on reading what comes; without it, read once and end
    #[arg(short, long)]
    pub follow: bool,
    /// Between two reads, as in 2s or 5m [default: 5m with Stripe itself, which allows an account
    /// 10 000 reads a month at least; 2s elsewhere]
    #[arg(long, value_name = "SPAN", value_parser = since::parse_span, requires = "follow")]
    pub interval: Option<Duration>,
    /// Begin here instead of where --state says: 2026-11-22T10:00:00Z, seconds since 1970, or a
    /// span before now, as in 30d (Stripe keeps events for 30 days)
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub since: Option<Seconds>,
    /// Keep here how far everything was delivered, and to which broker: one that came back empty
    /// gets the 30 days again
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// The types of event to read, by commas, 20 at most; '*' for all
    #[arg(
        long,
        value_name = "TYPES",
        value_delimiter = ',',
        default_value = "customer.created,customer.updated,customer.deleted"
    )]
    pub types: Vec<String>,
    /// Write all live customers as they are now, one a record, and end
    #[arg(long, conflicts_with_all = ["follow", "since", "state", "types"])]
    pub list: bool,
    /// Requests a second, at most [default: 100; 25 with a test key]
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Where Stripe's API is
    #[arg(long, value_name = "URL", env = "STRIPE_API_BASE", default_value = API_BASE)]
    pub api_base: String,
    #[command(flatten)]
    pub to: ToArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

impl CliArgs for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

impl Args {
    /// An empty variable counts as none.
    pub fn api_base(&self) -> &str {
        if self.api_base.trim().is_empty() { API_BASE } else { self.api_base.trim() }
    }

    /// Between two reads; `None` without `--follow`.
    pub fn interval(&self) -> Option<Duration> {
        let is_stripe = self.api_base().trim_end_matches('/') == API_BASE;
        let default = if is_stripe { INTERVAL } else { INTERVAL_ELSEWHERE };
        self.follow.then(|| self.interval.unwrap_or(default))
    }

    /// The types to ask for; none means all.
    pub fn types(&self) -> Vec<String> {
        let types = self.types.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
        let types: Vec<_> = types.map(str::to_owned).collect();
        if types.iter().any(|name| name == "*") { Vec::new() } else { types }
    }
}

fn parse_since(text: &str) -> Result<Seconds, String> {
    since::parse(text, clock::now_ms())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        Ok(_) | Err(_) => Err("a number above 0".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn parse(flags: &[&str]) -> Result<Args, clap::Error> {
        let command = common::cli::command::<Args>(PROGRAM);
        command.clone().debug_assert();
        let flags = ["stripe-tail", "--api-base", API_BASE].iter().chain(flags);
        Args::from_arg_matches(&command.try_get_matches_from(flags)?)
    }

    #[test]
    fn the_interval_keeps_to_the_reads_that_stripe_allows() {
        let interval = |flags: &[&str]| parse(flags).expect("flags").interval();
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&["--follow"]), Some(INTERVAL));
        assert!(30 * 86_400 / INTERVAL.as_secs() < 10_000);
        let mut elsewhere = parse(&["--follow"]).expect("flags");
        elsewhere.api_base = "http://127.0.0.1:12111".into();
        assert_eq!(elsewhere.interval(), Some(INTERVAL_ELSEWHERE));
        assert_eq!(interval(&["--follow", "--interval", "5"]), Some(Duration::from_secs(5)));
    }

    #[test]
    fn the_types_are_the_customers_unless_said_otherwise() {
        let types = |flags: &[&str]| parse(flags).expect("flags").types();
        assert_eq!(types(&[]).len(), 3);
        assert_eq!(types(&["--types", "a,b"]), ["a", "b"]);
        assert!(types(&["--types", "*"]).is_empty());
    }

    #[test]
    fn flags_that_exclude_each_other_are_wrong_usage() {
        for flags in [
            &["--list", "--follow"][..],
            &["--list", "--since", "1h"],
            &["--interval", "5s"],
            &["--since", "yesterday"],
            &["--rate", "0"],
        ] {
            assert_eq!(parse(flags).expect_err("refused").exit_code(), 2, "{flags:?}");
        }
    }
}
