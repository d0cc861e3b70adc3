//! An answer: status, headers, and a body in memory or as a stream of unknown length.

use std::fmt;
use std::io::Read;

use serde::Serialize;

pub enum Body {
    Empty,
    Bytes(Vec<u8>),
    /// Sent in chunks as it is read, so that its whole is never in memory.
    Stream(Box<dyn Read + Send>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// A name that comes twice counts as its last value.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

impl Response {
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Empty }
    }

    pub fn bytes(status: u16, content_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        let headers = vec![("Content-Type", content_type.into())];
        Self { status, headers, body: Body::Bytes(bytes) }
    }

    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::bytes(status, "text/plain; charset=utf-8", text.into().into_bytes())
    }

    pub fn json(status: u16, value: &impl Serialize) -> Self {
        // Only a map with keys that are no text, or a failing `Serialize`, could fail: neither is
        // printed here.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        Self::bytes(status, "application/json", bytes)
    }

    pub fn stream(content_type: &str, reader: impl Read + Send + 'static) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status: 200, headers, body: Body::Stream(Box::new(reader)) }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name, value.into()));
        self
    }
}

/// The phrase of a status code, as RFC 9110 has it.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        100..=399 => "OK",
        _ => "Error",
    }
}
