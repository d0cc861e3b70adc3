//! Requests that are refused, and how they are told.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Api, LIMIT, command, folder};

#[test]
fn a_bad_request_is_told_what_is_wrong_and_changes_nothing() {
    let folder = folder();
    let api = Api::start(folder.path());
    let json_type = [("Content-Type", "application/json")];
    let post = |body: &str| api.call("POST", "/customers", &json_type, body);
    let broken = post("{\"name\":\n\"x\",}");
    assert_eq!((broken.status, broken.header("content-type")), (400, "application/problem+json"));
    assert!(broken.json()["detail"].as_str().is_some_and(|text| text.contains("line 2, column 5")));
    let wrong = post("{\"name\":5,\"email\":\"x\",\"fax\":1,\"metadata\":{\"a\":1}}");
    let errors = wrong.json()["errors"].clone();
    let mut fields: Vec<_> =
        errors.as_array().expect("errors").iter().map(|error| error["field"].clone()).collect();
    fields.sort_by_key(ToString::to_string);
    assert_eq!((wrong.status, json!(fields)), (422, json!(["email", "fax", "metadata.a", "name"])));
    assert_eq!(post(&format!("{{\"name\":\"{}\"}}", "x".repeat(2 * 1024 * 1024))).status, 413);
    assert_eq!(post(&"[".repeat(100_000)).status, 400);
    assert_eq!(post("{\"name\":\"\\ud800\"}").status, 400);
    assert_eq!(api.call("POST", "/customers", &[("Content-Type", "text/csv")], "a").status, 415);
    for (method, path, status) in [
        ("GET", "/customers?limit=0", 400),
        ("GET", "/customers?limit=1&limit=2", 400),
        ("GET", "/customers?cursor=x", 400),
        ("GET", "/customers?updated_since=now", 400),
        ("GET", "/customers?nmae=x", 400),
        ("GET", "/customers/%FF", 400),
        ("GET", "/elsewhere", 404),
        ("DELETE", "/customers", 405),
        ("POST", "/customers/x", 405),
        ("OPTIONS", "/customers/x", 204),
    ] {
        assert_eq!(api.call(method, path, &[], "").status, status, "{method} {path}");
    }
    assert_eq!(
        api.call("DELETE", "/customers", &[], "").header("allow"),
        "GET, HEAD, POST, OPTIONS"
    );
    assert_eq!(api.get("/customers").body, "[]");
    assert!(api.no_line());
}

#[test]
fn path_token_method_and_type_are_judged_before_the_body_comes() {
    let folder = folder();
    let mut with_token = command(folder.path());
    with_token.env("CATALOG_API_TOKEN", "t").env("CATALOG_API_READ_TOKEN", "r");
    let api = Api::of(with_token);
    let address = api.url.strip_prefix("http://").expect("an address");
    for (line, token, content_type, status) in [
        ("POST /customers", "x", "application/json", 401),
        ("POST /customers", "r", "application/x-ndjson", 403),
        ("POST /nowhere", "t", "application/json", 404),
        ("PUT /customers", "t", "application/json", 405),
        ("POST /customers", "t", "text/csv", 415),
        ("PUT /customers/x", "t", "application/x-ndjson", 415),
        ("PATCH /customers/x", "t", "text/plain", 415),
    ] {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let head = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {content_type}\r\nContent-Length: 500000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sends");
        // Of the body not a byte is sent.
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{line}");
    }
}

#[test]
fn a_head_says_what_a_get_would_and_options_what_a_path_takes() {
    let folder = folder();
    let api = Api::start(folder.path());
    api.json("POST", "/customers", &json!({"id": "c", "name": "x"}));
    for path in ["/customers", "/customers/c", "/customers/c/history", "/conflicts", "/metrics"] {
        let (get, head) = (api.get(path), api.call("HEAD", path, &[], ""));
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_eq!(head.header("etag"), get.header("etag"), "{path}");
    }
    let ndjson = [("Accept", "application/x-ndjson")];
    assert_eq!(api.call("HEAD", "/customers", &ndjson, "").body, "");
    for (path, allow) in [
        ("/customers", "GET, HEAD, POST, OPTIONS"),
        ("/customers/c", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("/customers/c/resync", "POST, OPTIONS"),
        ("/customers/c/conflicts/1/restore", "POST, OPTIONS"),
    ] {
        assert_eq!(api.call("OPTIONS", path, &[], "").header("allow"), allow);
        let refused = api.call("BREW", path, &[], "");
        assert_eq!((refused.status, refused.header("allow")), (405, allow));
    }
    // Whoever accepts nothing that is here gets JSON: it says more than a refusal.
    let csv = api.call("GET", "/customers", &[("Accept", "text/csv")], "");
    assert_eq!((csv.status, csv.header("content-type")), (200, "application/json"));
}
