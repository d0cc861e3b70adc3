//! What all lists share: a page as a JSON array with the next page in `Link`, or all of it as
//! NDJSON in constant memory.

use std::io::Read;

use common::error::Result;
use common::http::{Problem, Request, Response};
use serde::Serialize;

/// Items on a page, unless `limit` says otherwise.
pub const LIMIT: usize = 100;
/// The most that `limit` can say. Who wants more takes pages, or NDJSON.
pub const LIMIT_MAX: usize = 1000;
/// Items read at once, of a stream or of a long page.
pub const ITEMS_AT_ONCE: usize = 200;

pub const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// The parameter `limit`, if it was given.
pub fn limit(request: &Request) -> std::result::Result<Option<usize>, Problem> {
    let Some(text) = request.parameter("limit")? else { return Ok(None) };
    match text.parse::<usize>() {
        Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(Some(limit)),
        Ok(_) | Err(_) => {
            let why = format!("must be a number from 1 to {LIMIT_MAX}");
            Err(Problem::bad_parameter("limit", why))
        }
    }
}

/// Does the caller like NDJSON at least as much as a JSON array? Whoever accepts neither gets the
/// array all the same: it says more than an error would.
pub fn wants_ndjson(request: &Request) -> bool {
    let accept = request.header("Accept").unwrap_or_default();
    let ndjson = quality(accept, NDJSON);
    ndjson > 0.0 && ndjson >= quality(accept, JSON)
}

/// How much a media type is liked that `Accept` names (RFC 9110 12.5.1); 0 when it does not.
fn quality(accept: &str, media: &str) -> f32 {
    let named = accept.split(',').find_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let this = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media));
        this.then(|| {
            let mut weights = parts.filter_map(|part| {
                let (name, value) = part.split_once('=')?;
                name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
            });
            weights.next().unwrap_or(1.0)
        })
    });
    named.unwrap_or(0.0)
}

/// A JSON array, printed item by item.
#[derive(Debug, Default)]
pub struct Array(Vec<u8>);

impl Array {
    pub fn of<T: Serialize>(items: impl IntoIterator<Item = T>) -> Self {
        let mut array = Self::default();
        for item in items {
            array.add(&item);
        }
        array
    }

    pub fn add(&mut self, item: &impl Serialize) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut self.0, item);
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.0.extend_from_slice(if self.0.is_empty() { b"[]" } else { b"]" });
        self.0
    }
}

/// A page; `next` names the parameter that leads to the one after it, and its value.
pub fn page(request: &Request, items: Array, next: Option<(&'static str, String)>) -> Response {
    let response = Response::bytes(200, JSON, items.into_bytes()).header("Vary", "Accept");
    match next {
        Some((name, value)) => response.header("Link", link(request, name, &value)),
        None => response,
    }
}

/// The same list from there on (RFC 8288).
fn link(request: &Request, name: &str, value: &str) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    for (other, value) in request.query.iter().filter(|(other, _)| other != name) {
        pairs.append_pair(other, value);
    }
    pairs.append_pair(name, value);
    // As it was sent: decoded it might not be a path any more.
    format!("<{}?{}>; rel=\"next\"", request.path, pairs.finish())
}

/// All items, or as many as `limit` says, one a line. `fill` writes at most so many lines of the
/// items that come next, and says how many, and whether there are more.
pub fn stream<F>(limit: Option<usize>, fill: F) -> Response
where
    F: FnMut(&mut Vec<u8>, usize) -> Result<(usize, bool)> + Send + 'static,
{
    let left = limit.unwrap_or(usize::MAX);
    let lines = Lines { fill, left, buffer: Vec::new(), sent: 0, ended: false };
    Response::stream(NDJSON, lines).header("Vary", "Accept")
}

/// Writes an item as a line.
pub fn line(out: &mut Vec<u8>, item: &impl Serialize) {
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, item);
    out.push(b'\n');
}

/// The lines of a stream, made as the client takes them. What changes meanwhile shows as changed;
/// nobody is shown twice or left out for it.
struct Lines<F> {
    fill: F,
    left: usize,
    buffer: Vec<u8>,
    sent: usize,
    ended: bool,
}

impl<F: FnMut(&mut Vec<u8>, usize) -> Result<(usize, bool)>> Lines<F> {
    fn refill(&mut self) {
        self.buffer.clear();
        self.sent = 0;
        match (self.fill)(&mut self.buffer, ITEMS_AT_ONCE.min(self.left)) {
            Ok((count, more)) => {
                self.left -= count.min(self.left);
                self.ended = !more || self.left == 0;
            }
            Err(error) => {
                // The status is sent already, and chunks that merely end would look complete.
                log::error!("a stream broke off: {error}");
                let title = "the list broke off here; it is not complete";
                line(&mut self.buffer, &serde_json::json!({"status": 503, "title": title}));
                self.ended = true;
            }
        }
    }
}

impl<F: FnMut(&mut Vec<u8>, usize) -> Result<(usize, bool)>> Read for Lines<F> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.sent == self.buffer.len() && !self.ended {
            self.refill();
        }
        let rest = &self.buffer[self.sent..];
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.sent += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ndjson_is_given_to_those_who_like_it_best() {
        for (accept, wanted) in [
            ("application/x-ndjson", true),
            ("Application/X-NDJSON; q=0.5", true),
            ("text/html, application/x-ndjson", true),
            ("application/json, application/x-ndjson", true),
            ("application/json, application/x-ndjson;q=0.9", false),
            ("application/x-ndjson;q=0", false),
            ("application/json;q=0.1,application/x-ndjson;q=0.2", true),
            ("*/*", false),
            ("application/json", false),
            ("text/csv", false),
            ("", false),
        ] {
            let request = Request::for_test("GET", "/customers", &[("Accept", accept)], b"");
            assert_eq!(wants_ndjson(&request), wanted, "{accept}");
        }
    }

    #[test]
    fn a_stream_that_breaks_off_says_so_in_its_last_line() {
        let mut calls = 0;
        let mut lines = Lines {
            fill: |out: &mut Vec<u8>, _| {
                calls += 1;
                if calls == 3 {
                    return Err(common::error::Error::retry("read /inside", "broken"));
                }
                line(out, &calls);
                Ok((1, true))
            },
            left: 9,
            buffer: Vec::new(),
            sent: 0,
            ended: false,
        };
        let mut text = String::new();
        lines.read_to_string(&mut text).expect("reads");
        assert!(text.starts_with("1\n2\n{") && text.contains("503"), "{text}");
        assert!(!text.contains("inside") && text.ends_with("}\n"), "{text}");
    }
}
