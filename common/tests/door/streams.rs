//! Bodies and answers that are read as they come, of any length, in constant memory.

use std::time::Duration;

use super::support::{LIMITS, eventually, get, post, start};

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

#[test]
fn a_body_of_any_length_is_read_line_by_line() {
    let running = start(LIMITS);
    let line = "{\"name\":\"Ada\"}\n";
    let count = 1_000_000;
    let mut client = running.connect();
    client.send(&post("/lines", &format!("Content-Length: {}\r\n", count * line.len()), ""));
    let block = line.repeat(1000);
    for _ in 0..count / 1000 {
        client.send(block.as_bytes());
    }
    assert_eq!(client.reply().body, b"1000000 lines, 0 long");
    // The connection is kept, since all of the body was read.
    let long = "x".repeat(200);
    let body = format!("{:x}\r\na\nb\n{long}\nc\r\n0\r\n\r\n", 6 + long.len());
    client.send(&post("/lines", CHUNKED, &body));
    assert_eq!(client.reply().body, b"3 lines, 1 long");
}

#[test]
fn an_answer_made_from_the_body_comes_while_the_body_still_does() {
    let running = start(LIMITS);
    let mut client = running.connect();
    client.send(&post("/back", CHUNKED, "5\r\nhello\r\n"));
    let mut head = client.rest_of(1);
    head.truncate(15);
    assert_eq!(head, b"HTTP/1.1 200 OK");
    for _ in 0..3 {
        let mut chunk = Vec::new();
        assert!(client.chunk(&mut chunk));
        assert_eq!(chunk, b"hello");
        client.send(b"5\r\nhello\r\n");
    }
    client.send(b"0\r\n\r\n");
    let mut rest = Vec::new();
    while client.chunk(&mut rest) {}
    assert_eq!(rest, b"hello");
}

#[test]
fn an_upload_that_falls_silent_is_408_and_one_that_breaks_off_is_told_to_the_handler() {
    let running = start(LIMITS);
    let mut silent = running.connect();
    silent.send(&post("/lines", CHUNKED, "5\r\nhello\r\n"));
    assert_eq!(silent.reply().status, 408);
    assert!(silent.is_closed());
    let mut broken = running.connect();
    broken.send(&post("/lines", CHUNKED, "5\r\nhello\r\nx\r\n"));
    assert_eq!(broken.reply().status, 400);
    *running.seen.upload_problem.lock().unwrap() = None;
    let mut gone = running.connect();
    gone.send(&post("/lines", "Content-Length: 100\r\n", "hello"));
    drop(gone);
    eventually("the handler knows", || *running.seen.upload_problem.lock().unwrap() == Some(400));
}

#[test]
fn slow_uploads_do_not_keep_other_requests_out() {
    let running = start(LIMITS);
    let mut clients: Vec<_> = (0..100).map(|_| running.connect()).collect();
    for client in &mut clients {
        client.send(&post("/back", CHUNKED, ""));
    }
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(running.ask(&get("/a")).status, 200);
    let refused = clients.iter_mut().skip(50).map(super::support::Client::reply);
    assert!(refused.map(|reply| reply.status).all(|status| status == 503));
}
