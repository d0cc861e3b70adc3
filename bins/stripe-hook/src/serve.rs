//! The HTTP side: one path for webhooks, and the three that tell how the program is. A webhook is
//! answered 2xx only once its record is durable; anything else makes Stripe send it again.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use common::clock;
use common::endpoint::{self, AnySink, Delivered, Sink as _};
use common::error::{Error, Kind, Result};
use common::http::{Answer, BodyPlan, Handler, Problem, Request, Response, method_name};
use common::metrics::{self, Metrics};
use common::secret::Secret;
use prometheus::{IntCounter, IntGauge};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::webhook::{self, BODY_BYTES_MAX};

/// How long a webhook waits for its delivery report. A broker that elects a new leader takes some
/// seconds; Stripe, whose patience is at least 10 s, sends again what is answered 503.
const DELIVERY_WAIT: Duration = Duration::from_secs(5);
/// Webhooks that wait for their delivery report at once. The server has a few more workers, so that
/// `/healthz` is answered however long the broker is away.
const WAITING_MAX: usize = 48;
/// When a sender may come again after 503. (Stripe keeps to a schedule of its own.)
const RETRY_AFTER_S: u32 = 5;
/// A delivery this fresh shows that the pipeline moves; otherwise `/readyz` asks the broker.
const READY_FOR: Duration = Duration::from_secs(10);
/// The broker is asked at most this often, however often `/readyz` is.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Refused webhooks are said in the log this often; the metric counts them all.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The status of a webhook or record beyond its limit.
const TOO_LARGE: u16 = 413;

/// Why nothing can be handed on at first.
const NOT_OPEN: &str = "the broker has not answered yet";

/// What the server does with requests.
#[derive(Debug)]
pub struct Hook {
    path: String,
    secrets: Vec<Secret>,
    /// Empty until the broker has answered: webhooks are answered 503 meanwhile.
    sink: OnceLock<AnySink>,
    runtime: Handle,
    metrics: Metrics,
    counts: Counts,
    health: Mutex<Health>,
    waiting: Semaphore,
    /// Why the program has to end.
    fatal: watch::Sender<Option<Error>>,
}

#[derive(Debug)]
struct Counts {
    accepted: IntCounter,
    refused: IntCounter,
    unavailable: IntCounter,
    last_at: IntGauge,
}

#[derive(Debug, Default)]
struct Health {
    delivered_at: Option<Instant>,
    asked: Option<(Instant, std::result::Result<(), String>)>,
    refusal_said_at: Option<Instant>,
}

impl Hook {
    pub fn new(
        path: String,
        secrets: Vec<Secret>,
        metrics: Metrics,
        runtime: Handle,
    ) -> Result<Self> {
        let counts = Counts {
            accepted: metrics
                .counter("webhooks_accepted_total", "webhooks handed on and answered 2xx")?,
            refused: metrics
                .counter("webhooks_refused_total", "webhooks refused: not Stripe's, or no event")?,
            unavailable: metrics
                .counter("webhooks_unavailable_total", "webhooks answered 503, to come again")?,
            last_at: metrics.gauge(
                "webhook_last_accepted_timestamp_seconds",
                "when the last webhook was accepted; 0 before the first",
            )?,
        };
        let (fatal, _) = watch::channel(None);
        let (sink, health) = (OnceLock::new(), Mutex::default());
        let waiting = Semaphore::new(WAITING_MAX);
        Ok(Self { path, secrets, sink, runtime, metrics, counts, health, waiting, fatal })
    }

    /// Webhooks can be handed on from now on. The first sink stays.
    pub fn opened(&self, sink: AnySink) {
        let _ = self.sink.set(sink);
    }

    /// Waits until nothing can be handed on any more and only a new start helps.
    pub async fn failed(&self) -> Error {
        let mut fatal = self.fatal.subscribe();
        match fatal.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(|| Error::retry("serve", "stopped")),
            Err(_) => std::future::pending().await,
        }
    }

    fn receive(&self, request: &mut Request) -> Answer {
        let header = request.header("Stripe-Signature").map(str::to_owned);
        let now = clock::now_ms() / 1000;
        let judged = request
            .body(BODY_BYTES_MAX)
            .and_then(|body| webhook::judge(header.as_deref(), body, &self.secrets, now));
        let webhook = judged.inspect_err(|problem| {
            self.counts.refused.inc();
            let said = format!("refused a webhook: {} (request {})", problem.detail, request.id);
            if self.is_to_be_said() { log::warn!("{said}") } else { log::debug!("{said}") }
        })?;
        let Some(sink) = self.sink.get() else {
            return Err(self.not_sent(Error::retry("hand on a webhook", NOT_OPEN)));
        };
        let Ok(_turn) = self.waiting.try_acquire() else {
            let why = "too many webhooks wait for the broker already";
            return Err(self.not_sent(Error::retry("hand on a webhook", why)));
        };
        // Within the runtime: a timer can be made only there.
        let send = async { tokio::time::timeout(DELIVERY_WAIT, sink.send(webhook.record)).await };
        let sent = self.runtime.block_on(send).unwrap_or_else(|_| {
            let name = sink.name();
            Err(Error::retry(format!("write to {name}"), "no delivery report in time"))
        });
        match sent {
            Ok(Delivered { partition, offset }) => {
                self.counts.accepted.inc();
                self.counts.last_at.set(now);
                self.health().delivered_at = Some(Instant::now());
                let (id, kind) = (&webhook.head.id, &webhook.head.kind);
                log::debug!("{kind} {id}: written to partition {partition}, offset {offset}");
                Ok(Response::json(200, &json!({"received": true})))
            }
            Err(error) => Err(self.not_sent(error)),
        }
    }

    /// The record is not durable, or nobody knows: Stripe has to send it again.
    fn not_sent(&self, error: Error) -> Problem {
        log::debug!("{error}");
        let ends = match error.kind {
            Kind::Fatal => true,
            Kind::Retry => endpoint::closed(&error),
            Kind::Reject => {
                return Problem::new(TOO_LARGE, "the event is too large to be handed on");
            }
        };
        self.counts.unavailable.inc();
        self.health().delivered_at = None;
        if ends {
            self.fatal.send_replace(Some(error));
        }
        Problem::new(503, "the event cannot be handed on right now; send it again")
            .header("Retry-After", RETRY_AFTER_S.to_string())
    }

    fn ready(&self) -> Response {
        match self.is_ready() {
            Ok(()) => Response::text(200, "ready\n"),
            Err(why) => {
                log::debug!("not ready: {why}");
                Response::text(503, "not ready: records cannot be handed on\n")
            }
        }
    }

    fn is_ready(&self) -> std::result::Result<(), String> {
        let Some(sink) = self.sink.get() else { return Err(NOT_OPEN.into()) };
        {
            let mut health = self.health();
            if health.delivered_at.is_some_and(|at| at.elapsed() < READY_FOR) {
                return Ok(());
            }
            if let Some((at, answer)) = &health.asked
                && at.elapsed() < ASK_AGAIN_AFTER
            {
                return answer.clone();
            }
            // Asking takes its time, and webhooks do not wait for it; who comes meanwhile is told
            // what was true before.
            let before = health.asked.take().map_or_else(|| Err(NOT_OPEN.into()), |asked| asked.1);
            health.asked = Some((Instant::now(), before));
        }
        let answer = match sink {
            AnySink::Kafka(sink) => {
                let asked = sink.cluster().and_then(|cluster| cluster.id());
                asked.map(|_| ()).map_err(|error| error.to_string())
            }
            AnySink::Pipe(_) | AnySink::Memory(_) => Ok(()),
        };
        self.health().asked = Some((Instant::now(), answer.clone()));
        answer
    }

    /// A wrong secret has to be seen; a stranger who knocks all day need not be.
    fn is_to_be_said(&self) -> bool {
        let mut health = self.health();
        let is_due = health.refusal_said_at.is_none_or(|at| at.elapsed() >= SAY_AGAIN_AFTER);
        if is_due {
            health.refusal_said_at = Some(Instant::now());
        }
        is_due
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for Hook {
    fn admit(&self, request: &Request) -> std::result::Result<BodyPlan, Problem> {
        let path = request.path.as_str();
        let allowed: &[&str] = match path {
            _ if path == self.path => &["POST"],
            "/healthz" | "/readyz" | "/metrics" => &["GET", "HEAD"],
            _ => return Err(Problem::not_found("nothing is here")),
        };
        if !allowed.contains(&method_name(request.method)) {
            return Err(Problem::method_not_allowed(allowed));
        }
        Ok(BodyPlan::Gather { bytes_max: BODY_BYTES_MAX })
    }

    fn handle(&self, request: &mut Request) -> Answer {
        match request.path.as_str() {
            path if path == self.path => self.receive(request),
            "/healthz" => Ok(Response::text(200, "ok\n")),
            "/readyz" => Ok(self.ready()),
            "/metrics" => {
                let text = self.metrics.render();
                Ok(Response::bytes(200, metrics::CONTENT_TYPE, text.into()))
            }
            _ => Err(Problem::not_found("nothing is here")),
        }
    }

    fn observe(&self, request: &Request, status: u16, _elapsed: Duration) {
        // Too long a body never gets as far as here.
        if status == TOO_LARGE && request.path == self.path {
            self.counts.refused.inc();
        }
    }
}

#[cfg(test)]
mod tests;
