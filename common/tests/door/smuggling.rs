//! Whatever two parsers could read differently is refused, and what stands behind it is never
//! taken for a request.

use super::support::{LIMITS, start};

/// Behind each message stands this. It must not be answered.
const BEHIND: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

const REFUSED: &[(&str, u16, &str)] = &[
    ("two lengths", 400, "Content-Length: 0\r\nContent-Length: 5\r\n\r\n"),
    ("two equal lengths", 400, "Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    ("two lengths in one", 400, "Content-Length: 0, 5\r\n\r\n"),
    ("a length with a sign", 400, "Content-Length: +0\r\n\r\n"),
    ("a hexadecimal length", 400, "Content-Length: 0x0\r\n\r\n"),
    ("a length that overflows", 400, "Content-Length: 18446744073709551616\r\n\r\n"),
    ("length and chunks", 400, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunks and length", 400, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    (
        "chunked twice",
        400,
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("chunked first", 400, "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("an unknown coding", 501, "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("almost chunked", 400, "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("white space before the colon", 400, "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("white space before the name", 400, " Content-Length: 0\r\n\r\n"),
    ("a folded line", 400, "X: y\r\n Content-Length: 0\r\n\r\n"),
    ("a bare line feed", 400, "X: y\nContent-Length: 0\r\n\r\n"),
    ("a bare line feed at the end", 400, "X: y\r\n\n"),
    ("a bare return", 400, "X: y\rContent-Length: 0\r\n\r\n"),
    ("a zero byte", 400, "X: y\0\r\n\r\n"),
    ("a name with a bracket", 400, "X(: y\r\n\r\n"),
    ("a name that is empty", 400, ": y\r\n\r\n"),
    ("a line without a colon", 400, "X\r\n\r\n"),
    ("two hosts", 400, "Host: y\r\n\r\n"),
    ("a chunk size with a sign", 400, "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n"),
    ("a chunk size with 0x", 400, "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n"),
    ("a chunk size with a space", 400, "Transfer-Encoding: chunked\r\n\r\n0 \r\n\r\n"),
    ("a chunk size that overflows", 400, "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n"),
    ("a chunk size that is empty", 400, "Transfer-Encoding: chunked\r\n\r\n\r\n\r\n"),
    ("a chunk line with a bare line feed", 400, "Transfer-Encoding: chunked\r\n\r\n0\n\r\n"),
    ("a chunk longer than its size", 400, "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"),
    ("a chunk without its line end", 400, "Transfer-Encoding: chunked\r\n\r\n1\r\na0\r\n\r\n"),
    ("a trailer with a bare line feed", 400, "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n"),
];

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read() {
    let running = start(LIMITS);
    for (what, status, lines) in REFUSED {
        let message = format!("POST /echo HTTP/1.1\r\nHost: x\r\n{lines}{BEHIND}");
        let mut client = running.connect();
        client.send(message.as_bytes());
        let reply = client.reply();
        assert_eq!(reply.status, *status, "{what}: {}", reply.head);
        assert!(reply.head.contains("\r\nConnection: close\r\n"), "{what}: {}", reply.head);
        assert!(reply.head.contains("\r\nX-Request-Id: "), "{what}: {}", reply.head);
        client.finish_sending();
        assert!(client.is_closed(), "{what}");
    }
    assert_eq!(running.seen.paths(), [""; 0]);
}

#[test]
fn what_is_no_http_1_request_is_refused_at_once() {
    let running = start(LIMITS);
    for (what, message) in [
        ("HTTP/0.9", "GET /\r\n"),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n"),
        ("TLS", "\x16\x03\x01\x02\0\x01\0"),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("no method", " / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a space in the path", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a request line that ends with a bare line feed", "GET / HTTP/1.1\nHost: x\r\n\r\n"),
        ("a tunnel", "CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        let mut client = running.connect();
        client.send(format!("{message}{BEHIND}").as_bytes());
        assert_eq!(client.reply().status, 400, "{what}");
        client.finish_sending();
        assert!(client.is_closed(), "{what}");
    }
    assert_eq!(running.seen.paths(), [""; 0]);
}

#[test]
fn a_body_is_never_taken_for_a_request_nor_a_request_for_a_body() {
    let running = start(LIMITS);
    let length = BEHIND.len();
    let chunked = format!("{length:x}\r\n{BEHIND}\r\n0\r\n\r\n");
    for (lines, body) in [
        (format!("Content-Length: {length}\r\n"), BEHIND.to_owned()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), chunked),
    ] {
        let mut client = running.connect();
        let ask = super::support::post("/echo", &lines, &body);
        client.send(&[ask, super::support::get("/next")].concat());
        assert_eq!(client.reply().body, BEHIND.as_bytes());
        assert_eq!(client.reply().status, 200);
    }
    assert_eq!(running.seen.paths(), ["Post /echo", "Get /next", "Post /echo", "Get /next"]);
}
