//! Requests that are refused, and how they are told.

use serde_json::json;

use crate::support::{Api, folder};

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
