//! A request taken apart: path segments and query decoded, headers by name, the body gathered or
//! as it arrives.

use std::io::Read;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use tokio::runtime::Handle;

use super::stream::Pieces;
use super::{BodyStream, Fault, Problem, StreamLimits};
use crate::error::Error;

/// The methods that are known here; `HEAD` arrives as `Get`, since only its answer differs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other,
}

/// One request.
pub struct Request {
    pub method: Method,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The path's segments, percent-decoded; a slash at the end makes no segment.
    pub segments: Vec<String>,
    /// The query's pairs, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Names the request in the log and in the answer's `X-Request-Id`.
    pub id: String,
    /// What the path stands for, as in `/customers/{id}`: for metrics, set by the handler.
    pub route: &'static str,
    pub peer: Option<IpAddr>,
    headers: Vec<(String, String)>,
    /// The body, if it was gathered.
    pub(super) body: Option<Vec<u8>>,
    /// The body, if it is still arriving; and whose timers say when it is too slow.
    pub(super) pieces: Option<(Pieces, Handle)>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} {}", self.method, self.path, self.id)
    }
}

/// A client's own `X-Request-Id` is kept when it is no longer than this and plain text.
const REQUEST_ID_CHARS_MAX: usize = 100;

impl Request {
    /// Takes a request apart. What is wrong with it is told with it, so that the answer to it can
    /// still be sent.
    pub(super) fn new(inner: &tiny_http::Request) -> (Self, Option<Problem>) {
        let headers = inner
            .headers()
            .iter()
            .map(|header| (header.field.to_string(), header.value.to_string()))
            .collect();
        Self::build(inner.method().as_str(), inner.url(), headers)
    }

    /// Stands for a request that could not be read.
    pub(super) fn unread() -> Self {
        Self::build("", "/", Vec::new()).0
    }

    /// A request that came over no wire.
    pub fn for_test(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let (mut request, _) = Self::build(method, url, headers.collect());
        request.body = Some(body.to_vec());
        request
    }

    pub(super) fn build(
        method: &str,
        url: &str,
        headers: Vec<(String, String)>,
    ) -> (Self, Option<Problem>) {
        let method = match method {
            "GET" | "HEAD" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        };
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let mut problem = None;
        let segments = decode_path(path).unwrap_or_else(|why| {
            problem.get_or_insert(Problem::new(400, why));
            Vec::new()
        });
        let query = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let mut request = Self {
            method,
            path: path.to_owned(),
            segments,
            query,
            id: String::new(),
            route: "other",
            peer: None,
            headers,
            body: None,
            pieces: None,
        };
        request.id = match request.header("X-Request-Id") {
            Some(id) if is_request_id(id) => id.to_owned(),
            Some(_) | None => uuid::Uuid::now_v7().to_string(),
        };
        (request, problem)
    }

    /// A header's value, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// A parameter of the query. Given twice it is an error, since nobody could say which counts.
    pub fn parameter(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.query.iter().filter(|(other, _)| other == name);
        let first = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() {
            return Err(Problem::bad_parameter(name, "given more than once"));
        }
        Ok(first)
    }

    /// Refuses parameters that nobody knows, naming them: a misspelt filter must not mean "all".
    pub fn only_parameters(&self, known: &[&str]) -> Result<(), Problem> {
        let mut unknown: Vec<Fault> = Vec::new();
        for (name, _) in &self.query {
            if !known.contains(&name.as_str()) && unknown.iter().all(|fault| fault.field != *name) {
                let message = if known.is_empty() {
                    "unknown parameter; none is known here".to_owned()
                } else {
                    format!("unknown parameter; known are {}", known.join(", "))
                };
                unknown.push(Fault::new(name, message));
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Problem { errors: unknown, ..Problem::new(400, "unknown parameters in the query") })
    }

    /// The media type of the body, without parameters, in lower case.
    pub fn content_type(&self) -> Option<String> {
        let value = self.header("Content-Type")?;
        Some(value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase())
    }

    /// 415 unless the body is said to be one of these.
    pub fn expect_content_type(&self, types: &[&str]) -> Result<(), Problem> {
        let detail = match self.content_type() {
            Some(given) if types.contains(&given.as_str()) => return Ok(()),
            Some(given) => format!("Content-Type is {given}; expected {}", types.join(" or ")),
            None => format!("Content-Type is missing; expected {}", types.join(" or ")),
        };
        Err(Problem::new(415, detail).header("Accept", types.join(", ")))
    }

    /// The body as it was sent. Beyond the limit: 413.
    pub fn body(&mut self, bytes_max: usize) -> Result<&[u8], Problem> {
        let too_long = || Problem::new(413, format!("the body is longer than {bytes_max} bytes"));
        if self.body.is_none() && self.pieces.is_some() {
            let mut bytes = Vec::new();
            let mut limited = self.stream(StreamLimits::BULK)?.take(bytes_max as u64 + 1);
            limited.read_to_end(&mut bytes).map_err(|error| Problem {
                inside: Some(Box::new(Error::reject("read the body of a request", error))),
                ..Problem::new(400, "the body ended before its end, or came too slowly")
            })?;
            self.body = Some(bytes);
        }
        match self.body.as_deref().unwrap_or_default() {
            body if body.len() > bytes_max => Err(too_long()),
            body => Ok(body),
        }
    }

    /// The body as it arrives, whatever its length, in constant memory. Taken once, and instead of
    /// [`Self::body`]; the handler's `admit` has said [`BodyPlan::Stream`](super::BodyPlan::Stream).
    pub fn stream(&mut self, limits: StreamLimits) -> Result<BodyStream, Problem> {
        Ok(match self.pieces.take() {
            Some((pieces, timers)) => BodyStream::of_wire(pieces, timers, limits),
            None => BodyStream::of_memory(self.body.take().unwrap_or_default(), limits),
        })
    }
}

fn decode_path(path: &str) -> Result<Vec<String>, String> {
    let path = path.strip_prefix('/').ok_or("the path does not begin with /")?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let decode = |segment: &str| {
        let text = percent_decode_str(segment).decode_utf8();
        text.map(std::borrow::Cow::into_owned)
    };
    let segments: Result<_, _> = path.split('/').map(decode).collect();
    segments.map_err(|_| "the path is not UTF-8 after percent-decoding".to_owned())
}

pub(super) fn is_request_id(id: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    !id.is_empty() && id.len() <= REQUEST_ID_CHARS_MAX && id.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(url: &str) -> (Request, Option<Problem>) {
        Request::build("GET", url, Vec::new())
    }

    #[test]
    fn a_path_is_split_before_it_is_decoded() {
        for (url, segments) in [
            ("/", &[][..]),
            ("/customers", &["customers"]),
            ("/customers/", &["customers"]),
            ("/customers/a%2Fb?x=1", &["customers", "a/b"]),
            ("/customers/%C3%A9+", &["customers", "é+"]),
            ("/a//b", &["a", "", "b"]),
        ] {
            let (request, problem) = get(url);
            assert!(problem.is_none(), "{url}");
            assert_eq!(request.segments, segments, "{url}");
        }
        for url in ["/%FF", "customers", "*", ""] {
            assert_eq!(get(url).1.map(|problem| problem.status), Some(400), "{url}");
        }
    }

    #[test]
    fn a_parameter_counts_once_and_unknown_ones_are_named() {
        let (request, _) = get("/customers?q=a+b%26&limit=1&limit=2&lmit=3");
        assert_eq!(request.parameter("q").expect("once"), Some("a b&"));
        assert_eq!(request.parameter("cursor").expect("absent"), None);
        assert_eq!(request.parameter("limit").expect_err("twice").status, 400);
        let problem = request.only_parameters(&["q", "limit"]).expect_err("lmit");
        assert_eq!(problem.errors[0].field, "lmit");
    }

    #[test]
    fn a_callers_request_id_is_kept_only_if_it_is_harmless() {
        for (given, kept) in [("abc-1", true), ("a b", false), ("", false), ("é", false)] {
            let request = Request::for_test("GET", "/", &[("x-request-id", given)], b"");
            assert_eq!(request.id == given, kept, "{given}");
        }
    }

    #[test]
    fn a_media_type_is_compared_without_case_and_parameters() {
        let headers = [("content-type", "Application/JSON; charset=utf-8")];
        let request = Request::for_test("POST", "/", &headers, b"{}");
        assert!(request.expect_content_type(&["application/json"]).is_ok());
        assert_eq!(request.expect_content_type(&["text/csv"]).expect_err("415").status, 415);
    }
}
