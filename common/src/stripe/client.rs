//! Stripe's API over HTTPS: blocking, one call a method. A status is an answer, never an error;
//! what it means is `verdict`'s to say. Nothing here retries, and nothing prints the key.

use std::fmt;
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use super::answer::{CallError, Page, Reply, Scope, unanswered};
use super::form::{self, Params};
use super::key::StripeKey;
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
/// The most objects Stripe gives in one page.
pub const PAGE_MAX: usize = 100;
/// Stripe's bound on the length of an id.
const ID_CHARS_MAX: usize = 255;

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
        self.post("create customer at Stripe", "/v1/customers", params, key)
    }

    pub fn update(&self, id: &str, params: &Params, key: &str) -> Result<Reply, CallError> {
        let operation = format!("update customer {id} at Stripe");
        let path = customer_path(&operation, id)?;
        self.post(&operation, &path, params, key)
    }

    /// The customer as it is now; of a deleted one, a stub that says so.
    pub fn retrieve(&self, id: &str) -> Result<Reply, CallError> {
        let operation = format!("read customer {id} from Stripe");
        let path = customer_path(&operation, id)?;
        let response = self.get(&operation, &path)?;
        Reply::read(&operation, self.key.name(), response)
    }

    pub fn delete(&self, id: &str) -> Result<Reply, CallError> {
        let operation = format!("delete customer {id} at Stripe");
        let url = format!("{}{}", self.base, customer_path(&operation, id)?);
        let sent = self
            .agent
            .delete(url)
            .header("authorization", self.key.bearer())
            .header("stripe-version", STRIPE_VERSION)
            .call();
        let response = sent.map_err(|error| unanswered(&operation, &error))?;
        Reply::read(&operation, self.key.name(), response)
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

    fn post(
        &self,
        operation: &str,
        path: &str,
        params: &Params,
        key: &str,
    ) -> Result<Reply, CallError> {
        let sent = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("authorization", self.key.bearer())
            .header("stripe-version", STRIPE_VERSION)
            .header("idempotency-key", key)
            .header("content-type", "application/x-www-form-urlencoded")
            .send(form::encode(params));
        let response = sent.map_err(|error| unanswered(operation, &error))?;
        Reply::read(operation, self.key.name(), response)
    }

    fn get(&self, operation: &str, path: &str) -> Result<Response<Body>, CallError> {
        self.agent
            .get(format!("{}{path}", self.base))
            .header("authorization", self.key.bearer())
            .header("stripe-version", STRIPE_VERSION)
            .call()
            .map_err(|error| unanswered(operation, &error))
    }

    fn page(&self, operation: &str, path: &str, params: &Params) -> Result<Page, CallError> {
        let response = self.get(operation, &format!("{path}?{}", form::encode(params)))?;
        Page::read(operation, self.key.name(), response)
    }
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

#[cfg(test)]
mod tests;
