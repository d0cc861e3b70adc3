//! Stripe's API over HTTPS: blocking, one call a method. A status is an answer, never an error;
//! what it means is `verdict`'s to say. Nothing here retries, and nothing prints the key.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body, Timeout};

use super::form::{self, Params};
use super::verdict;
use crate::clock;
use crate::error::Error;
use crate::record::Seconds;

/// The rendering we ask for, pinned: another one could take members away under us.
pub const STRIPE_VERSION: &str = "2026-10-28.endive";
/// Where Stripe is, unless `STRIPE_API_BASE` says otherwise.
pub const API_BASE: &str = "https://api.stripe.com";

/// Name look-up; a resolver that is silent this long is down.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// TCP and TLS together; Stripe's take some 0.2 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Sending a request, of a few KB at most.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Waiting for the answer's head. Stripe's libraries wait 80 s; asking again under the same
/// idempotency key gets the very answer we gave up on, so a shorter wait loses nothing and
/// keeps one stuck request from holding its customer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Reading the answer's body; a page of a hundred events is about a megabyte.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// The whole call, whatever its parts took.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle connections kept: as many as any program has requests in flight.
const CONNECTIONS_IDLE_MAX: usize = 32;
/// An idle connection older than this may have been closed by the other side.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(15);
/// Per connection, each way; the default of 128 KiB is meant for downloads.
const CONNECTION_BUFFER_BYTES: usize = 16 * 1024;
/// No answer is larger: a page of a hundred events with large objects is far below.
const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Of a body that is not what we asked for, this much goes into an error.
const EXCERPT_CHARS_MAX: usize = 120;
/// The most objects Stripe gives in one page.
pub const PAGE_MAX: usize = 100;
/// Stripe's bound on the length of an id.
const ID_CHARS_MAX: usize = 255;

/// The key, and the name under which the operator knows it. It prints as `StripeKey(NAME)`.
#[derive(Clone, Eq, PartialEq)]
pub struct StripeKey {
    key: String,
    name: &'static str,
}

impl StripeKey {
    /// `name` is the variable it came from, for hints. `Fatal` if it cannot be a key.
    pub fn new(key: &str, name: &'static str) -> Result<Self, Error> {
        let key = key.trim();
        let bad = |cause: &str| {
            Error::fatal(format!("read {name}"), cause)
                .hint(format!("{name} is a secret or restricted key: sk_… or rk_…"))
        };
        if key.is_empty() {
            return Err(bad("no key"));
        }
        if !key.starts_with("sk_") && !key.starts_with("rk_") {
            return Err(bad("not a secret or restricted key"));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("holds characters that no key has"));
        }
        Ok(Self { key: key.to_owned(), name })
    }

    /// A sandbox's key: Stripe allows it less.
    pub fn is_test(&self) -> bool {
        self.key.starts_with("sk_test_") || self.key.starts_with("rk_test_")
    }
}

impl fmt::Debug for StripeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StripeKey({})", self.name)
    }
}

/// Whom an error concerns, and so who has to wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Everybody: the network, Stripe, or the account's rate.
    Account,
    /// One customer: everything else goes on.
    Customer,
}

/// A call without an answer, or with one that is none of Stripe's.
#[derive(Clone, Debug)]
pub struct CallError {
    pub error: Error,
    pub scope: Scope,
}

impl From<CallError> for Error {
    fn from(failed: CallError) -> Self {
        failed.error
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Null when the body is no JSON.
    pub body: Json,
    /// Stored under the idempotency key and played back: it shows the past.
    pub replayed: bool,
    /// The `Date` header: Stripe's clock.
    pub date: Option<Seconds>,
    pub request_id: Option<String>,
    /// `Stripe-Should-Retry`.
    pub should_retry: Option<bool>,
    /// `Stripe-Rate-Limited-Reason`, of a 429.
    pub rate_limited_reason: Option<String>,
    /// What was asked, for messages: "update customer cus_1 at Stripe".
    pub operation: String,
    /// The variable the key came from, for hints.
    pub key_name: &'static str,
}

/// A page of a list, each object as the bytes Stripe wrote.
#[derive(Debug)]
pub struct Page {
    pub items: Vec<Box<RawValue>>,
    pub has_more: bool,
    pub date: Option<Seconds>,
}

/// Which events to list. Newest first, except that `ending_before` names the one to stop above.
#[derive(Clone, Debug, Default)]
pub struct EventsQuery<'a> {
    /// Exact types, 20 at most.
    pub types: &'a [&'a str],
    pub ending_before: Option<&'a str>,
    pub starting_after: Option<&'a str>,
    pub created_gte: Option<Seconds>,
    pub limit: usize,
}

/// A client for one account. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    base: String,
    key: StripeKey,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// `program` goes into the `User-Agent`, as in `kafka-to-stripe/0.1.0`.
    pub fn new(base: &str, key: StripeKey, program: &str) -> Result<Self, Error> {
        let base = base.trim().trim_end_matches('/').to_owned();
        let bad = |cause: &str| {
            Error::fatal("read STRIPE_API_BASE", format!("{base:?} {cause}"))
                .hint(format!("leave it out for {API_BASE}"))
        };
        if !base.starts_with("https://") && !base.starts_with("http://") {
            return Err(bad("is not an http(s) URL"));
        }
        if base.parse::<ureq::http::Uri>().is_err() {
            return Err(bad("is not a URL"));
        }
        if base.starts_with("http://") && !key.is_test() {
            return Err(bad("would send a live key without encryption"));
        }
        let config = Agent::config_builder()
            // Statuses are answers: their bodies say what is wrong.
            .http_status_as_error(false)
            // Stripe redirects nobody; following one would carry the body elsewhere.
            .max_redirects(0)
            .user_agent(program)
            .accept("application/json")
            .timeout_global(Some(CALL_TIMEOUT))
            .timeout_per_call(Some(CALL_TIMEOUT))
            .timeout_resolve(Some(RESOLVE_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_send_request(Some(SEND_TIMEOUT))
            .timeout_send_body(Some(SEND_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_recv_body(Some(BODY_TIMEOUT))
            .max_idle_connections(CONNECTIONS_IDLE_MAX)
            .max_idle_connections_per_host(CONNECTIONS_IDLE_MAX)
            .max_idle_age(CONNECTION_IDLE_MAX)
            .input_buffer_size(CONNECTION_BUFFER_BYTES)
            .output_buffer_size(CONNECTION_BUFFER_BYTES)
            .build();
        Ok(Self { agent: config.new_agent(), base, key })
    }

    /// Creates a customer. The same key and params give the same customer for a day.
    pub fn create(&self, params: &Params, key: &str) -> Result<Reply, CallError> {
        self.post("create customer at Stripe".into(), "/v1/customers", params, key)
    }

    pub fn update(&self, id: &str, params: &Params, key: &str) -> Result<Reply, CallError> {
        let operation = format!("update customer {id} at Stripe");
        let path = customer_path(&operation, id)?;
        self.post(operation, &path, params, key)
    }

    /// The customer as it is now; of a deleted one, a stub that says so.
    pub fn retrieve(&self, id: &str) -> Result<Reply, CallError> {
        let operation = format!("read customer {id} from Stripe");
        let path = customer_path(&operation, id)?;
        let response = self.get(&operation, &path)?;
        self.reply(operation, response)
    }

    pub fn delete(&self, id: &str) -> Result<Reply, CallError> {
        let operation = format!("delete customer {id} at Stripe");
        let url = format!("{}{}", self.base, customer_path(&operation, id)?);
        let sent = self
            .agent
            .delete(url)
            .header("authorization", self.authorization())
            .header("stripe-version", STRIPE_VERSION)
            .call();
        let response = sent.map_err(|error| unanswered(&operation, &error))?;
        self.reply(operation, response)
    }

    /// Live customers created since, newest first.
    pub fn list_customers(
        &self,
        created_gte: Option<Seconds>,
        starting_after: Option<&str>,
        limit: usize,
    ) -> Result<Page, CallError> {
        let mut params = vec![("limit".to_owned(), limit.to_string())];
        params.extend(created_gte.map(|at| ("created[gte]".to_owned(), at.to_string())));
        params.extend(starting_after.map(|id| ("starting_after".to_owned(), id.to_owned())));
        self.page("list customers at Stripe", "/v1/customers", &params)
    }

    /// The account's events of the last 30 days, newest first.
    pub fn events(&self, query: &EventsQuery) -> Result<Page, CallError> {
        let mut params = vec![("limit".to_owned(), query.limit.to_string())];
        let types = query.types.iter().enumerate();
        params.extend(types.map(|(n, name)| (format!("types[{n}]"), (*name).to_owned())));
        let mut option = |name: &str, value: Option<String>| {
            params.extend(value.map(|value| (name.to_owned(), value)));
        };
        option("ending_before", query.ending_before.map(str::to_owned));
        option("starting_after", query.starting_after.map(str::to_owned));
        option("created[gte]", query.created_gte.map(|at| at.to_string()));
        self.page("list events at Stripe", "/v1/events", &params)
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.key.key)
    }

    fn post(
        &self,
        operation: String,
        path: &str,
        params: &Params,
        key: &str,
    ) -> Result<Reply, CallError> {
        let sent = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("authorization", self.authorization())
            .header("stripe-version", STRIPE_VERSION)
            .header("idempotency-key", key)
            .header("content-type", "application/x-www-form-urlencoded")
            .send(form::encode(params));
        let response = sent.map_err(|error| unanswered(&operation, &error))?;
        self.reply(operation, response)
    }

    fn get(&self, operation: &str, path: &str) -> Result<Response<Body>, CallError> {
        self.agent
            .get(format!("{}{path}", self.base))
            .header("authorization", self.authorization())
            .header("stripe-version", STRIPE_VERSION)
            .call()
            .map_err(|error| unanswered(operation, &error))
    }

    fn page(&self, operation: &str, path: &str, params: &Params) -> Result<Page, CallError> {
        let path = format!("{path}?{}", form::encode(params));
        let response = self.get(operation, &path)?;
        if response.status() != StatusCode::OK {
            let reply = self.reply(operation.to_owned(), response)?;
            return Err(verdict::page_error(&reply));
        }
        let date = date(response.headers());
        let bytes = read(operation, response)?;
        let list: List = serde_json::from_slice(&bytes).map_err(|error| CallError {
            error: Error::retry(operation, format!("the answer is no list: {error}")),
            scope: Scope::Account,
        })?;
        Ok(Page { items: list.data, has_more: list.has_more, date })
    }

    fn reply(&self, operation: String, response: Response<Body>) -> Result<Reply, CallError> {
        let headers = response.headers();
        let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim().to_owned());
        let flag = |name: &str| match text(name)?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let mut reply = Reply {
            status: response.status().as_u16(),
            body: Json::Null,
            replayed: flag("idempotent-replayed").unwrap_or(false),
            date: date(headers),
            request_id: text("request-id"),
            should_retry: flag("stripe-should-retry"),
            rate_limited_reason: text("stripe-rate-limited-reason"),
            operation,
            key_name: self.key.name,
        };
        let bytes = read(&reply.operation, response)?;
        match serde_json::from_slice(&bytes) {
            Ok(body) => reply.body = body,
            Err(_) => log::debug!("{}: not JSON: {}", reply.operation, excerpt(&bytes)),
        }
        Ok(reply)
    }
}

#[derive(Deserialize)]
struct List {
    data: Vec<Box<RawValue>>,
    #[serde(default)]
    has_more: bool,
}

/// An id goes into a path: one with a slash in it must not name another thing.
fn customer_path(operation: &str, id: &str) -> Result<String, CallError> {
    let fits = !id.is_empty() && id.len() <= ID_CHARS_MAX;
    if fits && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        return Ok(format!("/v1/customers/{id}"));
    }
    let error = Error::reject(operation, "that is no id of Stripe's");
    Err(CallError { error, scope: Scope::Customer })
}

fn read(operation: &str, mut response: Response<Body>) -> Result<Vec<u8>, CallError> {
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX);
    body.read_to_vec().map_err(|error| unanswered(operation, &error))
}

/// Nobody can say whether a request without an answer had its effect: ask again.
fn unanswered(operation: &str, error: &ureq::Error) -> CallError {
    use ureq::Error as E;
    let refused = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown
        )
    };
    // No connection at all is everybody's trouble; one that broke off may be this request's own.
    let concerns_all = match error {
        E::Io(error) => refused(error),
        error => matches!(
            error,
            E::HostNotFound
                | E::ConnectionFailed
                | E::Tls(_)
                | E::Rustls(_)
                | E::Timeout(Timeout::Resolve | Timeout::Connect)
        ),
    };
    CallError {
        error: Error::retry(operation, error),
        scope: if concerns_all { Scope::Account } else { Scope::Customer },
    }
}

fn date(headers: &HeaderMap) -> Option<Seconds> {
    parse_http_date(headers.get("date")?.to_str().ok()?)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that is still sent.
fn parse_http_date(text: &str) -> Option<Seconds> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_ascii_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next() != Some("GMT") {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let millis = clock::parse_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{time}Z"))?;
    Some(millis / 1000)
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(EXCERPT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
