use common::endpoint::memory::MemorySink;
use common::stripe::signature;

use super::*;

const EVENT: &[u8] = br#"{"id": "evt_1", "object": "event", "type": "customer.updated",
    "data": {"object": {"id": "cus_1", "object": "customer"}}}"#;

struct Fixture {
    hook: Hook,
    sink: MemorySink,
    /// Drives the time-outs; ends with the fixture.
    _runtime: tokio::runtime::Runtime,
}

fn fixture() -> Fixture {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let sink = MemorySink::new();
    let hook = Hook::new(
        "/stripewebhook".into(),
        vec![Secret::new("whsec_1")],
        Metrics::new(),
        runtime.handle().clone(),
    );
    let hook = hook.expect("metrics");
    hook.opened(AnySink::Memory(sink.clone()));
    Fixture { hook, sink, _runtime: runtime }
}

fn ask(hook: &Hook, method: &str, path: &str, body: &[u8]) -> Response {
    let header = signature::sign(body, "whsec_1", clock::now_ms() / 1000);
    // Header names come in any case.
    let mut request = Request::for_test(method, path, &[("stripe-signature", &header)], body);
    let answer = hook.admit(&request).and_then(|_| hook.handle(&mut request));
    answer.unwrap_or_else(Problem::into_response)
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let mut headers = response.headers.iter();
    headers.find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_webhook_is_answered_200_with_its_record_delivered() {
    let Fixture { hook, sink, _runtime } = fixture();
    assert_eq!(ask(&hook, "POST", "/stripewebhook", EVENT).status, 200);
    assert_eq!(sink.records().len(), 1);
    assert_eq!(sink.records()[0].key.as_deref(), Some("cus_1"));
    let shown = hook.metrics.render();
    assert!(shown.contains("webhooks_accepted_total 1"), "{shown}");
}

#[test]
fn what_could_not_be_delivered_is_answered_503_and_told_when_to_come_again() {
    let Fixture { hook, sink, _runtime } = fixture();
    sink.fail_next(Error::retry("write to kafka:stripe_events", "the broker is away"));
    let answer = ask(&hook, "POST", "/stripewebhook", EVENT);
    assert_eq!((answer.status, header(&answer, "Retry-After")), (503, Some("5")));
    assert!(hook.fatal.borrow().is_none());
    assert_eq!(ask(&hook, "POST", "/stripewebhook", EVENT).status, 200);
}

#[test]
fn a_closed_pipe_ends_the_program_and_the_webhook_comes_again() {
    let Fixture { hook, sink, _runtime } = fixture();
    sink.fail_next(Error::closed_pipe("write to stdout"));
    assert_eq!(ask(&hook, "POST", "/stripewebhook", EVENT).status, 503);
    assert!(hook.fatal.borrow().as_ref().is_some_and(endpoint::closed));
}

#[test]
fn other_methods_and_paths_are_refused_by_name() {
    let Fixture { hook, sink, _runtime } = fixture();
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        let answer = ask(&hook, method, "/stripewebhook", EVENT);
        assert_eq!((answer.status, header(&answer, "Allow")), (405, Some("POST")), "{method}");
    }
    for path in ["/", "/stripewebhook/", "/stripewebhook2", "/STRIPEWEBHOOK"] {
        assert_eq!(ask(&hook, "POST", path, EVENT).status, 404, "{path}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(ask(&hook, "GET", path, b"").status, 200, "{path}");
        assert_eq!(ask(&hook, "POST", path, b"").status, 405, "{path}");
    }
    assert!(sink.records().is_empty());
}

#[test]
fn an_unsigned_webhook_leaves_no_record() {
    let Fixture { hook, sink, _runtime } = fixture();
    let mut request = Request::for_test("POST", "/stripewebhook?x=1", &[], EVENT);
    let problem = hook.handle(&mut request).expect_err("refused");
    assert_eq!(problem.status, 400);
    assert!(sink.records().is_empty());
}
