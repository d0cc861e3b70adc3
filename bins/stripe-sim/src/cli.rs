//! The command line. It decides nothing but names and defaults.

use std::path::PathBuf;

use clap::Parser;
use common::cli::CommonArgs;
use common::error::Result;
use common::secret;
use stripe_sim::{API_VERSION, Config, FaultSpec};

const EXAMPLES: &str = "\
Examples:
  stripe-sim --webhook http://127.0.0.1:8001/stripewebhook --state sim.state
  curl -u sk_test_local: localhost:12111/v1/customers -d name=Ada -d email=ada@example.com
  curl localhost:12111/_sim/customers/cus_… -d phone=123       # as a person at the Dashboard
  curl localhost:12111/_sim/requests                           # what the programs sent
  curl --json '{\"advance_s\":90000}' localhost:12111/_sim/clock # a day later, keys are forgotten

Faults (--fault, or POST to /_sim/faults as JSON; GET shows them, DELETE clears them):
  status=503,probability=0.1                          one request in ten is refused, nothing done
  method=POST,path=/v1/customers,status=500,after     done, yet answered 500 (kept for the key)
  method=POST,lost,count=1                            done, and the connection closed unanswered
  method=POST,timeout_ms=5000,count=1                 not done, held, and never answered
  latency_ms=200                                      every request waits; latency_after_ms as well
  status=429,code=lock_timeout,count=2                two lock_timeouts; skip=N lets N pass first
  refuse=phone                                        400 for whoever sends phone; code=…, message=…
  webhooks,duplicate=0.2,reorder=0.2,drop=0.1         also delay=0.5,delay_ms=2000, reorder_ms=500
  same_second                                         everything is created in one second
  rate=25                                             requests a second, then 429
  seed=7                                              the same chances again
  {\"refuse\":{\"param\":\"email\",\"code\":\"email_invalid\",\"message\":\"No\"},\"count\":1}
  {\"requests\":[{\"lost\":true,\"skip\":2}],\"webhooks\":{\"drop\":0.1},\"seed\":7}
";

/// A local, stateful, strict Stripe: customers, events, signed webhooks, faults on demand
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12111", env = "STRIPE_SIM_LISTEN")]
    listen: String,

    /// Send events there (repeatable)
    #[arg(long, value_name = "URL", env = "STRIPE_SIM_WEBHOOK", value_delimiter = ',')]
    webhook: Vec<String>,

    /// Sign webhooks with this; several make several signatures (repeatable, or by commas)
    /// [env: STRIPE_WEBHOOK_SECRET, STRIPE_WEBHOOK_SECRET_FILE] [default: whsec_local]
    #[arg(long, value_name = "SECRET", value_delimiter = ',')]
    webhook_secret: Vec<String>,

    /// Send only these types, as in `customer.*` (repeatable, or by commas; default: all)
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    webhook_events: Vec<String>,

    /// The wait before a failed webhook is sent again; it doubles each time
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    webhook_retry_ms: u64,

    /// Keep everything in this file, over restarts and kills
    #[arg(long, value_name = "FILE", env = "STRIPE_SIM_STATE")]
    state: Option<PathBuf>,

    /// A fault, see below (repeatable)
    #[arg(long, value_name = "SPEC", value_parser = FaultSpec::parse)]
    fault: Vec<FaultSpec>,

    /// Make ids and chances repeatable
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Requests a second before 429; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    rate: u32,

    /// How far the search lags behind, on the simulator's clock
    #[arg(long, value_name = "MS", default_value_t = 0)]
    search_lag_ms: u32,

    /// The version events carry, and answers unless a request names another
    #[arg(long, value_name = "VERSION", default_value = API_VERSION)]
    api_version: String,

    /// An update that changes nothing makes an event, too
    #[arg(long)]
    noop_events: bool,

    /// Parts of an address that are not sent stay, instead of becoming null
    #[arg(long)]
    address_merges: bool,

    #[command(flatten)]
    common: CommonArgs,
}

impl common::cli::Args for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

impl Args {
    pub fn config(self) -> Result<Config> {
        let args = self;
        // A variable that is set and empty means nothing.
        let given = |list: Vec<String>| list.into_iter().filter(|text| !text.is_empty()).collect();
        let mut secrets: Vec<String> = given(args.webhook_secret);
        if secrets.is_empty() {
            let listed = secret::list_from_env("STRIPE_WEBHOOK_SECRET")?;
            secrets = listed.iter().map(|secret| secret.expose().to_owned()).collect();
        }
        if secrets.is_empty() {
            secrets = Config::default().webhook_secrets;
        }
        Ok(Config {
            listen: args.listen,
            webhooks: given(args.webhook),
            webhook_secrets: secrets,
            webhook_events: args.webhook_events,
            webhook_retry_ms: args.webhook_retry_ms,
            state: args.state,
            faults: args.fault,
            seed: args.seed,
            rate: args.rate,
            search_lag_ms: i64::from(args.search_lag_ms),
            api_version: args.api_version,
            noop_events: args.noop_events,
            address_merges: args.address_merges,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on has failed
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn secrets_come_by_commas_and_bad_faults_are_usage_errors() {
        let parsed =
            Args::try_parse_from(["stripe-sim", "--webhook-secret", "a,b", "--fault", "lost"]);
        assert_eq!(parsed.unwrap().config().unwrap().webhook_secrets, ["a", "b"]);
        assert!(Args::try_parse_from(["stripe-sim", "--fault", "losst"]).is_err());
    }
}
