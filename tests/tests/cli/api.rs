//! `catalog-api` and callers who get it wrong: who may call, what is refused, in which words.

use serde_json::{Value as Json, json};
use tests::harness::Program;
use tests::harness::http::{Reply, ask, call};

use crate::{Ended, Place};

const FLAGS: [&str; 4] = ["--listen", "127.0.0.1:0", "--to", "-"];

fn start(place: &Place) -> (Program, String) {
    let api = place.start("catalog-api", &FLAGS);
    let url = format!("http://{}", api.address());
    (api, url)
}

fn post(url: &str, kind: &str, body: &str) -> Reply {
    let headers = [("content-type", kind)];
    call("POST", url, &headers, Some(body.as_bytes())).expect("an answer")
}

fn problem(reply: &Reply, status: u16) -> &str {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reply:?}");
    assert_eq!(reply.body["status"], status);
    reply.body["detail"].as_str().expect("words")
}

#[test]
fn others_may_reach_it_only_with_a_token() {
    let flags = ["--listen", "0.0.0.0:0", "--to", "-"];
    let ended = Place::usual().run("catalog-api", &flags, b"");
    ended.failed("catalog-api", 78, &["0.0.0.0", "CATALOG_API_TOKEN", "hint: "]);

    let place = Place::usual().with("CATALOG_API_TOKEN", "token-neverprinted");
    let mut api = place.start("catalog-api", &flags);
    let address = api.address();
    let port = address.rsplit(':').next().expect("a port");
    let url = format!("http://127.0.0.1:{port}/customers");
    for header in [None, Some("Bearer wrong"), Some("Basic dG9rZW4="), Some("token-neverprinted")] {
        let headers: Vec<_> = header.map(|value| ("authorization", value)).into_iter().collect();
        let reply = call("GET", &url, &headers, None).expect("an answer");
        problem(&reply, 401);
        assert!(reply.header("www-authenticate").is_some_and(|it| it.starts_with("Bearer")));
        assert!(!reply.body.to_string().contains("neverprinted"));
    }
    let headers = [("authorization", "Bearer token-neverprinted")];
    assert_eq!(call("GET", &url, &headers, None).expect("an answer").status, 200);
    let health = format!("http://127.0.0.1:{port}/healthz");
    assert_eq!(ask("GET", &health, None).status, 200, "whoever watches it needs no token");
    api.terminate();
    let status = api.wait();
    let ended = Ended::of(&api, status);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    ended.keeps_secrets();
}

#[test]
fn without_a_token_it_says_who_may_call() {
    let place = Place::usual();
    let (api, url) = start(&place);
    assert_eq!(ask("GET", &format!("{url}/customers"), None).body, json!([]));
    let said = api.stderr().join("\n");
    assert!(said.contains("CATALOG_API_TOKEN") && said.contains("only this machine"), "{said}");
}

#[test]
fn a_body_that_is_no_json_is_told_where() {
    let place = Place::usual();
    let (_api, url) = start(&place);
    let url = format!("{url}/customers");
    for (body, place) in
        [("{\"name\": \"Ada\",}", "column 16"), ("{\"name\": ", "column"), ("", "")]
    {
        let reply = post(&url, "application/json", body);
        let detail = problem(&reply, 400);
        assert!(detail.contains(place), "{body:?}: {detail}");
    }
    problem(&post(&url, "text/plain", "{\"name\": \"Ada\"}"), 415);
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20));
    problem(&post(&url, "application/json", &large), 413);
}

#[test]
fn each_bad_field_is_named_at_once() {
    let place = Place::usual();
    let (api, url) = start(&place);
    let url = format!("{url}/customers");
    let body = json!({
        "id": "cus_mine",
        "name": "n".repeat(257),
        "email": 5,
        "phone": "1".repeat(21),
        "description": "d".repeat(5001),
        "address": {"planet": "Mars"},
        "metadata": {"catalog_id": "x", "k": "v".repeat(501)},
        "nmae": "Ada",
    });
    let reply = post(&url, "application/json", &body.to_string());
    problem(&reply, 422);
    let faults = reply.body["errors"].as_array().expect("the fields");
    let named: Vec<_> = faults.iter().filter_map(|fault| fault["field"].as_str()).collect();
    for field in ["id", "name", "email", "phone", "description", "address", "metadata", "nmae"] {
        assert!(named.iter().any(|name| name.starts_with(field)), "{field}: {named:?}");
    }
    assert!(faults.iter().all(|fault| fault["message"].as_str().is_some_and(|it| !it.is_empty())));

    problem(&post(&url, "application/json", "{}"), 422);
    problem(&post(&url, "application/json", "[]"), 422);
    assert_eq!(api.stdout(), [""; 0], "nothing refused is announced");
}

#[test]
fn what_is_not_there_or_was_lost_has_its_own_status() {
    let place = Place::usual();
    let (_api, url) = start(&place);
    let customers = format!("{url}/customers");
    assert_eq!(ask("POST", &customers, Some(&json!({"id": "a", "name": "Ada"}))).status, 201);
    problem(&ask("POST", &customers, Some(&json!({"id": "a", "name": "Eve"}))), 409);
    problem(&ask("GET", &format!("{customers}/nobody"), None), 404);
    problem(&ask("GET", &format!("{url}/nothing"), None), 404);
    problem(&ask("GET", &format!("{customers}?limit=0"), None), 400);
    problem(&ask("GET", &format!("{customers}?cursor=nonsense"), None), 400);
    problem(&ask("GET", &format!("{customers}?nope=1"), None), 400);
    let reply = call("POST", &format!("{customers}/a"), &[], Some(b"{}")).expect("an answer");
    problem(&reply, 405);
    assert!(reply.header("allow").is_some_and(|it| it.contains("PATCH")), "{reply:?}");

    let one = format!("{customers}/a");
    let headers = [("content-type", "application/json"), ("if-match", "\"99\"")];
    let reply = call("PATCH", &one, &headers, Some(b"{\"name\": \"Eve\"}")).expect("an answer");
    problem(&reply, 412);
    assert_eq!(ask("GET", &one, None).body["name"], "Ada");
    assert_eq!(ask("DELETE", &one, None).status, 204);
    problem(&ask("GET", &one, None), 404);
    problem(&ask("POST", &customers, Some(&json!({"id": "a", "name": "Ada"}))), 409);
}

#[test]
fn the_same_key_gives_the_same_answer_and_another_body_is_refused() {
    let place = Place::usual();
    let (api, url) = start(&place);
    let url = format!("{url}/customers");
    let keyed = |body: &Json| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
        call("POST", &url, &headers, Some(body.to_string().as_bytes())).expect("an answer")
    };
    let first = keyed(&json!({"name": "Ada"}));
    assert_eq!(first.status, 201, "{first:?}");
    let again = keyed(&json!({"name": "Ada"}));
    assert_eq!((again.status, &again.body["id"]), (201, &first.body["id"]));
    problem(&keyed(&json!({"name": "Eve"})), 422);
    tests::harness::until("it is announced", || (!api.stdout().is_empty()).then_some(()));
    assert_eq!(api.stdout().len(), 1);
}

#[test]
fn one_database_has_one_catalog_api() {
    let place = Place::usual();
    let (_api, url) = start(&place);
    let second = place.run("catalog-api", &FLAGS, b"");
    second.failed("catalog-api", 69, &["another catalog-api", "hint: "]);
    assert_eq!(ask("GET", &format!("{url}/customers"), None).status, 200);
}

#[test]
fn an_address_that_is_taken_or_none_is_named() {
    let place = Place::usual();
    let (_api, url) = start(&place);
    let address = url.trim_start_matches("http://");
    let other = Place::usual();
    let ended = other.run("catalog-api", &["--listen", address, "--to", "-"], b"");
    assert!(matches!(ended.code, Some(69 | 78)), "{:?}: {}", ended.code, ended.said());
    assert!(ended.said().contains(address), "{}", ended.said());
    let ended = other.run("catalog-api", &["--listen", "nowhere", "--to", "-"], b"");
    ended.failed("catalog-api", 78, &["--listen", "nowhere", "hint: "]);
}
