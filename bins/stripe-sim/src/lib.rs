//! A local, stateful, strict Stripe for development and tests: customers, events, signed webhooks
//! and faults on demand. What Stripe refuses it refuses, what Stripe forgets it forgets; what is
//! not known about Stripe can be set. It must never be reachable from outside by default, and
//! never show a key.
//!
//! # Stripe's side
//! `/v1/customers`, `/v1/customers/search`, `/v1/events`, with any key `sk_test_…` (or
//! `rk_test_…`, which may read only), Basic or Bearer.
//!
//! # Steering: `/_sim/…`
//! - `GET /_sim/requests[?since=N]`, `DELETE`: every API request, NDJSON: `n`, `at`, `method`,
//!   `path`, `params`, `idempotency_key`, `authorization`, `key` (its kind and a digest),
//!   `request_id`, `status` (null: dropped), `replayed`, `applied`, `error_code`, `took_ms`
//! - `POST /_sim/customers`, `POST` and `DELETE /_sim/customers/{id}`: an edit by a person: form as
//!   in the API, no key; the event's `request.id` is null
//! - `GET /_sim/customers[?deleted=true]`, `GET /_sim/events`: all of them, oldest first, NDJSON
//! - `POST /_sim/clock` with `{"advance_s":N}` or `{"set":UNIX}`, `GET`: the clock of `Date`,
//!   `created` and the ages of keys and events; signatures keep the machine's time
//! - `POST /_sim/faults`, `GET`, `DELETE`: see below
//! - `POST /_sim/webhooks/resend` with `{"id":"evt_…"}`: sends one event once more
//! - `GET /_sim/webhooks`: `queued`, `sending`, `delivered`, `failed_tries`, `given_up`
//! - `POST /_sim/reset`: forgets everything, faults and clock too
//!
//! `GET /healthz` and `GET /readyz` answer 200.
//!
//! # Faults
//! `POST /_sim/faults` takes a whole spec, one rule, or a list of rules; rules are added, the rest
//! is replaced:
//! ```json
//! {"requests": [
//!    {"method": "POST", "path": "/v1/customers", "probability": 0.5, "skip": 2, "count": 3,
//!     "status": 500, "after": true}],
//!  "webhooks": {"duplicate": 0.1, "reorder": 0.2, "reorder_ms": 500, "delay": 0.5,
//!               "delay_ms": 2000, "drop": 0.1},
//!  "same_second": true, "rate": 25, "seed": 7}
//! ```
//! A rule says where (`method`, `path` as a prefix, `probability`, `skip`, `count`; all optional)
//! and what:
//! - `latency_ms` waits before, `latency_after_ms` after it is done. A customer is locked while its
//!   write waits before: another one gets `lock_timeout`.
//! - `status` answers with it, nothing done and nothing kept for the key; with `code`, `message`,
//!   `reason` (`Stripe-Rate-Limited-Reason`), `should_retry` if given. With `store` the answer is
//!   kept for the key. With `after` it is done first and the answer is kept for the key.
//! - `lost` does it and closes the connection without an answer.
//! - `timeout_ms` does nothing, waits, and closes the connection.
//! - `refuse` is a parameter's name, or `{"param","code","message"}`: requests that carry it get
//!   400 for it.
//!
//! Of several rules that end a request the first one counts; latencies add up. `--fault` takes the
//! same JSON or a short form: `method=POST,status=500,after,count=1`, `webhooks,drop=0.1`,
//! `same_second`, `rate=25`, `seed=7`.

mod api;
mod auth;
mod clock;
mod customer;
mod errors;
mod faults;
mod form;
mod http;
mod list;
mod ops;
mod params;
mod requests;
mod route;
mod search;
mod sign;
mod sim;
mod spec;
mod steer;
mod store;
mod webhook;
mod wire;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use common::error::{Error, Result};

pub use spec::Spec as FaultSpec;

use crate::http::{Handler, HttpServer, Reply};
use crate::sim::Sim;
use crate::store::Store;
use crate::wire::{Request, Response};

/// The version that answers and events carry unless a request names another one.
pub const API_VERSION: &str = "2026-10-28.endive";

/// How a simulator is set up; `Config::default()` listens on a free port and keeps nothing.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: String,
    /// Where events are sent.
    pub webhooks: Vec<String>,
    /// One `v1` for each.
    pub webhook_secrets: Vec<String>,
    /// Types or patterns like `customer.*`; none: all.
    pub webhook_events: Vec<String>,
    /// The wait before the second try; it doubles from there.
    pub webhook_retry_ms: u64,
    pub state: Option<PathBuf>,
    pub faults: Vec<FaultSpec>,
    pub seed: Option<u64>,
    /// Requests a second; 0 is no limit.
    pub rate: u32,
    pub search_lag_ms: i64,
    pub api_version: String,
    /// An update that changes nothing makes an event.
    pub noop_events: bool,
    /// Parts of `address` that are not sent stay.
    pub address_merges: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".into(),
            webhooks: Vec::new(),
            webhook_secrets: vec!["whsec_local".into()],
            webhook_events: Vec::new(),
            webhook_retry_ms: 1000,
            state: None,
            faults: Vec::new(),
            seed: None,
            rate: 0,
            search_lag_ms: 0,
            api_version: API_VERSION.into(),
            noop_events: false,
            address_merges: false,
        }
    }
}

impl Config {
    /// The endpoints that want events of a type.
    fn endpoints_for(&self, kind: &str) -> Vec<String> {
        let wanted = self.webhook_events.is_empty()
            || self.webhook_events.iter().any(|pattern| list::type_matches(pattern, kind));
        if wanted { self.webhooks.clone() } else { Vec::new() }
    }
}

/// A running simulator.
#[derive(Debug)]
pub struct Server {
    sim: Arc<Sim>,
    http: HttpServer,
    senders: Vec<JoinHandle<()>>,
}

impl Server {
    pub fn start(config: Config) -> Result<Self> {
        let operation = format!("listen on {}", config.listen);
        let listener = TcpListener::bind(&config.listen).map_err(|cause| {
            Error::fatal(&operation, cause).hint("name another address with --listen")
        })?;
        let store = Store::open(config.state.as_deref())?;
        let sim = Sim::new(config, store).map_err(|cause| Error::fatal("set faults", cause))?;
        let sim = Arc::new(sim);
        let senders =
            webhook::start(&sim).map_err(|cause| Error::retry("start the senders", cause))?;
        let handler = Arc::new(Routes(Arc::clone(&sim)));
        let http =
            HttpServer::start(listener, handler).map_err(|cause| Error::retry(operation, cause))?;
        Ok(Self { sim, http, senders })
    }

    pub fn addr(&self) -> SocketAddr {
        self.http.addr()
    }

    /// `http://127.0.0.1:PORT`, as `STRIPE_API_BASE` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Lets running requests finish, then stops; the state is on disk when this returns.
    pub fn stop(mut self) -> Result<()> {
        self.halt()
    }

    fn halt(&mut self) -> Result<()> {
        self.sim.pause.stop();
        self.http.stop();
        self.sim.queue.stop();
        for sender in self.senders.drain(..) {
            if sender.join().is_err() {
                log::error!("a webhook sender panicked");
            }
        }
        lock(&self.sim.store).sync()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.halt() {
            log::error!("{error}");
        }
    }
}

struct Routes(Arc<Sim>);

impl Handler for Routes {
    fn handle(&self, request: &Request) -> Reply {
        let path = request.path.as_str();
        if path.starts_with("/_sim/") {
            return Reply::Answer(steer::handle(&self.0, request));
        }
        if request.method == "GET" && (path == "/healthz" || path == "/readyz") {
            return Reply::Answer(Response::new(200, "text/plain", "ok\n"));
        }
        api::handle(&self.0, request)
    }
}

/// A lock that a panic elsewhere does not take away: every change is made whole by one entry.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// JSON as Stripe prints it: two blanks a level.
fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
