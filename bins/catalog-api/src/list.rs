//! Many customers: a page as a JSON array with the next page in `Link`, or all of them as NDJSON in
//! constant memory.

use std::io::Read;
use std::sync::Arc;

use common::clock;
use common::http::{Answer, Problem, Request, Response};
use common::record::STRIPE;
use common::store::{Cursor, Query, State};

use crate::api::Api;
use crate::readers::Readers;
use crate::shown::Shown;

/// Customers on a page, unless `limit` says otherwise.
const LIMIT: usize = 100;
/// The most that `limit` can say. Who wants more takes pages, or NDJSON.
const LIMIT_MAX: usize = 1000;
/// Customers read at once while all are streamed.
const STREAM_CUSTOMERS: usize = 200;

const NDJSON: &str = "application/x-ndjson";
const PARAMETERS: [&str; 6] = ["limit", "cursor", "email", "q", "updated_since", "sync"];

/// `GET /customers`.
pub fn list(api: &Api, request: &Request) -> Answer {
    request.only_parameters(&PARAMETERS)?;
    let (query, limit) = query(request)?;
    if wants_ndjson(request) {
        let stream = Lines {
            readers: Arc::clone(&api.readers),
            query: Query { limit: STREAM_CUSTOMERS, ..query },
            left: limit.unwrap_or(usize::MAX),
            buffer: Vec::new(),
            sent: 0,
            ended: false,
        };
        return Ok(Response::stream(NDJSON, stream).header("Vary", "Accept"));
    }
    let query = Query { limit: limit.unwrap_or(LIMIT), ..query };
    // A cursor of a list with other filters is the caller's mistake, not the store's.
    let page = api.readers.read(|store| store.list(&query)).map_err(|error| match error.kind {
        common::error::Kind::Reject => Problem::bad_parameter("cursor", error.cause),
        common::error::Kind::Retry | common::error::Kind::Fatal => Problem::inside(error),
    })?;
    let customers: Vec<_> = page.entries.iter().map(Shown).collect();
    let response = Response::json(200, &customers).header("Vary", "Accept");
    Ok(match page.next {
        Some(next) => response.header("Link", next_link(request, &next)),
        None => response,
    })
}

fn wants_ndjson(request: &Request) -> bool {
    let accept = request.header("Accept").unwrap_or_default();
    accept.split(',').any(|range| {
        range.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(NDJSON))
    })
}

fn query(request: &Request) -> Result<(Query, Option<usize>), Problem> {
    let refuse = |name, why: String| Err(Problem::bad_parameter(name, why));
    let mut query = Query::default();
    let limit = match request.parameter("limit")? {
        None => None,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Some(limit),
            Ok(_) | Err(_) => {
                return refuse("limit", format!("must be a number from 1 to {LIMIT_MAX}"));
            }
        },
    };
    if let Some(text) = request.parameter("cursor")? {
        query.after = match text.parse::<Cursor>() {
            Ok(cursor) => Some(cursor),
            Err(_) => return refuse("cursor", "is not one that this catalog gave out".to_owned()),
        };
    }
    query.email = request.parameter("email")?.map(str::to_owned);
    query.q = request.parameter("q")?.map(str::to_owned);
    if let Some(text) = request.parameter("updated_since")? {
        query.updated_since = match clock::parse_rfc3339(text) {
            Some(at) => Some(at),
            None => {
                let why = "must be a time in UTC, as in 2026-11-22T10:00:00Z";
                return refuse("updated_since", why.to_owned());
            }
        };
    }
    if let Some(text) = request.parameter("sync")? {
        let states = [State::Pending, State::Synced, State::Failed];
        query.sync = match states.into_iter().find(|state| state.as_str() == text) {
            Some(state) => Some((STRIPE.to_owned(), state)),
            None => return refuse("sync", "must be pending, synced or failed".to_owned()),
        };
    }
    Ok((query, limit))
}

/// The same list after this cursor (RFC 8288).
fn next_link(request: &Request, next: &Cursor) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    for (name, value) in request.query.iter().filter(|(name, _)| name != "cursor") {
        pairs.append_pair(name, value);
    }
    pairs.append_pair("cursor", &next.to_string());
    format!("</customers?{}>; rel=\"next\"", pairs.finish())
}

/// The lines of a stream, made page by page as the client takes them. What changes meanwhile shows
/// as changed; nobody is shown twice or left out for it.
struct Lines {
    readers: Arc<Readers>,
    query: Query,
    left: usize,
    buffer: Vec<u8>,
    sent: usize,
    ended: bool,
}

impl Lines {
    fn fill(&mut self) {
        self.buffer.clear();
        self.sent = 0;
        self.query.limit = STREAM_CUSTOMERS.min(self.left);
        match self.readers.read(|store| store.list(&self.query)) {
            Ok(page) => {
                self.left -= page.entries.len().min(self.left);
                for entry in &page.entries {
                    // Writing to memory cannot fail.
                    let _ = serde_json::to_writer(&mut self.buffer, &Shown(entry));
                    self.buffer.push(b'\n');
                }
                self.ended = page.next.is_none() || self.left == 0;
                self.query.after = page.next;
            }
            Err(error) => {
                // The status is sent already, and chunks that merely end would look complete.
                log::error!("a stream of customers broke off: {error}");
                let line =
                    b"{\"status\":503,\"title\":\"the list broke off here; it is not complete\"}\n";
                self.buffer.extend_from_slice(line);
                self.ended = true;
            }
        }
    }
}

impl Read for Lines {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.sent == self.buffer.len() && !self.ended {
            self.fill();
        }
        let rest = &self.buffer[self.sent..];
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.sent += length;
        Ok(length)
    }
}
