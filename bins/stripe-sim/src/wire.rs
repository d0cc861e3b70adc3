//! Reads a request from a connection and writes an answer to it: HTTP/1.1 with limits on all that
//! a client can send. It must never trust a length, and never let a value begin a header.

use std::io::{self, BufRead, Read, Write};

/// Request line and headers together; Stripe's own front refuses larger ones too.
const HEAD_BYTES_MAX: u64 = 32 * 1024;
/// The largest body: the longest customer Stripe allows is far below it.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A request as it came, its body read in full.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Without the query, not decoded.
    pub path: String,
    /// What stood after `?`, not decoded.
    pub query: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// An answer; length and connection headers are added when it is written.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Response {
    pub fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }
}

/// What a connection says next.
pub enum Incoming {
    /// A request, and whether another one may follow.
    Request(Request, bool),
    /// Nothing that can be answered by anybody but the server itself.
    Bad(u16, &'static str),
    End,
}

pub fn read_request(reader: &mut impl BufRead, writer: &mut impl Write) -> io::Result<Incoming> {
    let mut head = reader.by_ref().take(HEAD_BYTES_MAX);
    let Some(first) = read_line(&mut head)? else { return Ok(Incoming::End) };
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Ok(Incoming::Bad(400, "bad request line"));
    };
    if version != "HTTP/1.1" && version != "HTTP/1.0" {
        return Ok(Incoming::Bad(505, "HTTP/1.1 only"));
    }
    let mut headers = Vec::new();
    loop {
        let Some(line) = read_line(&mut head)? else {
            return Ok(Incoming::Bad(431, "headers are too large or incomplete"));
        };
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Ok(Incoming::Bad(400, "bad header"));
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Vec::new(),
    };
    if request.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = match read_body(reader, &request)? {
        Ok(body) => body,
        Err((status, why)) => return Ok(Incoming::Bad(status, why)),
    };
    let connection = request.header("connection").unwrap_or("").to_ascii_lowercase();
    let keep = if version == "HTTP/1.1" { connection != "close" } else { false };
    Ok(Incoming::Request(request, keep))
}

type Body = Result<Vec<u8>, (u16, &'static str)>;

fn read_body(reader: &mut impl BufRead, request: &Request) -> io::Result<Body> {
    const TOO_LARGE: (u16, &str) = (413, "the body is too large");
    match request.header("transfer-encoding") {
        None => {}
        Some(encoding) if encoding.eq_ignore_ascii_case("chunked") => return read_chunks(reader),
        Some(_) => return Ok(Err((501, "only chunked is known as a transfer encoding"))),
    }
    let length = match request.header("content-length").map(str::parse::<usize>) {
        None => 0,
        Some(Ok(length)) if length <= BODY_BYTES_MAX => length,
        Some(Ok(_)) => return Ok(Err(TOO_LARGE)),
        Some(Err(_)) => return Ok(Err((400, "bad Content-Length"))),
    };
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Ok(body))
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Body> {
    let mut body = Vec::new();
    loop {
        let line = read_line(&mut reader.by_ref().take(HEAD_BYTES_MAX))?.unwrap_or_default();
        let size = line.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else {
            return Ok(Err((400, "bad chunk")));
        };
        if size > BODY_BYTES_MAX || body.len() + size > BODY_BYTES_MAX {
            return Ok(Err((413, "the body is too large")));
        }
        let begin = body.len();
        body.resize(begin + size, 0);
        reader.read_exact(&mut body[begin..])?;
        // After the last chunk trailers may come; they mean nothing here.
        let mut rest = reader.by_ref().take(HEAD_BYTES_MAX);
        let mut end = read_line(&mut rest)?;
        while size == 0 && end.as_ref().is_some_and(|line| !line.is_empty()) {
            end = read_line(&mut rest)?;
        }
        match end {
            Some(line) if line.is_empty() && size == 0 => return Ok(Ok(body)),
            Some(line) if line.is_empty() => {}
            Some(_) | None => return Ok(Err((400, "bad chunk"))),
        }
    }
}

/// One line without its end; `None` at the end of the stream or of the head's budget.
fn read_line(head: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Ok(None);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

pub fn write_response(writer: &mut impl Write, response: &Response, keep: bool) -> io::Result<()> {
    let reason = reason(response.status);
    let mut out = Vec::with_capacity(response.body.len() + 512);
    write!(out, "HTTP/1.1 {} {reason}\r\nServer: stripe-sim\r\n", response.status)?;
    for (name, value) in &response.headers {
        // A value that came from a client must not be able to begin a header of its own.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        write!(out, "{name}: {value}\r\n")?;
    }
    let connection = if keep { "keep-alive" } else { "close" };
    let length = response.body.len();
    write!(out, "Connection: {connection}\r\nContent-Length: {length}\r\n\r\n")?;
    out.extend_from_slice(response.body.as_bytes());
    // All of it at once: two writes would cost the peer's delayed acknowledgement.
    writer.write_all(&out)?;
    writer.flush()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Request Failed",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Content Too Large",
        424 => "Failed Dependency",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Incoming {
        read_request(&mut io::Cursor::new(text.as_bytes().to_vec()), &mut Vec::new())
            .unwrap_or(Incoming::End)
    }

    #[test]
    fn a_request_is_read_with_its_query_headers_and_body() {
        let text = "POST /v1/customers?a=1 HTTP/1.1\r\nX-Y:  z \r\nContent-Length: 3\r\n\r\nn=1";
        let Incoming::Request(request, keep) = read(text) else { panic!("no request") };
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/v1/customers", "a=1"));
        assert_eq!(request.header("x-y"), Some("z"));
        assert_eq!(request.body, b"n=1");
        assert!(keep);
    }

    #[test]
    fn a_body_in_chunks_is_put_together() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (chunks, body) in
            [("3\r\nn=1\r\n2;x\r\n&m\r\n0\r\n\r\n", "n=1&m"), ("0\r\nA: b\r\n\r\n", "")]
        {
            let Incoming::Request(request, _) = read(&format!("{head}{chunks}")) else {
                panic!("no request")
            };
            assert_eq!(request.body, body.as_bytes());
        }
    }

    #[test]
    fn what_is_too_large_or_broken_is_refused_by_name() {
        for (text, status) in [
            ("nonsense\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/2.0\r\n\r\n".to_owned(), 505),
            ("POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n".to_owned(), 413),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(), 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n".to_owned(), 413),
            (format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(40_000)), 431),
        ] {
            let Incoming::Bad(got, _) = read(&text) else { panic!("accepted {text:.40}") };
            assert_eq!(got, status, "{text:.40}");
        }
    }

    #[test]
    fn a_header_value_cannot_begin_another_header() {
        let mut response = Response::new(200, "text/plain", "");
        response.headers.push(("Idempotency-Key", "a\r\nX: y".into()));
        let mut out = Vec::new();
        assert!(write_response(&mut out, &response, true).is_ok());
        assert!(!String::from_utf8_lossy(&out).contains("\r\nX:"));
    }
}
