//! Webhooks: what is signed is handed on as one line; all else is refused in words, and nothing of
//! it is handed on.

use common::clock;
use common::stripe::signature::sign;
use serde_json::{Value as Json, json};
use tests::harness::http::{Reply, call};
use tests::harness::{Program, until};

use crate::{Ended, Place, SECRET};

const FLAGS: [&str; 4] = ["--to", "-", "--listen", "127.0.0.1:0"];

struct Hook {
    program: Program,
    base: String,
}

impl Hook {
    fn start() -> Self {
        let program = Place::usual().start("stripe-hook", &FLAGS);
        let base = format!("http://{}", program.address());
        Self { program, base }
    }

    fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let url = format!("{}/stripewebhook", self.base);
        call("POST", &url, headers, Some(body)).expect("an answer")
    }

    fn signed(&self, body: &str) -> Reply {
        let header = sign(body.as_bytes(), SECRET, clock::now_ms() / 1000);
        self.post(&[("stripe-signature", &header)], body.as_bytes())
    }

    fn end(mut self) -> Ended {
        self.program.terminate();
        let status = self.program.wait();
        Ended::of(&self.program, status)
    }
}

fn event(kind: &str) -> Json {
    json!({"id": "evt_1", "object": "event", "type": kind, "created": 1_700_000_000,
        "data": {"object": {"id": "cus_1", "object": "customer", "name": "Ada  é\n"}}})
}

#[test]
fn a_signed_event_is_one_compact_line_and_a_2xx() {
    let hook = Hook::start();
    let body = serde_json::to_string_pretty(&event("customer.updated")).expect("JSON");
    let reply = hook.signed(&body);
    assert_eq!(reply.status, 200, "{reply:?}");
    let lines = until("the line comes", || {
        let lines = hook.program.stdout();
        (!lines.is_empty()).then_some(lines)
    });
    assert_eq!(lines, [event("customer.updated").to_string()]);
    // One of a type that nobody here knows is handed on as well: others read the topic too.
    assert_eq!(hook.signed(&event("invoice.paid").to_string()).status, 200);
    let ended = hook.end();
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), 2), "{}", ended.said());
    ended.keeps_secrets();
}

#[test]
fn what_is_not_stripes_is_refused_in_words_and_not_handed_on() {
    let hook = Hook::start();
    let body = event("customer.updated").to_string();
    let now = clock::now_ms() / 1000;
    let other = sign(body.as_bytes(), "whsec_other", now);
    let old = sign(body.as_bytes(), SECRET, now - 301);
    let good = sign(body.as_bytes(), SECRET, now);
    for (header, body, word) in [
        (Some(other.as_str()), body.as_str(), "match"),
        (Some(old.as_str()), &body, "old"),
        (Some(good.as_str()), "{}", "match"),
        (Some("v1"), &body, "timestamp"),
        (None, &body, "Stripe-Signature"),
    ] {
        let headers: Vec<_> = header.map(|value| ("stripe-signature", value)).into_iter().collect();
        refused(&hook.post(&headers, body.as_bytes()), 400, word);
    }
    let thin = json!({"id": "evt_1", "object": "v2.core.event", "type": "v1.customer.updated"});
    refused(&hook.signed("this is not JSON"), 400, "expected");
    refused(&hook.signed("[]"), 400, "");
    refused(&hook.signed("{}"), 400, "object");
    refused(&hook.signed(&thin.to_string()), 400, "thin event");
    let ended = hook.end();
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), 0), "{}", ended.said());
    ended.keeps_secrets();
}

fn refused(reply: &Reply, status: u16, word: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reply:?}");
    let detail = reply.body["detail"].as_str().expect("words");
    assert!(detail.contains(word), "{word:?}: {detail}");
    assert!(!detail.contains("neverprinted"), "{detail}");
}

#[test]
fn other_methods_and_paths_and_too_much_are_refused() {
    let hook = Hook::start();
    let at = |path: &str| format!("{}{path}", hook.base);
    for method in ["GET", "PUT", "DELETE"] {
        let reply = call(method, &at("/stripewebhook"), &[], None).expect("an answer");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{reply:?}");
    }
    for path in ["/", "/stripewebhook/x", "/nothing"] {
        let reply = call("POST", &at(path), &[], Some(b"{}")).expect("an answer");
        refused(&reply, 404, "");
    }
    let big = vec![b' '; 2 << 20];
    refused(&hook.post(&[("stripe-signature", "t=1,v1=00")], &big), 413, "");
    for (path, word) in [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "webhooks_")] {
        let reply = call("GET", &at(path), &[], None).expect("an answer");
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert!(reply.body.as_str().is_some_and(|text| text.contains(word)), "{reply:?}");
    }
    assert_eq!(hook.end().stdout, [""; 0]);
}

#[test]
fn several_secrets_by_commas_are_all_believed() {
    let place = Place::usual().with("STRIPE_WEBHOOK_SECRET", format!("whsec_old, {SECRET}"));
    let program = place.start("stripe-hook", &[&FLAGS[..], &["--path", "/hooks/stripe"]].concat());
    let url = format!("http://{}/hooks/stripe", program.address());
    let body = event("customer.created").to_string();
    for (secret, status) in [("whsec_old", 200), (SECRET, 200), ("whsec_older", 400)] {
        let header = sign(body.as_bytes(), secret, clock::now_ms() / 1000);
        let headers = [("stripe-signature", header.as_str())];
        let reply = call("POST", &url, &headers, Some(body.as_bytes())).expect("an answer");
        assert_eq!(reply.status, status, "{secret}: {reply:?}");
    }
}
