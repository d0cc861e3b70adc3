//! The broker is away: what can go on goes on, what cannot says so, and a signal is heeded.

use std::time::{Duration, Instant};

use common::clock;
use common::stripe::signature::sign;
use serde_json::{Value as Json, json};
use tests::harness::http::{ask, call};
use tests::harness::until;

use crate::{Place, SECRET};

/// Far below what any of them waits for the broker, far above what ending takes.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_mover_that_waits_for_the_broker_ends_when_told_to() {
    for program in ["kafka-to-stripe", "hook-to-catalog"] {
        let place = Place::usual();
        let mut mover = place.start(program, &["--metrics", "127.0.0.1:0"]);
        let metrics = until("it has begun", || {
            let lines = mover.stderr();
            lines.iter().find_map(|it| Some(it.split_once("metrics on ")?.1.to_owned()))
        });
        let ready = ask("GET", &metrics.replace("/metrics", "/readyz"), None);
        assert_eq!(ready.status, 503, "{program} is not ready: {ready:?}");
        assert_eq!(ask("GET", &metrics.replace("/metrics", "/healthz"), None).status, 200);
        let asked = Instant::now();
        mover.terminate();
        assert_eq!(mover.wait().code(), Some(0), "{program}: {:#?}", mover.stderr());
        assert!(asked.elapsed() < AT_ONCE, "{program} took {:?}", asked.elapsed());
    }
}

#[test]
fn the_api_takes_changes_says_that_they_wait_and_loses_none() {
    let place = Place::usual();
    let mut api = place.start("catalog-api", &["--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", api.address());
    let reply = ask("POST", &format!("{url}/customers"), Some(&json!({"id": "a", "name": "Ada"})));
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(reply.body["sync"]["stripe"]["state"], "pending");
    let ready = ask("GET", &format!("{url}/readyz"), None);
    assert_eq!(ready.status, 503, "{ready:?}");
    let words = ready.body.as_str().unwrap_or_default();
    assert!(words.starts_with("not ready: ") && words.contains("broker"), "{words}");
    assert!(!words.contains(crate::NOBODY), "where the broker is stays in the log: {words}");
    assert_eq!(ask("GET", &format!("{url}/healthz"), None).status, 200);
    api.kill();

    let again = place.start("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let line = until("the change is announced", || again.stdout().first().cloned());
    let change: Json = serde_json::from_str(&line).expect("a change event");
    assert_eq!((&change["subject"], &change["data"]["version"]), (&json!("a"), &json!(1)));
}

#[test]
fn the_api_ends_when_told_to_though_changes_wait() {
    let place = Place::usual();
    let mut api = place.start("catalog-api", &["--listen", "127.0.0.1:0"]);
    let url = format!("http://{}/customers", api.address());
    assert_eq!(ask("POST", &url, Some(&json!({"name": "Ada"}))).status, 201);
    api.terminate();
    assert_eq!(api.wait().code(), Some(0), "{:#?}", api.stderr());
}

#[test]
fn a_webhook_is_answered_503_so_that_stripe_sends_it_again() {
    let place = Place::usual();
    let mut hook = place.start("stripe-hook", &["--listen", "127.0.0.1:0"]);
    let base = format!("http://{}", hook.address());
    let body = json!({"id": "evt_1", "object": "event", "type": "customer.updated",
        "created": 1_700_000_000, "data": {"object": {"id": "cus_1", "object": "customer"}}});
    let body = body.to_string();
    let header = sign(body.as_bytes(), SECRET, clock::now_ms() / 1000);
    let headers = [("stripe-signature", header.as_str())];
    let url = format!("{base}/stripewebhook");
    let reply = call("POST", &url, &headers, Some(body.as_bytes())).expect("an answer");
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    // Who is not believed hears nothing of the broker.
    assert_eq!(call("POST", &url, &[], Some(b"{}")).expect("an answer").status, 400);
    assert_eq!(ask("GET", &format!("{base}/readyz"), None).status, 503);
    assert_eq!(ask("GET", &format!("{base}/healthz"), None).status, 200);
    let asked = Instant::now();
    hook.terminate();
    assert_eq!(hook.wait().code(), Some(0), "{:#?}", hook.stderr());
    assert!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
}
