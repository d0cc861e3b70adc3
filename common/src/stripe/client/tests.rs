use super::*;
use crate::stripe::test_server::{Answer, TestServer};
use crate::stripe::{Verdict, classify};

#[test]
fn a_live_key_does_not_leave_unencrypted() {
    let key = |text| StripeKey::new(text, "STRIPE_SECRET_KEY").expect("a key");
    assert!(Client::new("http://localhost:12111", key("sk_test_a"), "test").is_ok());
    assert!(Client::new("http://localhost:12111", key("sk_live_a"), "test").is_err());
    assert!(Client::new("https://localhost", key("rk_live_a"), "test").is_ok());
    assert!(Client::new("localhost:12111", key("sk_test_a"), "test").is_err());
}

#[test]
fn an_id_cannot_name_another_path() {
    for id in ["cus_1", "cus_AbC9-x"] {
        assert!(customer_path("op", id).is_ok(), "{id}");
    }
    let long = "c".repeat(256);
    for id in ["", "../events", "cus_1/sources", "cus 1", "cus_1?x", long.as_str()] {
        let failed = customer_path("op", id).expect_err("refused");
        assert_eq!(failed.error.kind, crate::error::Kind::Reject, "{id}");
    }
}

fn client(server: &TestServer) -> Client {
    let key = StripeKey::new("sk_test_abc", "STRIPE_SECRET_KEY").expect("a key");
    Client::new(&server.base, key, "test/1").expect("a client")
}

#[test]
fn a_request_says_all_that_stripe_needs() {
    let body = r#"{"id": "cus_1", "object": "customer"}"#;
    let server = TestServer::start(move |_| Answer {
        headers: vec![("Idempotent-Replayed", "true"), ("Request-Id", "req_1")],
        ..Answer::json(200, body)
    });
    let params = vec![("phone".to_owned(), "+49 1".to_owned())];
    let reply = client(&server).update("cus_1", &params, "key-7").expect("an answer");
    let seen = server.requests();
    assert_eq!(seen[0].line, "POST /v1/customers/cus_1");
    assert_eq!(seen[0].body, "phone=%2B49+1");
    for (name, value) in [
        ("authorization", "Bearer sk_test_abc"),
        ("stripe-version", STRIPE_VERSION),
        ("idempotency-key", "key-7"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("user-agent", "test/1"),
    ] {
        assert_eq!(seen[0].header(name), Some(value), "{name}");
    }
    assert!(reply.replayed && reply.date.is_some());
    assert_eq!(reply.request_id.as_deref(), Some("req_1"));
}

#[test]
fn a_status_is_an_answer_and_a_redirect_is_not_followed() {
    let server = TestServer::start(|request| match request.line.as_str() {
        "GET /v1/customers/cus_1" => {
            Answer { headers: vec![("Location", "/v1/customers/cus_2")], ..Answer::json(302, "") }
        }
        _ => Answer::json(404, r#"{"error": {"code": "resource_missing", "param": "id"}}"#),
    });
    let client = client(&server);
    assert_eq!(client.retrieve("cus_1").expect("an answer").status, 302);
    let missing = client.delete("cus_3").expect("an answer");
    assert!(matches!(classify(&missing), Verdict::Missing));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_page_keeps_each_object_as_it_was_written() {
    let body = r#"{"object": "list", "has_more": true, "data": [{"b": 1.0, "a": 2}]}"#;
    let server = TestServer::start(move |_| Answer::json(200, body));
    let query = EventsQuery {
        types: &["customer.created"],
        ending_before: Some("evt_1"),
        created_gte: Some(5),
        limit: 3,
        ..EventsQuery::default()
    };
    let page = client(&server).events(&query).expect("a page");
    assert_eq!((page.items[0].get(), page.has_more), (r#"{"b": 1.0, "a": 2}"#, true));
    let expected = "GET /v1/events?limit=3&types%5B0%5D=customer.created\
                    &ending_before=evt_1&created%5Bgte%5D=5";
    assert_eq!(server.requests()[0].line, expected);
}

#[test]
fn no_connection_concerns_everybody_and_is_tried_again() {
    // A port that no test is given: one just freed may be another's by now.
    let key = StripeKey::new("sk_test_abc", "STRIPE_SECRET_KEY").expect("a key");
    let client = Client::new("http://127.0.0.1:1", key, "test/1").expect("a client");
    let failed = client.retrieve("cus_1").expect_err("nobody there");
    assert_eq!(failed.error.kind, crate::error::Kind::Retry);
    assert_eq!(failed.scope, Scope::Account, "{}", failed.error);
}
