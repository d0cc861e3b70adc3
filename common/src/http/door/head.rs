//! A request's head: found, judged, and written anew. What is handed on is only what stands here,
//! in one spelling, without anything that says where the body ends: that is decided here, once,
//! so two parsers cannot disagree. Whatever could be read in two ways is refused.

use super::limits::{HEAD_BYTES_MAX, HEADERS_MAX, URL_BYTES_MAX};
use crate::http::Problem;
use crate::http::request::{Request, is_request_id};

/// The header by which the door and the workers know which request is which. A client's own is
/// dropped.
pub const TICKET: &str = "Door-Ticket";

/// How a body's end is found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// A head that is fine.
#[derive(Debug)]
pub struct Head {
    /// Names the request in the log and in its answer.
    pub id: String,
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The client will send more requests on this connection.
    pub keeps_alive: bool,
    /// HTTP/1.0: it knows no chunks, and keeps a connection only if told so.
    pub is_old: bool,
    /// HEAD.
    pub wants_no_body: bool,
    /// `OPTIONS *`, which asks about the server and not about a path.
    pub is_about_server: bool,
    /// The head written anew, without the empty line at its end.
    pub wire: Vec<u8>,
}

impl Head {
    /// The request without its body, as the handler's `admit` sees it.
    pub fn request(&self) -> (Request, Option<Problem>) {
        let bytes = [&self.wire, &b"\r\n"[..]].concat();
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX + 1];
        let mut parsed = httparse::Request::new(&mut headers);
        // It was written here: reading it cannot fail.
        let _ = parsed.parse(&bytes);
        let headers = parsed.headers.iter().map(|header| {
            (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned())
        });
        let (method, url) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        Request::build(method, url, headers.collect())
    }
}

/// Looks for the end of a head in what has arrived; it remembers how far it looked.
#[derive(Debug, Default)]
pub struct Finder {
    looked: usize,
    first_line_is_seen: bool,
}

impl Finder {
    /// Where the head ends, if all of it is there. What can never become a head is refused at once.
    pub fn find(&mut self, buffer: &[u8]) -> Result<Option<usize>, Problem> {
        if buffer.first().is_some_and(|byte| !byte.is_ascii_alphabetic()) {
            return Err(malformed("it does not begin with a method"));
        }
        while let Some(at) = buffer[self.looked..].iter().position(|byte| *byte == b'\n') {
            let end = self.looked + at;
            if buffer[..end].last() != Some(&b'\r') {
                return Err(malformed("a line does not end with CR LF"));
            }
            if !self.first_line_is_seen {
                check_request_line(&buffer[..end - 1])?;
                self.first_line_is_seen = true;
            }
            self.looked = end + 1;
            if buffer[..end - 1].ends_with(b"\r\n") {
                return Ok(Some(end + 1));
            }
        }
        self.looked = buffer.len();
        if !self.first_line_is_seen && buffer.len() > URL_BYTES_MAX {
            return Err(too_long_url());
        }
        if buffer.len() >= HEAD_BYTES_MAX {
            return Err(too_long());
        }
        Ok(None)
    }
}

/// An HTTP/0.9 request has no more lines and would be waited for in vain; HTTP/2 is not spoken.
fn check_request_line(line: &[u8]) -> Result<(), Problem> {
    if line.len() > URL_BYTES_MAX {
        return Err(too_long_url());
    }
    if line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") {
        return Ok(());
    }
    Err(malformed("the request line does not end with HTTP/1.1 or HTTP/1.0"))
}

/// Judges a whole head, from its first byte to the empty line, and writes it anew.
pub fn parse(bytes: &[u8]) -> Result<Head, Problem> {
    if bytes.len() > HEAD_BYTES_MAX {
        return Err(too_long());
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Problem::new(431, format!("more than {HEADERS_MAX} headers")));
        }
        Ok(_) => return Err(malformed("the head is not whole")),
        Err(error) => return Err(malformed(&error.to_string())),
    }
    let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    let is_old = parsed.version == Some(0);
    let said = Said::of(parsed.headers, is_old)?;
    let is_about_server = method == "OPTIONS" && target == "*";
    let id = said.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let path = if is_about_server { target } else { origin_form(target)? };
    Ok(Head {
        framing: said.framing,
        expects_continue: said.expects_continue,
        keeps_alive: if is_old { said.keep_alive } else { !said.close },
        is_old,
        wants_no_body: method == "HEAD",
        is_about_server,
        wire: write_anew(method, path, parsed.headers, &id),
        id,
    })
}

/// What the headers say about the message itself.
struct Said {
    framing: Framing,
    expects_continue: bool,
    close: bool,
    keep_alive: bool,
    id: Option<String>,
}

impl Said {
    fn of(headers: &[httparse::Header<'_>], is_old: bool) -> Result<Self, Problem> {
        let (mut hosts, mut length, mut codings, mut expects) = (0, None, None, None);
        let (mut close, mut keep_alive, mut id) = (false, false, None);
        for header in headers {
            let value = ascii(header.value)?;
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("Host") {
                hosts += 1;
            } else if is("Content-Length") {
                if length.replace(content_length(value)?).is_some() {
                    return Err(malformed("two headers Content-Length"));
                }
            } else if is("Transfer-Encoding") {
                if codings.replace(value).is_some() {
                    return Err(malformed("two headers Transfer-Encoding"));
                }
            } else if is("Expect") {
                expects = Some(value);
            } else if is("Connection") {
                let has = |token: &str| {
                    value.split(',').any(|other| other.trim().eq_ignore_ascii_case(token))
                };
                close |= has("close");
                keep_alive |= has("keep-alive");
            } else if is("X-Request-Id") {
                id = Some(value).filter(|id| is_request_id(id)).map(str::to_owned);
            }
        }
        if hosts > 1 || (hosts == 0 && !is_old) {
            return Err(malformed("there must be one header Host"));
        }
        let framing = framing(length, codings, is_old)?;
        let expects_continue = match expects {
            None => false,
            // RFC 9110, 10.1.1: in HTTP/1.0 it is to be ignored.
            Some(_) if is_old => false,
            Some(value) if value.eq_ignore_ascii_case("100-continue") => framing != Framing::None,
            Some(_) => return Err(Problem::new(417, "Expect can only be 100-continue")),
        };
        let keep_alive = keep_alive && !close;
        Ok(Self { framing, expects_continue, close, keep_alive, id })
    }
}

/// RFC 9112, 6.3: how long the body is, if there is one way to say it.
fn framing(length: Option<u64>, codings: Option<&str>, is_old: bool) -> Result<Framing, Problem> {
    let Some(codings) = codings else {
        return Ok(match length {
            None | Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
        });
    };
    if length.is_some() {
        return Err(malformed("Content-Length and Transfer-Encoding exclude each other"));
    }
    if is_old {
        return Err(malformed("HTTP/1.0 has no Transfer-Encoding"));
    }
    let mut codings = codings.split(',').map(str::trim).rev();
    let is_chunked = |coding: &str| coding.eq_ignore_ascii_case("chunked");
    if !codings.next().is_some_and(is_chunked) {
        return Err(malformed("the last Transfer-Encoding is not chunked"));
    }
    match codings.next() {
        None => Ok(Framing::Chunked),
        Some(coding) if coding.is_empty() || is_chunked(coding) => {
            Err(malformed("Transfer-Encoding says chunked twice, or nothing"))
        }
        Some(_) => Err(Problem::new(501, "the only Transfer-Encoding known here is chunked")),
    }
}

fn content_length(value: &str) -> Result<u64, Problem> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let length = value.parse().ok().filter(|_| is_number);
    length.ok_or_else(|| malformed("Content-Length is no number"))
}

/// Printable, since `tiny_http` would drop the connection for anything else.
fn ascii(value: &[u8]) -> Result<&str, Problem> {
    let is_fine = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let text = std::str::from_utf8(value).ok().filter(|_| is_fine);
    text.ok_or_else(|| malformed("a header holds something other than printable ASCII"))
}

/// The path and query, also of `http://host/path` (RFC 9112, 3.2.2).
fn origin_form(target: &str) -> Result<&str, Problem> {
    if !target.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(malformed("the path holds something other than printable ASCII"));
    }
    if target.starts_with('/') {
        return Ok(target);
    }
    let lower = target.get(..8).unwrap_or(target).to_ascii_lowercase();
    let scheme = ["http://", "https://"].into_iter().find(|scheme| lower.starts_with(scheme));
    let rest = scheme.and_then(|scheme| target.get(scheme.len()..));
    match rest.map(|rest| rest.find(['/', '?']).map(|at| &rest[at..])) {
        Some(Some(path)) if path.starts_with('/') => Ok(path),
        Some(None) => Ok("/"),
        Some(Some(_)) | None => Err(malformed("the path does not begin with /")),
    }
}

/// Said between neighbours, or decided here already; or it would be taken for the door's own.
const DROPPED: [&str; 12] = [
    "Connection",
    "Content-Length",
    "Expect",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    TICKET,
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "X-Request-Id",
];

fn write_anew(method: &str, path: &str, headers: &[httparse::Header<'_>], id: &str) -> Vec<u8> {
    let size: usize = headers.iter().map(|header| header.name.len() + header.value.len() + 4).sum();
    let mut wire = Vec::with_capacity(method.len() + path.len() + size + id.len() + 80);
    let mut add = |parts: &[&[u8]]| {
        for part in parts {
            wire.extend_from_slice(part);
        }
    };
    add(&[method.as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\n"]);
    for header in headers {
        if !DROPPED.iter().any(|name| header.name.eq_ignore_ascii_case(name)) {
            add(&[header.name.as_bytes(), b": ", header.value, b"\r\n"]);
        }
    }
    add(&[b"X-Request-Id: ", id.as_bytes(), b"\r\n"]);
    wire
}

fn malformed(why: &str) -> Problem {
    Problem::new(400, format!("this is no request of HTTP/1.1 that can be read: {why}"))
}

fn too_long() -> Problem {
    Problem::new(431, format!("the headers are longer than {HEAD_BYTES_MAX} bytes"))
}

fn too_long_url() -> Problem {
    Problem::new(414, format!("path and query are longer than {URL_BYTES_MAX} bytes"))
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
