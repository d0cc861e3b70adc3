//! Each limit, reached: who is too slow, too large or too many is refused, and nobody else.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::http::Limits;

use super::support::{Client, LIMITS, PATIENCE, eventually, get, post, start};

const SHORT: Duration = Duration::from_millis(300);

/// Sends this again and again until the server has closed or the time is up.
fn trickle(client: &mut Client, bytes: &[u8], pause: Duration) {
    let until = Instant::now() + PATIENCE;
    let mut stream = client.stream().try_clone().expect("a handle");
    stream.set_nonblocking(false).expect("a socket");
    let mut peeked = [0];
    stream.set_read_timeout(Some(pause)).expect("a time-out");
    while Instant::now() < until && std::io::Write::write_all(&mut stream, bytes).is_ok() {
        if stream.peek(&mut peeked).is_ok() {
            break;
        }
    }
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
}

#[test]
fn slow_heads_and_slow_bodies_are_408() {
    let running = start(Limits { head_time: SHORT, body_time: SHORT, ..LIMITS });
    let pause = Duration::from_millis(20);
    for (what, begin, more) in [
        ("a byte at a time", &b"GET /"[..], &b"x"[..]),
        ("endless header lines", b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
        ("a slow body", b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n", b"x"),
        (
            "slow chunks",
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\nx\r\n",
        ),
    ] {
        let mut client = running.connect();
        let begun = Instant::now();
        client.send(begin);
        trickle(&mut client, more, pause);
        assert_eq!(client.reply().status, 408, "{what}");
        assert!(begun.elapsed() >= SHORT, "{what}");
    }
    assert_eq!(running.seen.paths(), [""; 0]);
}

#[test]
fn endless_heads_and_bodies_end() {
    let running = start(LIMITS);
    for (what, status, begin, more) in [
        ("path", 414, &b"GET /"[..], &[b'x'; 1000][..]),
        ("headers", 431, b"GET / HTTP/1.1\r\nHost: x\r\n", b"Name: value\r\n"),
        ("a header", 431, b"GET / HTTP/1.1\r\nHost: x\r\nX: ", &[b'x'; 1000]),
        (
            "chunks",
            413,
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"5;x=y\r\nhello\r\n",
        ),
    ] {
        let mut client = running.connect();
        client.send(begin);
        trickle(&mut client, &more.repeat(100), Duration::from_millis(1));
        assert_eq!(client.reply().status, status, "{what}");
    }
}

#[test]
fn who_says_nothing_is_left_without_a_word() {
    let running = start(Limits { idle_time: SHORT, ..LIMITS });
    let mut new = running.connect();
    let mut kept = running.connect();
    kept.send(&get("/a"));
    assert_eq!(kept.reply().status, 200);
    let begun = Instant::now();
    assert!(new.is_closed() && kept.is_closed());
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[test]
fn who_takes_nothing_of_an_answer_is_cut_off_and_holds_no_memory() {
    let running = start(Limits { write_time: SHORT, ..LIMITS });
    let mut clients: Vec<_> = (0..20).map(|_| running.connect()).collect();
    for client in &mut clients {
        client.send(&get("/endless"));
    }
    eventually("all are given up", || running.seen.given_up.load(Ordering::SeqCst) == 20);
    // What was made fits the sockets' buffers, and no more was.
    let made = running.seen.bytes_made.load(Ordering::SeqCst);
    assert!(made < 20 * 8 * 1024 * 1024, "{made}");
    let mut large = running.connect();
    large.send(&get("/large"));
    eventually("the answer was made", || running.seen.paths().len() == 21);
    assert_eq!(running.ask(&get("/a")).status, 200);
}

#[test]
fn a_newcomer_takes_the_place_of_who_only_waits() {
    let running = start(LIMITS.connections(4));
    let mut idle: Vec<_> = (0..8)
        .map(|_| {
            let mut client = running.connect();
            client.send(b"GET /slo");
            assert_eq!(running.ask(&get("/a")).status, 200);
            client
        })
        .collect();
    assert!(idle[0].is_closed());
}

#[test]
fn when_all_are_busy_a_newcomer_is_503_at_once() {
    let limits = Limits { connections_max: 3, connections_per_address_max: 3, ..LIMITS };
    let running = start(limits);
    let mut busy: Vec<_> = (0..3).map(|_| running.connect()).collect();
    for client in &mut busy {
        client.send(&get("/wait"));
    }
    eventually("all are busy", || running.seen.paths().len() == 3);
    let reply = running.connect().try_reply().expect("an answer");
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("\r\nRetry-After: 1\r\n"), "{}", reply.head);
    running.seen.open_gate();
    for client in &mut busy {
        assert_eq!(client.reply().body, b"waited");
    }
    assert_eq!(running.ask(&get("/a")).status, 200);
}

#[test]
fn more_requests_than_can_wait_are_503_at_once_and_the_connection_stays() {
    let running = start(Limits { requests_max: 2, ..LIMITS });
    let mut busy = [running.connect(), running.connect()];
    for client in &mut busy {
        client.send(&get("/wait"));
    }
    eventually("two are in progress", || running.seen.paths().len() == 2);
    let mut third = running.connect();
    third.send(&get("/a"));
    let reply = third.reply();
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("\r\nRetry-After: 1\r\n"), "{}", reply.head);
    running.seen.open_gate();
    assert!(busy.iter_mut().all(|client| client.reply().status == 200));
    third.send(&get("/a"));
    assert_eq!(third.reply().status, 200);
}

#[test]
fn a_stop_answers_what_was_taken_in_and_leaves_the_rest() {
    let running = start(LIMITS);
    let address = running.server.address();
    let (mut idle, mut busy) = (running.connect(), running.connect());
    busy.send(&post("/wait", "Content-Length: 3\r\n", "abc"));
    eventually("one is in progress", || running.seen.paths().len() == 1);
    let seen = running.seen;
    let stopped = std::thread::spawn(move || running.server.stop(PATIENCE));
    assert!(idle.is_closed());
    eventually("nobody is let in", || std::net::TcpStream::connect(address).is_err());
    assert!(!stopped.is_finished());
    seen.open_gate();
    let reply = busy.reply();
    assert_eq!(reply.body, b"waited");
    assert!(reply.head.contains("\r\nConnection: close\r\n"), "{}", reply.head);
    assert!(stopped.join().expect("an end"));
}

#[test]
fn a_stop_does_not_wait_longer_than_it_may() {
    let running = start(LIMITS);
    let mut busy = running.connect();
    busy.send(&get("/wait"));
    eventually("one is in progress", || running.seen.paths().len() == 1);
    let begun = Instant::now();
    assert!(!running.server.stop(SHORT));
    assert!(begun.elapsed() < PATIENCE / 2);
    running.seen.open_gate();
}
