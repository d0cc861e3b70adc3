//! What all connections share (memory, requests in progress, descriptors) cannot be used up by who
//! sends half a request or takes half an answer: others are served meanwhile.

use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::http::Limits;

use super::support::{
    BULK_BYTES_MAX, Client, LARGE_BYTES, LIMITS, PATIENCE, Running, eventually, get, post, start,
};

/// A body of the longest kind, all but its last byte.
fn most_of_a_body() -> Vec<u8> {
    let lines = format!("Content-Length: {BULK_BYTES_MAX}\r\n");
    post("/bulk", &lines, &"x".repeat(BULK_BYTES_MAX - 1))
}

/// A long head, all but its end.
fn most_of_a_head() -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(31 * 1000)).into_bytes()
}

/// So many connections from each of these machines, which all have sent this.
fn stalled(running: &Running, from: &[u8], count: usize, bytes: &[u8]) -> Vec<Client> {
    let each = from.iter().flat_map(|last| std::iter::repeat_n(last, count));
    let connect = |last: &u8| {
        let mut client = running.connect_from(*last);
        client.send(bytes);
        client
    };
    each.map(connect).collect()
}

fn heard(clients: &[Client]) -> usize {
    clients.iter().filter(|client| client.has_heard()).count()
}

#[test]
fn half_requests_hold_a_quarter_of_the_memory_per_address_and_are_503_beyond() {
    for (what, from, count, bytes, left) in [
        ("bodies of one address", &[2][..], 20, most_of_a_body(), 8),
        ("heads of one address", &[2], 300, most_of_a_head(), 256),
        ("bodies of many addresses", &[2, 3, 4, 5, 6], 8, most_of_a_body(), 32),
    ] {
        let running = start(LIMITS);
        let mut clients = stalled(&running, from, count, &bytes);
        let beyond = clients.len() - left;
        eventually(what, || heard(&clients) >= beyond);
        // Who has held longest makes place.
        for client in &mut clients[..beyond / 2] {
            let reply = client.reply();
            assert_eq!(reply.status, 503, "{what}");
            assert!(reply.head.contains("\r\nRetry-After: 1\r\n"), "{}", reply.head);
        }
        let whole = post("/bulk", "Content-Length: 900000\r\n", &"x".repeat(900_000));
        for last in [1, from[0]] {
            let mut client = running.connect_from(last);
            client.send(&whole);
            assert_eq!(client.reply().body, b"900000", "{what}, then from {last}");
        }
        let last = clients.last_mut().expect("a client");
        assert!(!last.has_heard(), "{what}: the newest is in nobody's way");
        if bytes.starts_with(b"POST") {
            last.send(b"x");
            assert_eq!(last.reply().body, BULK_BYTES_MAX.to_string().as_bytes(), "{what}");
        }
    }
}

#[test]
fn who_does_not_read_an_answer_holds_no_place_among_the_requests_in_progress() {
    for (what, bytes) in [
        ("an answer", get("/large")),
        ("a stream", get("/endless")),
        ("an answer to an upload", post("/large", "Content-Length: 9\r\n", "")),
        ("one to a whole upload", post("/large", "Content-Length: 1\r\n", "x")),
    ] {
        let running = start(Limits { requests_max: 2, ..LIMITS });
        let clients = stalled(&running, &[2], 2, &bytes);
        eventually(what, || heard(&clients) == 2);
        assert_eq!(running.ask(&get("/a")).status, 200, "{what}");
    }
}

#[test]
fn answers_that_nobody_takes_cut_off_no_other() {
    let running = start(LIMITS);
    let mut clients = stalled(&running, &[2, 3, 4, 5, 6], 2, &get("/large"));
    eventually("all are answered", || running.seen.paths().len() == 10);
    // A reader that rests in between is not cut off: neither of a stream nor of one answer.
    let mut of_stream = running.connect();
    of_stream.send(&get("/endless"));
    let mut of_one = running.connect_from(7);
    of_one.send(&get("/large"));
    eventually("both are answered", || of_stream.has_heard() && of_one.has_heard());
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(of_one.reply().body.len(), LARGE_BYTES);
    of_stream.rest_of(1);
    let mut taken = Vec::new();
    while taken.len() < 8 * LARGE_BYTES {
        assert!(of_stream.chunk(&mut taken));
    }
    assert_eq!(running.seen.given_up.load(Ordering::SeqCst), 0);
    // As many as had to make room, and no more, had taken nothing for longest.
    let cut = clients.iter_mut().filter_map(|client| client.try_reply().is_none().then_some(()));
    assert_eq!(cut.count(), 3);
}

#[test]
fn a_stop_does_not_take_the_last_answer_from_who_has_sent_more() {
    let running = start(LIMITS);
    let address = running.server.address();
    let mut client = running.connect();
    client.send(&get("/wait"));
    eventually("one is in progress", || running.seen.paths().len() == 1);
    let seen = running.seen;
    let stopped = std::thread::spawn(move || running.server.stop(PATIENCE));
    eventually("nobody is let in", || TcpStream::connect(address).is_err());
    client.send(&get("/a"));
    seen.open_gate();
    let reply = client.reply();
    assert_eq!(reply.body, b"waited");
    assert!(reply.head.contains("\r\nConnection: close\r\n"), "{}", reply.head);
    // The end, and no reset.
    assert_eq!(client.rest(), b"");
    drop(client);
    assert!(stopped.join().expect("an end"));
    assert_eq!(seen.paths(), ["Get /wait"]);
}

#[test]
fn any_number_of_connections_can_be_asked_for() {
    for connections_max in [1, usize::MAX / 2, usize::MAX - 1, usize::MAX] {
        let running = start(LIMITS.connections(connections_max));
        assert_eq!(running.ask(&get("/a")).status, 200, "{connections_max}");
    }
}
