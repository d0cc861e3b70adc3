use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::stripe::test_server::{Answer, TestServer};
use crate::stripe::{Limits, StripeKey};
use serde_json::json;

fn customer(id: &str, catalog_id: &str, stamp: Option<&str>, created: i64) -> Json {
    json!({"id": id, "object": "customer", "created": created,
           "metadata": {"catalog_id": catalog_id, "catalog_version": stamp}})
}

fn deletion(id: &str, catalog_id: &str) -> Json {
    json!({"id": format!("evt_{id}"), "object": "event", "type": "customer.deleted",
           "created": 9, "data": {"object": customer(id, catalog_id, Some("1"), 1)}})
}

/// Two pages of customers, one of deletions.
fn answer(line: &str) -> Answer {
    let (data, has_more) = if line.contains("/v1/events") {
        (
            vec![deletion("cus_6", "gone"), deletion("cus_5", "gone"), deletion("cus_4", "both")],
            false,
        )
    } else if line.contains("starting_after=cus_7") {
        let older = customer("cus_1", "live", Some("1"), 10);
        (vec![customer("cus_2", "copied", None, 11), older], false)
    } else {
        let both = customer("cus_4", "both", Some("2"), 20);
        (vec![both, customer("cus_7", "live", Some("3"), 20)], true)
    };
    Answer::json(200, json!({"data": data, "has_more": has_more}).to_string())
}

fn looker(server: &TestServer) -> Looker {
    let key = StripeKey::new("sk_test_abc", "STRIPE_SECRET_KEY").expect("a key");
    let rate = Arc::new(Rate::new(Limits::new(&key, Some(10_000.0))));
    Looker::new(Client::new(&server.base, key, "test").expect("a client"), rate)
}

#[test]
fn what_was_made_by_us_is_found_live_or_gone() {
    let server = TestServer::start(|asked| answer(&asked.line));
    let looker = looker(&server);
    let Found::Live(live) = looker.look("live", 10_000).expect("a pass") else { panic!("live") };
    let ids: Vec<_> = live.iter().map(|snapshot| snapshot.id.as_str()).collect();
    assert_eq!(ids, ["cus_1", "cus_7"], "oldest first");
    let cases = [
        ("gone", Found::Gone("cus_5".into())),
        ("both", Found::Gone("cus_4".into())),
        ("copied", Found::Absent),
        ("nobody", Found::Absent),
    ];
    for (id, expected) in cases {
        assert_eq!(looker.look(id, 10_000).expect("a pass"), expected, "{id}");
    }
    assert!(server.requests().iter().all(|asked| asked.line.contains("created%5Bgte%5D=6400")));
}

#[test]
fn those_who_wait_share_one_pass() {
    let passes = Arc::new(AtomicUsize::new(0));
    let (counted, (go, gate)) = (Arc::clone(&passes), std::sync::mpsc::channel::<()>());
    let server = TestServer::start(move |asked| {
        // The first pass waits until everybody else is in line for the second.
        if asked.line.contains("/v1/events") && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            gate.recv().expect("the gate opens");
        }
        answer(&asked.line)
    });
    let looker = looker(&server);
    std::thread::scope(|scope| {
        scope.spawn(|| looker.look("live", 1));
        while !looker.lock().is_looking {
            std::thread::yield_now();
        }
        let ids = ["gone", "nobody", "live", "copied"];
        let others: Vec<_> = ids.map(|id| scope.spawn(|| looker.look(id, 1))).into();
        while looker.lock().waiting.len() < others.len() {
            std::thread::yield_now();
        }
        go.send(()).expect("the server waits");
        for other in others {
            assert!(other.join().expect("no panic").is_ok());
        }
    });
    assert_eq!(passes.load(Ordering::SeqCst), 2);
}

#[test]
fn a_pass_that_fails_is_an_error_and_never_absent() {
    for (path, status) in [("/v1/customers", 500), ("/v1/events", 404), ("/v1/customers?", 429)] {
        let server = TestServer::start(move |asked| {
            if asked.line.contains(path) { Answer::json(status, "{}") } else { answer(&asked.line) }
        });
        assert!(looker(&server).look("nobody", 1).is_err(), "{path} {status}");
    }
}
