//! Who may call.

use std::process::Command;

use crate::support::{Api, command, folder};

#[test]
fn with_a_token_every_call_needs_it() {
    let folder = folder();
    let mut with_token = command(folder.path());
    with_token.env("CATALOG_API_TOKEN", "secret-1");
    let api = Api::of(with_token);
    assert_eq!(api.get("/customers").status, 401);
    assert_eq!(api.get("/metrics").status, 401);
    assert_eq!(api.get("/elsewhere").status, 401);
    assert_eq!(api.get("/healthz").status, 200);
    let headers = [("Authorization", "Bearer secret-1")];
    assert_eq!(api.call("GET", "/customers", &headers, "").status, 200);
    let metrics = api.call("GET", "/metrics", &headers, "");
    assert!(metrics.body.contains("catalog_requests_total{"), "{}", metrics.body);
}

#[test]
fn without_a_token_only_loopback_is_listened_on() {
    let folder = folder();
    let mut open = command(folder.path());
    let output = open.args(["--listen", "0.0.0.0:0"]).output().expect("it ends");
    // The flag was given twice, which is a mistake of its own.
    assert_eq!(output.status.code(), Some(2));
    let mut open = Command::new(env!("CARGO_BIN_EXE_catalog-api"));
    open.current_dir(folder.path()).env_clear().args(["--listen", "0.0.0.0:0", "--to", "-"]);
    let output = open.output().expect("it ends");
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("CATALOG_API_TOKEN"));
}

#[test]
fn several_tokens_do_and_some_may_only_read() {
    let folder = folder();
    let file = folder.path().join("read-tokens");
    std::fs::write(&file, "reader-1, reader-2\n").expect("writes");
    let mut with_tokens = command(folder.path());
    with_tokens.env("CATALOG_API_TOKEN", "old,new").env("CATALOG_API_READ_TOKEN_FILE", &file);
    let api = Api::of(with_tokens);
    let call = |method: &str, path: &str, token: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        api.call(method, path, &headers, body)
    };
    for (token, status) in [("old", 201), ("new", 201), ("reader-1", 403), ("other", 401)] {
        assert_eq!(call("POST", "/customers", token, "{\"name\":\"x\"}").status, status, "{token}");
    }
    for (token, status) in [("old", 200), ("reader-1", 200), ("reader-2", 200), ("reader", 401)] {
        assert_eq!(call("GET", "/customers", token, "").status, status, "{token}");
        assert_eq!(call("HEAD", "/customers", token, "").status, status, "{token}");
    }
    for (method, path) in [
        ("PUT", "/customers/x"),
        ("PATCH", "/customers/x"),
        ("DELETE", "/customers/x"),
        ("POST", "/customers/x/resync"),
        ("POST", "/customers/x/conflicts/1/restore"),
        ("POST", "/customers/x/conflicts/1/dismiss"),
    ] {
        let refused = call(method, path, "reader-1", "{}");
        assert_eq!(refused.status, 403, "{method} {path}");
        assert!(refused.body.contains("may only read"), "{}", refused.body);
    }
    let refused = call("GET", "/customers", "wrong", "");
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    assert!(
        !refused.body.contains("reader-1") && !refused.body.contains("new"),
        "{}",
        refused.body
    );
}

#[test]
fn pages_of_other_origins_may_call_only_if_they_are_named() {
    let folder = folder();
    let mut named = command(folder.path());
    named.args(["--cors-origin", "https://app.example.com"]);
    named.args(["--cors-origin", "http://localhost:3000"]).env("CATALOG_API_TOKEN", "secret");
    let api = Api::of(named);
    let ask = |origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "PATCH")];
        api.call("OPTIONS", "/customers/x", &headers, "")
    };
    let preflight = ask("http://localhost:3000");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), "http://localhost:3000");
    assert!(preflight.header("access-control-allow-methods").contains("PATCH"));
    for header in ["Authorization", "If-Match", "Content-Type", "Idempotency-Key"] {
        assert!(preflight.header("access-control-allow-headers").contains(header), "{header}");
    }
    // An answer that refuses can be read by the page too.
    let refused = api.call("GET", "/customers", &[("Origin", "https://app.example.com")], "");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("access-control-allow-origin"), "https://app.example.com");
    let headers = [("Origin", "https://app.example.com"), ("Authorization", "Bearer secret")];
    let list = api.call("GET", "/customers", &headers, "");
    assert_eq!((list.status, list.header("vary")), (200, "Accept, Origin"));
    assert!(list.header("access-control-expose-headers").contains("ETag"));
    let stranger = ask("https://evil.example.com");
    assert_eq!((stranger.status, stranger.header("access-control-allow-origin")), (401, ""));
}

#[test]
fn without_named_origins_nothing_is_said_about_them() {
    let folder = folder();
    let api = Api::start(folder.path());
    let list = api.call("GET", "/customers", &[("Origin", "https://app.example.com")], "");
    assert_eq!((list.status, list.header("access-control-allow-origin")), (200, ""));
    let headers = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
    let asked = api.call("OPTIONS", "/customers/x", &headers, "");
    assert_eq!((asked.status, asked.header("access-control-allow-methods")), (204, ""));
    let mut wrong = command(folder.path());
    let output = wrong.args(["--cors-origin", "*"]).output().expect("it ends");
    assert_eq!(output.status.code(), Some(78));
}
