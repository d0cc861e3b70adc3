//! The server over a real socket: what every answer has, whatever the handler does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;
use crate::http::workers::WORKERS;

struct Echo;

impl Handler for Echo {
    fn handle(&self, request: &mut Request) -> Answer {
        match request.path.as_str() {
            "/panic" => panic!("on purpose"),
            "/echo" => Ok(Response::bytes(200, "text/plain", request.body(10)?.to_vec())),
            "/stream" => Ok(Response::stream("text/plain", std::io::repeat(b'x').take(100_000))),
            _ => Err(Problem::inside(Error::retry("open /inside", "broken"))),
        }
    }
}

fn start() -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let echo: Arc<dyn Handler> = Arc::new(Echo);
    Server::start(Options { program: "test", listen }, &echo).expect("a free port")
}

fn ask(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("connect");
    stream.write_all(request.as_bytes()).expect("ask");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answer");
    text
}

fn post(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: r1\r\n\r\n")
}

#[test]
fn a_panic_is_one_requests_500_and_no_worker_dies_of_it() {
    let server = start();
    for _ in 0..WORKERS * 2 {
        let answer = ask(&server, &get("/panic"));
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert!(!answer.contains("on purpose"), "{answer}");
    }
    assert!(ask(&server, &post("hello")).ends_with("hello"));
    assert!(server.stop(Duration::from_secs(5)));
}

#[test]
fn every_answer_carries_the_requests_id_and_none_the_inside() {
    let server = start();
    let answer = ask(&server, &get("/x"));
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("X-Request-Id: r1") && answer.contains("Retry-After"), "{answer}");
    assert!(!answer.contains("broken") && !answer.contains("/inside"), "{answer}");
}

#[test]
fn a_body_beyond_the_limit_is_413_however_long_it_claims_to_be() {
    let server = start();
    assert!(ask(&server, &post("hello hello")).starts_with("HTTP/1.1 413"));
    for claimed in ["70000000", "99999999999999", "9223372036854775807"] {
        let request = post("").replace("Length: 0", &format!("Length: {claimed}"));
        assert!(ask(&server, &request).starts_with("HTTP/1.1 413"), "{claimed}");
    }
    let chunked = get("/echo")
        .replace("Connection: close", "Connection: close\r\nTransfer-Encoding: chunked");
    let chunks = "6\r\nhello \r\n6\r\nhello \r\n0\r\n\r\n";
    assert!(ask(&server, &(chunked + chunks)).starts_with("HTTP/1.1 413"));
}

#[test]
fn a_stream_comes_in_chunks() {
    let server = start();
    let answer = ask(&server, &get("/stream"));
    assert!(answer.contains("Transfer-Encoding: chunked"));
    assert_eq!(answer.matches('x').count(), 100_000 + 1);
}
