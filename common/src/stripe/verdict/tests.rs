use super::*;
use serde_json::json;

fn reply(status: u16, body: Json) -> Reply {
    Reply {
        status,
        body,
        replayed: false,
        date: Some(5),
        request_id: Some("req_1".into()),
        should_retry: None,
        rate_limited_reason: None,
        operation: "update customer cus_1 at Stripe".into(),
        key_name: "STRIPE_SECRET_KEY",
    }
}

fn error(status: u16, error: impl Into<Json>) -> Reply {
    reply(status, json!({ "error": error.into() }))
}

fn said(status: u16, type_: &str, code: &str) -> Reply {
    error(status, json!({"type": type_, "code": code, "message": "no", "param": ""}))
}

/// The verdict in one word, as the table below writes it.
fn word(reply: &Reply) -> String {
    match classify(reply) {
        Verdict::Customer { replayed, .. } => if replayed { "replayed" } else { "customer" }.into(),
        Verdict::Refused { field, param, .. } => {
            let field = field.map_or("-".into(), |field| field.to_string());
            format!("refused {param} {field}")
        }
        Verdict::KeyReused => "key reused".into(),
        Verdict::Missing => "missing".into(),
        Verdict::StoredError(_) => "stored error".into(),
        Verdict::Retry { scope, error } => {
            assert_eq!(error.kind, Kind::Retry);
            format!("retry {scope:?}").to_lowercase()
        }
        Verdict::Failed(_) => "failed".into(),
        Verdict::Fatal(error) => {
            assert_eq!(error.kind, Kind::Fatal);
            "fatal".into()
        }
    }
}

#[test]
fn every_answer_has_one_meaning() {
    let customer = json!({"id": "cus_1", "object": "customer", "metadata": {}});
    let bad = "invalid_request_error";
    let named = |status, param: &str| error(status, json!({"type": bad, "param": param}));
    let limited = |reason: &str| Reply {
        rate_limited_reason: Some(reason.into()),
        ..said(429, bad, "rate_limit")
    };
    let told = |retry, reply| Reply { should_retry: Some(retry), ..reply };
    let again = |reply| Reply { replayed: true, ..reply };
    let cases = [
        (reply(200, customer.clone()), "customer"),
        (again(reply(200, customer)), "replayed"),
        (reply(200, json!({"id": "cus_1", "object": "customer", "deleted": true})), "customer"),
        (reply(200, Json::Null), "retry customer"),
        (reply(302, Json::Null), "retry account"),
        (reply(404, Json::Null), "retry account"),
        (reply(418, json!({"error": "teapot"})), "retry account"),
        (named(400, "email"), "refused email email"),
        (named(400, "address[country]"), "refused address[country] address"),
        (named(402, "metadata[k]"), "refused metadata[k] metadata.k"),
        (named(400, "tax"), "refused tax -"),
        (said(400, bad, "email_invalid"), "refused email email"),
        (said(400, bad, "customer_tax_location_invalid"), "refused address address"),
        (said(400, bad, ""), "failed"),
        (said(402, "card_error", "card_declined"), "failed"),
        (said(400, "idempotency_error", ""), "key reused"),
        (said(409, "idempotency_error", ""), "key reused"),
        (said(409, bad, "idempotency_key_in_use"), "retry customer"),
        (told(false, said(409, bad, "idempotency_key_in_use")), "retry customer"),
        (said(409, bad, ""), "retry customer"),
        (told(false, said(409, bad, "")), "failed"),
        (said(404, bad, "resource_missing"), "missing"),
        (said(400, bad, "resource_missing"), "missing"),
        (error(404, json!({"code": "resource_missing", "param": "id"})), "missing"),
        (error(400, json!({"code": "resource_missing", "param": "email"})), "refused email email"),
        (said(404, bad, ""), "failed"),
        (said(429, bad, "lock_timeout"), "retry customer"),
        (said(429, bad, "rate_limit"), "retry account"),
        (told(false, said(429, bad, "rate_limit")), "retry account"),
        (reply(429, Json::Null), "retry account"),
        (limited("global-rate"), "retry account"),
        (limited("endpoint-concurrency"), "retry account"),
        (limited("resource-specific"), "retry customer"),
        (said(400, bad, "rate_limit"), "retry account"),
        (said(424, "api_error", ""), "retry customer"),
        (told(true, named(400, "email")), "retry customer"),
        (said(500, "api_error", ""), "retry customer"),
        (reply(502, Json::Null), "retry customer"),
        (reply(503, Json::Null), "retry customer"),
        (again(said(500, "api_error", "")), "stored error"),
        (told(true, again(said(500, "api_error", ""))), "stored error"),
        (told(false, said(500, "api_error", "")), "stored error"),
        (said(401, bad, ""), "fatal"),
        (reply(401, Json::Null), "fatal"),
        (said(403, bad, ""), "fatal"),
    ];
    for (reply, expected) in cases {
        assert_eq!(word(&reply), expected, "{} {}", reply.status, reply.body);
    }
}

#[test]
fn a_refused_key_is_named_but_not_shown() {
    let message = "Invalid API Key provided: sk_test_****1234 is wrong";
    for status in [401, 403, 400, 500] {
        let reply = error(status, json!({"type": "invalid_request_error", "message": message}));
        let shown = format!("{:?}", classify(&reply));
        assert!(!shown.contains("1234"), "{shown}");
        assert_eq!(shown.contains("STRIPE_SECRET_KEY"), status <= 403 && status > 400, "{shown}");
    }
}

#[test]
fn a_refusal_is_told_in_stripes_words_with_the_request_to_ask_about() {
    let reply = error(400, json!({"param": "phone", "message": "Too\nlong"}));
    let Verdict::Refused { why, .. } = classify(&reply) else { panic!("not refused") };
    assert_eq!(why, "Too long (status 400, request req_1)");
}

#[test]
fn a_list_that_did_not_come_is_an_error() {
    for status in [400, 404, 500, 503] {
        let failed = page_error(&said(status, "invalid_request_error", "resource_missing"));
        assert_eq!(failed.error.kind, Kind::Retry, "{status}");
    }
    assert_eq!(page_error(&said(401, "", "")).error.kind, Kind::Fatal);
}

#[test]
fn an_unanswered_call_keeps_its_fate() {
    let call = |error| verdict(Err(CallError { error, scope: Scope::Account }));
    assert!(matches!(call(Error::retry("a", "b")), Verdict::Retry { scope: Scope::Account, .. }));
    assert!(matches!(call(Error::reject("a", "b")), Verdict::Failed(_)));
    assert!(matches!(call(Error::fatal("a", "b")), Verdict::Fatal(_)));
}
