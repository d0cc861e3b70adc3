//! Messages that are fine: kept connections, pipelines, old clients, and answers before the body.

use std::time::{Duration, Instant};

use super::support::{BODY_BYTES_MAX, LIMITS, get, post, start};

#[test]
fn a_pipeline_is_answered_in_order() {
    let running = start(LIMITS);
    let mut client = running.connect();
    let mut asked = Vec::new();
    for number in 0..200 {
        let body = format!("{number}");
        let lines = format!("Content-Length: {}\r\n", body.len());
        asked.extend(post("/echo", &lines, &body));
        asked.extend(get("/stream"));
    }
    client.send(&asked);
    for number in 0..200 {
        assert_eq!(client.reply().body, format!("{number}").as_bytes());
        assert_eq!(client.reply().body.len(), 100_000);
    }
}

#[test]
fn however_a_request_arrives_it_is_one() {
    let running = start(LIMITS);
    let mut client = running.connect();
    let chunked =
        post("/echo", "Transfer-Encoding: chunked\r\n", "3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n");
    for request in [post("/echo", "Content-Length: 3\r\n", "abc"), chunked] {
        for byte in &request {
            client.send(&[*byte]);
            std::thread::sleep(Duration::from_micros(200));
        }
        assert_eq!(client.reply().body, b"abc");
        // Some clients send an empty line after a body.
        client.send(b"\r\n");
    }
}

#[test]
fn the_body_is_not_waited_for_when_the_head_is_refused() {
    let running = start(LIMITS);
    let too_long = BODY_BYTES_MAX + 1;
    for (path, lines, status) in [
        ("/get", "Content-Length: 5\r\n".to_owned(), 405),
        ("/json", "Content-Type: text/csv\r\nContent-Length: 5\r\n".to_owned(), 415),
        ("/echo", format!("Content-Length: {too_long}\r\n"), 413),
        ("/echo", "Content-Length: 18446744073709551615\r\n".to_owned(), 413),
        ("/echo", format!("Content-Length: {too_long}\r\nExpect: 100-continue\r\n"), 413),
        ("/echo", "Content-Length: 5\r\nExpect: tea\r\n".to_owned(), 417),
        ("/%FF", "Content-Length: 5\r\n".to_owned(), 400),
        ("/panic", "Content-Length: 5\r\n".to_owned(), 500),
    ] {
        let reply = running.ask(&post(path, &lines, ""));
        assert_eq!(reply.status, status, "{path} {lines}: {}", reply.head);
        assert_eq!(reply.head.contains("\r\nAllow: GET, HEAD\r\n"), status == 405);
    }
    assert_eq!(running.seen.paths(), [""; 0]);
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let running = start(LIMITS);
    let mut client = running.connect();
    client.send(&post("/echo", "Content-Length: 3\r\nExpect: 100-continue\r\n", ""));
    assert_eq!(client.reply().status, 100);
    client.send(b"abc");
    assert_eq!(client.reply().body, b"abc");
    // Who does not wait for it needs not be told.
    client.send(&post("/echo", "Content-Length: 3\r\nExpect: 100-continue\r\n", "abc"));
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_long_body_is_answered_413_and_the_answer_arrives() {
    let running = start(LIMITS);
    let body = "x".repeat(3 * 1024 * 1024);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let lines = format!("Content-Length: {}\r\n", body.len());
    for (lines, body) in [(lines.as_str(), &body), ("Transfer-Encoding: chunked\r\n", &chunked)] {
        assert_eq!(running.ask(&post("/echo", lines, body)).status, 413, "{lines}");
    }
}

#[test]
fn head_and_options_have_no_body() {
    let running = start(LIMITS);
    let mut client = running.connect();
    client.send(b"HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    client.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    client.send(&get("/last"));
    let text = String::from_utf8(client.rest_of(3)).expect("text");
    let answers: Vec<_> = text.split("HTTP/1.1 ").skip(1).collect();
    assert!(answers[0].starts_with("200") && answers[0].contains("chunked"), "{text}");
    assert!(answers[1].starts_with("204") && answers[1].contains("Allow: GET, "), "{text}");
    assert!(answers[2].starts_with("200"), "{text}");
    assert!(answers.iter().all(|answer| answer.ends_with("\r\n\r\n")), "{text}");
}

#[test]
fn an_old_client_is_answered_in_its_way() {
    let running = start(LIMITS);
    let mut client = running.connect();
    client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(client.reply().head.contains("\r\nConnection: keep-alive\r\n"));
    client.send(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let text = String::from_utf8(client.rest()).expect("text");
    assert!(text.contains("\r\nConnection: close\r\n") && !text.contains("chunked"), "{text}");
    assert_eq!(text.split("\r\n\r\n").nth(1).map(str::len), Some(100_000));
}

#[test]
fn who_stops_sending_is_still_answered() {
    let running = start(LIMITS);
    let mut client = running.connect();
    client.send(&get("/a"));
    client.finish_sending();
    assert_eq!(client.reply().status, 200);
    assert!(client.is_closed());
}

/// `tiny_http` alone lets a burst of connections wait behind kept ones.
#[test]
fn a_burst_does_not_wait_behind_kept_connections() {
    let running = start(LIMITS);
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..200).map(|_| running.connect()).collect();
        let begun = Instant::now();
        for client in &mut clients {
            client.send(&get("/a"));
        }
        for client in &mut clients {
            assert_eq!(client.reply().status, 200);
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
