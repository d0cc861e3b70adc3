//! An answer as bytes. `tiny_http` writes them, into memory; what goes to the client and when is
//! the door's affair.

use std::io;

use tiny_http::{HTTPVersion, Header, StatusCode};

use super::exchange::{Reply, ReplyBody};
use super::{Body, Response};

/// What the answer has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub id: &'a str,
    pub program: &'a str,
    /// The answer to HEAD has no body.
    pub is_head: bool,
    /// HTTP/1.0 knows no chunks.
    pub is_old: bool,
}

/// Most heads fit.
const HEAD_BYTES: usize = 512;

pub fn print(response: Response, asked: Asked<'_>) -> Reply {
    let mut headers = Vec::with_capacity(response.headers.len() + 2);
    let mut add = |name: &str, value: &str| match header(name, value) {
        Some(header) => headers.push(header),
        None => log::warn!("a header {name} cannot be sent (request {})", asked.id),
    };
    add("Server", asked.program);
    add("X-Request-Id", asked.id);
    for (name, value) in &response.headers {
        add(name, value);
    }
    let length = match &response.body {
        Body::Empty => Some(0),
        Body::Bytes(bytes) => Some(bytes.len()),
        Body::Stream(_) => None,
    };
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let status = StatusCode(response.status);
    // As for HEAD: the body follows by other ways. Writing to memory cannot fail.
    let _ = tiny_http::Response::new(status, headers, io::empty(), length, None)
        .with_chunked_threshold(usize::MAX)
        .raw_print(&mut head, HTTPVersion(1, 1), &[], true, None);
    head.truncate(head.len().saturating_sub(2));
    let has_no_body = matches!(response.status, 100..=199 | 204 | 304);
    if has_no_body {
        // RFC 9110, 8.6: there is no length of what cannot be.
        cut_line(&mut head, b"Content-Length: ");
    }
    if asked.is_old {
        cut_line(&mut head, b"Transfer-Encoding: ");
    }
    let body = match response.body {
        _ if has_no_body || asked.is_head => ReplyBody::Bytes(Vec::new()),
        Body::Empty => ReplyBody::Bytes(Vec::new()),
        Body::Bytes(bytes) => ReplyBody::Bytes(bytes),
        Body::Stream(reader) => ReplyBody::Stream { reader, is_chunked: !asked.is_old },
    };
    Reply { head, body }
}

/// Neither a line end nor anything else that is not printable gets into a head.
fn header(name: &str, value: &str) -> Option<Header> {
    let is_plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    if is_plain { Header::from_bytes(name, value).ok() } else { None }
}

/// Takes the header line out that begins so.
fn cut_line(head: &mut Vec<u8>, start: &[u8]) {
    let mut at = 0;
    while let Some(end) = head[at..].iter().position(|byte| *byte == b'\n') {
        let end = at + end + 1;
        if head[at..].starts_with(start) {
            head.drain(at..end);
            return;
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(response: Response, is_head: bool, is_old: bool) -> (String, ReplyBody) {
        let reply = print(response, Asked { id: "r1", program: "test", is_head, is_old });
        (String::from_utf8(reply.head).expect("ASCII"), reply.body)
    }

    #[test]
    fn a_head_says_what_the_body_is() {
        let (text, body) = head(Response::text(200, "hello"), false, false);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n"), "{text}");
        assert!(!text.contains("\r\n\r\n") && text.contains("Content-Length: 5\r\n"), "{text}");
        assert!(text.contains("X-Request-Id: r1\r\n") && text.contains("Date: "), "{text}");
        assert!(matches!(body, ReplyBody::Bytes(bytes) if bytes == b"hello"));
        let (text, body) = head(Response::text(200, "hello"), true, false);
        assert!(text.contains("Content-Length: 5\r\n"), "{text}");
        assert!(matches!(body, ReplyBody::Bytes(bytes) if bytes.is_empty()));
        let (text, _) = head(Response::empty(204), false, false);
        assert!(!text.contains("Content-Length"), "{text}");
    }

    #[test]
    fn a_stream_is_chunked_unless_the_client_is_old() {
        let stream = || Response::stream("text/plain", io::empty());
        let (text, body) = head(stream(), false, false);
        assert!(text.contains("Transfer-Encoding: chunked\r\n"), "{text}");
        assert!(matches!(body, ReplyBody::Stream { is_chunked: true, .. }));
        let (text, body) = head(stream(), false, true);
        assert!(!text.contains("Transfer-Encoding") && !text.contains("Length"), "{text}");
        assert!(matches!(body, ReplyBody::Stream { is_chunked: false, .. }));
    }

    #[test]
    fn no_header_can_carry_another() {
        let response = Response::empty(200).header("X", "a\r\nSet-Cookie: b").header("Y", "é");
        let (text, _) = head(response, false, false);
        assert!(!text.contains("Cookie") && !text.contains("Y:"), "{text}");
    }
}
