//! Stripe's answers, taken apart: the status, the headers that say more than it, and the body.
//! Nothing here says what an answer means.

use std::io;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Body, Timeout};

use super::verdict;
use crate::clock;
use crate::error::Error;
use crate::record::Seconds;

/// No answer is larger: a page of a hundred events with large objects is far below.
const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

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

impl Reply {
    /// Takes an answer apart.
    pub(super) fn read(
        operation: &str,
        key_name: &'static str,
        response: Response<Body>,
    ) -> Result<Self, CallError> {
        let headers = response.headers();
        let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim().to_owned());
        let flag = |name: &str| match text(name)?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let mut reply = Self {
            status: response.status().as_u16(),
            body: Json::Null,
            replayed: flag("idempotent-replayed").unwrap_or(false),
            date: date(headers),
            request_id: text("request-id"),
            should_retry: flag("stripe-should-retry"),
            rate_limited_reason: text("stripe-rate-limited-reason"),
            operation: operation.to_owned(),
            key_name,
        };
        let bytes = read(operation, response)?;
        match serde_json::from_slice(&bytes) {
            Ok(body) => reply.body = body,
            Err(error) => log::debug!("{operation}: the answer is not JSON: {error}"),
        }
        Ok(reply)
    }
}

impl Page {
    /// Takes a page apart; any status but 200 is an error, never an empty page.
    pub(super) fn read(
        operation: &str,
        key_name: &'static str,
        response: Response<Body>,
    ) -> Result<Self, CallError> {
        if response.status() != StatusCode::OK {
            return Err(verdict::page_error(&Reply::read(operation, key_name, response)?));
        }
        let date = date(response.headers());
        let bytes = read(operation, response)?;
        let list: List = serde_json::from_slice(&bytes).map_err(|error| CallError {
            error: Error::retry(operation, format!("the answer is no list: {error}")),
            scope: Scope::Account,
        })?;
        Ok(Self { items: list.data, has_more: list.has_more, date })
    }
}

#[derive(Deserialize)]
struct List {
    data: Vec<Box<RawValue>>,
    #[serde(default)]
    has_more: bool,
}

fn read(operation: &str, mut response: Response<Body>) -> Result<Vec<u8>, CallError> {
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX);
    body.read_to_vec().map_err(|error| unanswered(operation, &error))
}

/// Nobody can say whether a request without an answer had its effect: ask again.
pub(super) fn unanswered(operation: &str, error: &ureq::Error) -> CallError {
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

#[cfg(test)]
mod tests {
    use super::parse_http_date;

    #[test]
    fn a_date_header_is_read_as_seconds() {
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse_http_date("Tue, 24 Nov 2026 03:44:17 GMT"), Some(1_795_491_857));
        for text in ["", "now", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
    }
}
