//! The command line.

use std::net::SocketAddr;

use clap::Parser;
use common::cli::{Args as CliArgs, CommonArgs, KafkaArgs, Program, ToArgs};
use common::http::Limits;

pub const PROGRAM: Program =
    Program { name: "stripe-hook", from: &[], to: Some("kafka:stripe_events") };

/// Takes Stripe's webhooks, believes only signed ones and hands them on, each as it was signed.
///
/// A webhook is answered 2xx only once its record is durable at the broker; while that cannot be,
/// it is answered 503 and Stripe sends it again. Every event that Stripe signed is handed on,
/// whatever its type; thin events, which carry no data, are refused.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Environment:
  STRIPE_WEBHOOK_SECRET       the endpoint's signing secret (whsec_…), several by commas while one
                              is being replaced; or STRIPE_WEBHOOK_SECRET_FILE, a file with it

Examples:
  stripe-hook                                 from http://127.0.0.1:8001/stripewebhook to Kafka
  stripe-hook --to - | jq -r .type            look at what comes in
  stripe listen --forward-to 127.0.0.1:8001/stripewebhook
                                              have Stripe's own tool bring the events here
  stripe-hook --to - | hook-to-catalog --from -
                                              without a broker"
)]
pub struct Args {
    /// Where to listen; port 0 picks one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub listen: SocketAddr,
    /// The path that webhooks come to
    #[arg(long, value_name = "PATH", default_value = "/stripewebhook", value_parser = path)]
    pub path: String,
    /// Connections at once; a newcomer takes the place of one that only waits
    #[arg(long, value_name = "COUNT", default_value_t = Limits::DEFAULT.connections_max)]
    pub connections_max: usize,
    #[command(flatten)]
    pub to: ToArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

impl CliArgs for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

fn path(text: &str) -> Result<String, String> {
    let fits = text.starts_with('/') && !text.contains(['?', '#']) && !text.contains(' ');
    if !fits {
        return Err("a path begins with / and has no query".into());
    }
    if ["/healthz", "/readyz", "/metrics"].contains(&text) {
        return Err("this path tells how the program is".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_is_needed() {
        let command = common::cli::command::<Args>(PROGRAM);
        command.clone().debug_assert();
        let matches = command.try_get_matches_from(["stripe-hook"]).expect("defaults");
        assert_eq!(matches.get_one::<String>("path").map(String::as_str), Some("/stripewebhook"));
    }

    #[test]
    fn a_path_that_cannot_be_asked_for_is_refused() {
        assert_eq!(path("/hooks/stripe").as_deref(), Ok("/hooks/stripe"));
        for bad in ["", "hooks", "/a?b", "/a b", "/metrics"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
