//! The simulator behaves like Stripe, and its faults do what they say: seen from outside.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use stripe_sim::Config;
use support::{Client, Receiver, start};

fn events(client: &Client) -> Vec<Value> {
    let mut events = client.get("/_sim/events").lines();
    events.retain(|event| event["object"] == "event");
    events
}

#[test]
fn a_key_repeats_its_first_answer_and_nothing_else() {
    let (_server, client) = start(Config::default());
    let first = client.keyed("k", "/v1/customers", "name=Ada&email=a%40b");
    assert_eq!(first.status, 200);
    assert_eq!(first.header("Original-Request"), first.header("Request-Id"));
    assert_eq!(first.header("Idempotency-Key"), Some("k"));
    assert_eq!(first.header("Idempotent-Replayed"), None);

    let again = client.keyed("k", "/v1/customers", "email=a%40b&name=Ada");
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    assert_eq!(again.header("Original-Request"), first.header("Request-Id"));
    assert_ne!(again.header("Request-Id"), first.header("Request-Id"));

    for (path, body) in [
        ("/v1/customers".to_owned(), "name=Eve"),
        (format!("/v1/customers/{}", first.id()), "name=Ada&email=a%40b"),
    ] {
        let other = client.keyed("k", &path, body);
        assert_eq!(
            (other.status, &other.json()["error"]["type"]),
            (400, &json!("idempotency_error"))
        );
        assert!(other.json()["error"].get("code").is_none());
    }
    assert_eq!(events(&client).len(), 1);

    client.post("/_sim/clock", r#"{"advance_s":86400}"#);
    let anew = client.keyed("k", "/v1/customers", "name=Eve");
    assert_eq!(anew.json()["name"], "Eve");
    let long = client.keyed(&"x".repeat(256), "/v1/customers", "name=Ada");
    assert_eq!(long.status, 400);
}

#[test]
fn what_did_not_begin_is_not_kept_for_the_key() {
    let (_server, client) = start(Config::default());
    assert_eq!(client.keyed("k", "/v1/customers", "nope=1").error().1, "parameter_unknown");
    for fault in ["status=429,count=1", "status=500,count=1", "refuse=name,count=1"] {
        client.post("/_sim/faults", fault);
        assert_ne!(client.keyed("k", "/v1/customers", "name=Ada").status, 200, "{fault}");
    }
    let done = client.keyed("k", "/v1/customers", "name=Ada");
    assert_eq!((done.status, done.header("Idempotent-Replayed")), (200, None));
}

#[test]
fn a_500_after_it_was_done_is_kept_and_the_effect_stays() {
    let (_server, client) = start(Config::default());
    client.post("/_sim/faults", "method=POST,status=500,after,count=1");
    for replayed in [None, Some("true")] {
        let answer = client.keyed("k", "/v1/customers", "name=Ada");
        assert_eq!(answer.status, 500);
        assert_eq!(answer.json()["error"]["type"], "api_error");
        assert_eq!(answer.header("Idempotent-Replayed"), replayed);
    }
    assert_eq!(client.get("/v1/customers").json()["data"][0]["name"], "Ada");
    client.post("/_sim/faults", "method=POST,status=500,store,count=1");
    assert_eq!(client.keyed("k2", "/v1/customers", "name=Eve").status, 500);
    assert_eq!(client.keyed("k2", "/v1/customers", "name=Eve").status, 500);
    assert_eq!(events(&client).len(), 1, "kept, but not done");
}

#[test]
fn a_lost_answer_was_done_and_a_time_out_was_not() {
    let (_server, client) = start(Config::default());
    let post = |key: &str| {
        let headers = [("Idempotency-Key", key)];
        client.call("POST", "/v1/customers", Some("name=Ada"), &headers)
    };
    client.post("/_sim/faults", r#"{"method":"POST","path":"/v1/","lost":true,"count":1}"#);
    assert!(post("k").is_err());
    assert_eq!(events(&client).len(), 1);
    let replay = post("k").unwrap();
    assert_eq!((replay.status, replay.header("Idempotent-Replayed")), (200, Some("true")));

    client.post("/_sim/faults", "method=POST,path=/v1/,timeout_ms=30,count=1");
    assert!(post("k2").is_err());
    assert_eq!(events(&client).len(), 1);
    assert_eq!(post("k2").unwrap().header("Idempotent-Replayed"), None);

    let log = client.get("/_sim/requests").lines();
    let seen: Vec<_> = log.iter().map(|l| (l["status"].clone(), l["applied"].clone())).collect();
    let expected =
        [(json!(null), true), (json!(200), false), (json!(null), false), (json!(200), true)];
    assert_eq!(seen, expected.map(|(status, applied)| (status, json!(applied))));
}

#[test]
fn two_at_once_on_one_key_or_one_customer_do_not_both_run() {
    let (_server, client) = start(Config::default());
    let id = client.post("/v1/customers", "name=Ada").id();
    let path = format!("/v1/customers/{id}");
    client.post("/_sim/faults", "method=POST,path=/v1/,latency_ms=700,count=1");
    let slow = {
        let (client, path) = (client.clone(), path.clone());
        thread::spawn(move || client.keyed("k", &path, "name=Slow"))
    };
    while client.get("/_sim/faults").json()["requests"][0]["fired"] != 1 {
        thread::yield_now();
    }
    let same_key = client.keyed("k", &path, "name=Slow");
    assert_eq!(same_key.error(), (409, "idempotency_key_in_use".into()));
    assert_eq!(same_key.header("Stripe-Should-Retry"), Some("true"));
    let same_customer = client.keyed("k2", &path, "name=Quick");
    assert_eq!(same_customer.error(), (429, "lock_timeout".into()));
    assert_eq!(same_customer.header("Stripe-Rate-Limited-Reason"), None);
    assert_eq!(client.get(&path).status, 200, "reading needs no lock");
    assert_eq!(slow.join().unwrap().json()["name"], "Slow");
    assert_eq!(client.keyed("k2", &path, "name=Quick").status, 200, "was not kept");
}

#[test]
fn keys_are_asked_for_and_a_restricted_one_may_only_read() {
    let (_server, mut client) = start(Config::default());
    for (authorization, status) in [
        (None, 401),
        (Some("Bearer sk_live_x"), 401),
        (Some("Bearer nonsense"), 401),
        (Some("Basic !!!"), 401),
        (Some("Basic c2tfdGVzdF94Og=="), 200),
        (Some("Bearer rk_test_x"), 403),
    ] {
        client.authorization = authorization.map(ToOwned::to_owned);
        let answer = client.post("/v1/customers", "name=Ada");
        assert_eq!(answer.status, status, "{authorization:?}");
        assert!(!answer.text.contains("nonsense"), "a key is never shown");
    }
    assert_eq!(client.get("/v1/customers").status, 200);
    client.authorization = None;
    assert!(!client.get("/_sim/requests").text.contains("sk_live_x"));
}

#[test]
fn a_deleted_customer_is_a_stub_and_takes_nothing() {
    let (_server, client) = start(Config::default());
    let id = client.post("/v1/customers", "name=Ada").id();
    let path = format!("/v1/customers/{id}");
    let stub = json!({"id": id, "object": "customer", "deleted": true});
    assert_eq!(client.delete(&path).json(), stub);
    assert_eq!(client.get(&path).json(), stub);
    assert_eq!(client.delete(&path).error(), (404, "resource_missing".into()));
    assert_eq!(client.post(&path, "name=Eve").error(), (404, "resource_missing".into()));
    assert_eq!(client.get("/v1/customers").json()["data"], json!([]));
    assert_eq!(client.get("/v1/customers/cus_none").error(), (404, "resource_missing".into()));
    let last = events(&client).pop().unwrap();
    assert_eq!(last["type"], "customer.deleted");
    assert_eq!(last["data"]["object"]["name"], "Ada");
    assert_eq!(client.get("/_sim/customers?deleted=true").lines(), [stub]);
}

#[test]
fn events_tell_who_changed_what() {
    let (_server, client) = start(Config::default());
    let id = client.keyed("k", "/v1/customers", "name=Ada&metadata[a]=1").id();
    client.post(&format!("/v1/customers/{id}"), "name=Ada&metadata[a]=1");
    client.post(&format!("/_sim/customers/{id}"), "phone=1&metadata[b]=2&metadata[a]=");
    let events = events(&client);
    assert_eq!(events.len(), 2, "an update that changes nothing makes none");
    assert_eq!(events[0]["request"]["idempotency_key"], "k");
    assert!(events[0]["request"]["id"].as_str().unwrap().starts_with("req_"));
    assert!(events[0]["data"].get("previous_attributes").is_none());
    assert_eq!(events[1]["request"], json!({"id": null, "idempotency_key": null}));
    assert_eq!(
        events[1]["data"]["previous_attributes"],
        json!({"phone": null, "metadata": {"a": "1", "b": null}})
    );
}

#[test]
fn events_are_read_backwards_and_for_thirty_days() {
    let (_server, client) = start(Config::default());
    for n in 0..5 {
        client.post("/v1/customers", &format!("name=n{n}"));
    }
    let all = client.get("/v1/events?limit=5").json();
    let id = |at: usize| all["data"][at]["id"].as_str().unwrap().to_owned();
    let page = client.get(&format!("/v1/events?limit=2&ending_before={}", id(4))).json();
    assert_eq!((&page["data"][0]["id"], &page["data"][1]["id"]), (&json!(id(2)), &json!(id(3))));
    assert_eq!(page["has_more"], true);
    assert_eq!(client.get(&format!("/v1/events/{}", id(0))).status, 200);
    assert_eq!(client.get("/v1/events?type=customer.updated").json()["data"], json!([]));
    client.post("/_sim/clock", r#"{"advance_s":2592060}"#);
    assert_eq!(client.get("/v1/events").json()["data"], json!([]));
    assert_eq!(client.get(&format!("/v1/events/{}", id(0))).status, 404);
}

#[test]
fn lists_filter_and_the_search_lags_behind() {
    let (_server, client) = start(Config { search_lag_ms: 60_000, ..Config::default() });
    client.post("/v1/customers", "name=Ada&email=ada%40x");
    let path =
        format!("/v1/customers/{}", client.post("/v1/customers", "name=Eve&email=eve%40x").id());
    let names = |path: &str| -> Vec<String> {
        let list = client.get(path).json();
        let data = list["data"].as_array().unwrap().clone();
        data.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/v1/customers"), ["Eve", "Ada"]);
    assert_eq!(names("/v1/customers?email=ada%40x"), ["Ada"]);
    assert!(names("/v1/customers?email=ADA%40x").is_empty());
    let search = "/v1/customers/search?query=email~%22%40x%22".replace("~%22%40x", "~%22eve");
    assert!(names(&search).is_empty(), "not there yet");
    client.post("/_sim/clock", r#"{"advance_s":61}"#);
    assert_eq!(names(&search), ["Eve"]);
    client.post(&path, "name=Eva");
    assert_eq!(names(&search), ["Eve"], "still the old one");
    assert_eq!(names("/v1/customers?limit=1"), ["Eva"]);
    client.delete(&path);
    assert_eq!(names(&search), ["Eve"]);
    client.post("/_sim/clock", r#"{"advance_s":61}"#);
    assert!(names(&search).is_empty());
}

#[test]
fn too_many_requests_a_second_are_told_so() {
    let (_server, client) = start(Config { rate: 3, ..Config::default() });
    let limited = (0..50).map(|_| client.get("/v1/customers")).find(|a| a.status == 429).unwrap();
    assert_eq!(limited.header("Stripe-Rate-Limited-Reason"), Some("global-rate"));
    assert_eq!(limited.error().1, "rate_limit");
}

#[test]
fn webhooks_are_signed_anew_and_sent_until_they_are_taken() {
    let receiver = Receiver::start(&[500, 302]);
    let (_server, client) = start(Config {
        webhooks: vec![receiver.url.clone()],
        webhook_secrets: vec!["whsec_old".into(), "whsec_new".into()],
        webhook_retry_ms: 1,
        ..Config::default()
    });
    client.post("/v1/customers", "name=Ada");
    let hooks = receiver.wait_for(3);
    assert_eq!(hooks[0].body, hooks[2].body);
    assert_eq!(hooks[0].event()["pending_webhooks"], 1);
    for hook in &hooks {
        assert!(hook.signature.starts_with("t="));
        assert_eq!(hook.signature.matches(",v1=").count(), 2);
    }
    while client.get("/_sim/webhooks").json()["delivered"] != 1 {
        thread::yield_now();
    }
    assert_eq!(client.get("/_sim/webhooks").json()["failed_tries"], 2);
    assert_eq!(
        client.get("/v1/events?delivery_success=true").json()["data"][0]["pending_webhooks"],
        0
    );
    let id = hooks[0].event()["id"].as_str().unwrap().to_owned();
    client.post("/_sim/webhooks/resend", &json!({ "id": id }).to_string());
    assert_eq!(receiver.wait_for(4)[3].event()["id"], json!(id));
}

#[test]
fn webhooks_can_come_twice_or_never_and_are_listed_all_the_same() {
    let receiver = Receiver::start(&[]);
    let (_server, client) =
        start(Config { webhooks: vec![receiver.url.clone()], ..Config::default() });
    client.post("/_sim/faults", "webhooks,drop=1");
    client.post("/v1/customers", "name=Dropped");
    client.post("/_sim/faults", "webhooks,duplicate=1");
    client.post("/v1/customers", "name=Twice");
    let names: Vec<_> =
        receiver.wait_for(2).iter().map(|h| h.event()["data"]["object"]["name"].clone()).collect();
    assert_eq!(names, ["Twice", "Twice"]);
    let missed = client.get("/v1/events?delivery_success=false").json();
    assert_eq!(missed["data"][0]["data"]["object"]["name"], "Dropped");
}

#[test]
fn a_held_back_webhook_is_overtaken() {
    let receiver = Receiver::start(&[]);
    let (_server, client) =
        start(Config { webhooks: vec![receiver.url.clone()], ..Config::default() });
    client.post("/_sim/faults", "webhooks,delay_ms=300");
    let id = client.post("/v1/customers", "name=First").id();
    client.delete("/_sim/faults");
    client.post(&format!("/v1/customers/{id}"), "name=Second");
    let kinds: Vec<_> = receiver.wait_for(2).iter().map(|h| h.event()["type"].clone()).collect();
    assert_eq!(kinds, ["customer.updated", "customer.created"]);
}

#[test]
fn everything_can_happen_in_one_second() {
    let (_server, client) = start(Config::default());
    client.post("/_sim/faults", "same_second");
    let first = client.post("/v1/customers", "name=A").json()["created"].clone();
    thread::sleep(std::time::Duration::from_millis(1100));
    client.post("/v1/customers", "name=B");
    assert!(events(&client).iter().all(|event| event["created"] == first));
}

#[test]
fn only_forms_are_read() {
    let (_server, client) = start(Config::default());
    let json = [("Content-Type", "application/json")];
    let answer = client.call("POST", "/v1/customers", Some("{\"name\":\"Ada\"}"), &json).unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(client.post("/v1/customers", "name=%ff").status, 400);
    assert_eq!(client.get("/v1/charges").status, 404);
    assert_eq!(client.call("PUT", "/v1/customers", None, &[]).unwrap().status, 404);
    let version = [("Stripe-Version", "2024-06-20")];
    let answer = client.call("GET", "/v1/customers", None, &version).unwrap();
    assert_eq!(answer.header("Stripe-Version"), Some("2024-06-20"));
    let version = [("Stripe-Version", "latest")];
    assert_eq!(client.call("GET", "/v1/customers", None, &version).unwrap().status, 400);
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn spawn(state: &std::path::Path, webhook: &str) -> (Killed, Client) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stripe-sim"))
        .args(["--listen", "127.0.0.1:0", "--webhook-retry-ms", "1", "--webhook", webhook])
        .arg("--state")
        .arg(state)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim().strip_prefix("stripe-sim: listening on ").unwrap().to_owned();
    (Killed(child), Client::new(format!("http://{addr}")))
}

#[test]
fn a_killed_simulator_loses_nothing_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("sim.state");
    let receiver = Receiver::start(&[500]);
    let (killed, client) = spawn(&state, "http://127.0.0.1:1/nobody");
    let id = client.keyed("k", "/v1/customers", "name=Ada").id();
    client.post(&format!("/v1/customers/{id}"), "name=Eve");
    client.post("/_sim/clock", r#"{"advance_s":3600}"#);
    let before = (client.get("/_sim/customers").text, client.get("/_sim/events").text);
    drop(killed);

    let (_killed, client) = spawn(&state, &receiver.url);
    assert_eq!((client.get("/_sim/customers").text, client.get("/_sim/events").text), before);
    let replay = client.keyed("k", "/v1/customers", "name=Ada");
    assert_eq!((replay.id(), replay.header("Idempotent-Replayed")), (id, Some("true")));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(client.get("/_sim/clock").json()["now"].as_u64().unwrap() >= now + 3599);
    client.post("/_sim/reset", "");
    assert_eq!(client.get("/_sim/events").text, "");
}

#[test]
fn a_signal_ends_it_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let (mut killed, client) = spawn(&folder.path().join("s"), "http://127.0.0.1:1/nobody");
    client.post("/v1/customers", "name=Ada");
    let pid = killed.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(killed.0.wait().unwrap().code(), Some(0));
}
