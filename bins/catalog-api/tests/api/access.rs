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
