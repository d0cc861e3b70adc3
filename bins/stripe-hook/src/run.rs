//! From start to end: listen, open the output, and stop when asked to or when nothing can be
//! handed on any more.

use std::sync::Arc;
use std::time::Duration;

use common::cli::{Context, unless_asked_to_end};
use common::endpoint::Sink as _;
use common::error::{Error, Exit, Result};
use common::http::{Handler, Limits, Options, Server};
use common::secret::{self, Secret};
use tokio::runtime::Handle;

use crate::args::Args;
use crate::serve::Hook;

/// Where the secret comes from.
const SECRET: &str = "STRIPE_WEBHOOK_SECRET";
/// Asked to end, requests in progress get this long: a little more than a delivery may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(8);

pub async fn run(args: Args, context: Context) -> Result<Exit> {
    let secrets = secrets()?;
    let kafka = args.kafka.options(context.program)?;
    let (metrics, runtime) = (context.metrics.clone(), Handle::current());
    let hook = Arc::new(Hook::new(args.path, secrets, metrics, runtime)?);
    let options = Options { program: context.program, listen: args.listen };
    let handler: Arc<dyn Handler> = hook.clone();
    let limits = Limits::DEFAULT.connections(args.connections_max);
    let server = Server::start_with(options, limits, &handler)?;

    // While the broker does not answer, Stripe is told to come again instead of hearing nothing.
    let opening = unless_asked_to_end(&context, args.to.open(&kafka));
    let opened = tokio::select! {
        opened = opening => opened,
        error = server.failed() => Err(error),
    };
    let sink = match opened {
        Ok(Some(sink)) => sink,
        Ok(None) => {
            stop(server).await;
            return Ok(Exit::Done);
        }
        Err(error) => {
            stop(server).await;
            return Err(error);
        }
    };
    hook.opened(sink.clone());
    let mut shutdown = context.shutdown.clone();
    let end = tokio::select! {
        () = shutdown.requested() => Ok(Exit::Done),
        error = hook.failed() => Err(error),
        error = server.failed() => Err(error),
    };
    stop(server).await;
    match end {
        Ok(exit) => sink.flush().await.map(|()| exit),
        Err(error) => Err(error),
    }
}

async fn stop(server: Server) {
    // On a thread of its own: the requests in progress need this one for their delivery reports.
    let stopped = tokio::task::spawn_blocking(move || server.stop(DRAIN_LIMIT)).await;
    if !stopped.unwrap_or(false) {
        log::warn!("some requests were not answered in time; Stripe sends their events again");
    }
}

fn secrets() -> Result<Vec<Secret>> {
    let secrets = secret::list_from_env(SECRET)?;
    if secrets.is_empty() {
        let cause = format!("{SECRET} is not set: nothing could be believed");
        return Err(Error::fatal("read the webhook secret", cause).hint(format!(
            "set {SECRET} (or {SECRET}_FILE) to the endpoint's signing secret, whsec_…"
        )));
    }
    if secrets.iter().any(|secret| !secret.expose().starts_with("whsec_")) {
        log::warn!("{SECRET} holds something that does not begin with whsec_");
    }
    Ok(secrets)
}
