//! Heads, byte by byte.

use super::*;

fn read(head: &str) -> Result<Head, u16> {
    let mut finder = Finder::default();
    match finder.find(head.as_bytes()) {
        Ok(Some(end)) => parse(&head.as_bytes()[..end]).map_err(|problem| problem.status),
        Ok(None) => Err(0),
        Err(problem) => Err(problem.status),
    }
}

/// A request with these header lines.
fn with(lines: &str) -> Result<Head, u16> {
    read(&format!("POST /a HTTP/1.1\r\nHost: x\r\n{lines}\r\n"))
}

#[test]
fn what_could_be_read_in_two_ways_is_400() {
    for lines in [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 2\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;a=b\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: , chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Content-Length : 1\r\n",
        " Content-Length: 1\r\n",
        "\tContent-Length: 1\r\n",
        "X: y\r\n folded\r\n",
        "X: y\r\n\tfolded\r\n",
        "X: y\nContent-Length: 1\r\n",
        "X: y\rContent-Length: 1\r\n",
        "X: y\0z\r\n",
        "X: \u{e9}\r\n",
        "X\r\n",
        ": y\r\n",
        "X(: y\r\n",
        "X\u{e9}: y\r\n",
        "Host: y\r\n",
    ] {
        assert_eq!(with(lines).map(|head| head.framing), Err(400), "{lines:?}");
    }
    assert_eq!(with("Transfer-Encoding: gzip, chunked\r\n").map(|head| head.framing), Err(501));
    assert_eq!(with("Expect: 200-ok\r\n").map(|head| head.framing), Err(417));
}

#[test]
fn a_request_line_that_is_none_is_400_at_once() {
    for line in [
        "GET /\r\n",
        "GET /\n",
        "GET / HTTP/0.9\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "GET / HTTP/11\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02",
        "\0",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert_eq!(read(line).map(|head| head.wire), Err(400), "{line:?}");
    }
}

#[test]
fn sizes_are_limited_each_by_its_own_status() {
    let long_url = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(URL_BYTES_MAX));
    assert_eq!(read(&long_url).map(|head| head.framing), Err(414));
    assert_eq!(read(&long_url[..=URL_BYTES_MAX]).map(|head| head.framing), Err(414));
    let many = "X: y\r\n".repeat(HEADERS_MAX);
    assert_eq!(with(&many).map(|head| head.framing), Err(431));
    assert!(with(&"X: y\r\n".repeat(HEADERS_MAX - 1)).is_ok());
    let long = format!("X: {}\r\n", "y".repeat(HEAD_BYTES_MAX));
    assert_eq!(with(&long).map(|head| head.framing), Err(431));
}

#[test]
fn the_end_of_the_body_is_said_in_one_way() {
    for (lines, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::None),
        ("content-length: 007\r\n", Framing::Length(7)),
        ("Content-Length: \t 7 \t\r\n", Framing::Length(7)),
        ("transfer-encoding: Chunked\r\n", Framing::Chunked),
    ] {
        assert_eq!(with(lines).map(|head| head.framing), Ok(framing), "{lines:?}");
    }
}

#[test]
fn a_connection_is_kept_as_the_version_and_the_client_say() {
    for (version, lines, kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = read(&format!("GET / HTTP/{version}\r\nHost: x\r\n{lines}\r\n")).expect(lines);
        assert_eq!(head.keeps_alive, kept, "{version} {lines:?}");
    }
}

#[test]
fn what_is_handed_on_is_written_anew() {
    let head = with(
        "Content-Length: 3\r\nTE: trailers\r\nConnection: x\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n\
         Door-Ticket: 1\r\ndoor-ticket: 2\r\nX-Request-Id: mine\r\nAccept:   a , b  \r\n",
    )
    .expect("a head");
    let wire = String::from_utf8_lossy(&head.wire);
    assert_eq!(wire, "POST /a HTTP/1.1\r\nHost: x\r\nAccept: a , b\r\nX-Request-Id: mine\r\n");
    assert!(head.expects_continue);
    for (target, path) in [
        ("http://x/a?b", "/a?b"),
        ("HTTPS://x", "/"),
        ("//a", "//a"),
        ("/a?http://y", "/a?http://y"),
    ] {
        let head = read(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).expect(target);
        assert!(head.wire.starts_with(format!("GET {path} HTTP/1.1\r\n").as_bytes()), "{target}");
    }
}

/// Only a head that `tiny_http` reads may be handed on: one that it does not would cost all who
/// share the line with it.
#[test]
fn a_head_of_random_bytes_is_refused_or_becomes_plain() {
    let mut rng = fastrand::Rng::with_seed(7);
    let parts = [
        "GET",
        "POST",
        " ",
        "/",
        "/a",
        "*",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "Host: x",
        "X",
        ":",
        ": ",
        "y",
        "\t",
        "\0",
        "\u{e9}",
        "\x7f",
        "Content-Length: 1",
        ",",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "http://",
        "@",
        "\"",
        "%",
    ];
    let mut fine = 0;
    for _ in 0..200_000 {
        let mut head =
            if rng.bool() { "GET / HTTP/1.1\r\nHost: x\r\n".to_owned() } else { String::new() };
        for _ in 0..rng.usize(0..12) {
            head.push_str(parts[rng.usize(0..parts.len())]);
        }
        head.push_str("\r\n\r\n");
        let Ok(head) = read(&head) else { continue };
        fine += 1;
        let wire = String::from_utf8(head.wire).expect("ASCII");
        let mut lines = wire.strip_suffix("\r\n").expect("an end").split("\r\n");
        let line: Vec<_> = lines.next().expect("a request line").split(' ').collect();
        assert!(matches!(line[..], [_, path, "HTTP/1.1"] if path == "*" || path.starts_with('/')));
        for line in lines {
            let (name, _) = line.split_once(':').expect("a header");
            assert!(!name.is_empty() && !name.contains(char::is_whitespace), "{line:?}");
            assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')), "{line:?}");
        }
    }
    assert!(fine > 1000, "{fine}");
}
