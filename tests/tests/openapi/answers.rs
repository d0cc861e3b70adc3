//! Real answers of each kind, held against the description: status, type, headers and body.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tests::harness::http::Reply;

use crate::server::{Call, Server};
use crate::{METHODS, description, objects};

const JSON: (&str, &str) = ("content-type", "application/json");
const PATCH: (&str, &str) = ("content-type", "application/merge-patch+json");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");
const AS_LINES: (&str, &str) = ("accept", "application/x-ndjson");
const NEWEST: (&str, &str) = ("if-match", "\"1\"");
const LATE: (&str, &str) = ("if-match", "\"99\"");

const ALL: &str = "/customers";
const ONE: &str = "/customers/{id}";
const HISTORY: &str = "/customers/{id}/history";
const RESYNC: &str = "/customers/{id}/resync";
const CONFLICTS: &str = "/conflicts";
const THEIR_CONFLICTS: &str = "/customers/{id}/conflicts";
const RESTORE: &str = "/customers/{id}/conflicts/{n}/restore";
const DISMISS: &str = "/customers/{id}/conflicts/{n}/dismiss";

type Headers<'a> = &'a [(&'a str, &'a str)];

struct Checked {
    server: Server,
    description: Json,
    seen: RefCell<BTreeSet<(String, String, u16)>>,
}

impl Checked {
    fn start(environment: &[(&str, &str)]) -> Self {
        let (server, description) = (Server::start(environment), description());
        Self { server, description, seen: RefCell::default() }
    }

    fn call(
        &self,
        method: &str,
        (path, url): (&str, &str),
        headers: Headers,
        body: Option<&str>,
        status: u16,
    ) -> Reply {
        let call = Call { method, path, url, headers, body };
        let reply = call.answers(&self.server, &self.description, status);
        self.seen.borrow_mut().insert((path.to_owned(), method.to_lowercase(), status));
        reply
    }

    fn get(&self, path: &str, url: &str, headers: Headers, status: u16) -> Reply {
        self.call("GET", (path, url), headers, None, status)
    }

    fn post(&self, path: &str, url: &str, headers: Headers, body: &str, status: u16) -> Reply {
        self.call("POST", (path, url), headers, Some(body), status)
    }
}

#[test]
fn what_is_done_is_answered_as_described() {
    let api = Checked::start(&[]);
    let full = json!({"id": "a", "name": "Ada", "email": "a@b.c", "phone": "1", "description": "d",
        "address": {"city": "London"}, "metadata": {"plan": "pro"}});
    let key = ("idempotency-key", "k");
    api.post(ALL, ALL, &[JSON, key], &full.to_string(), 201);
    api.post(ALL, ALL, &[JSON, key], &full.to_string(), 201);
    for id in ["b", "c", "d"] {
        api.post(ALL, ALL, &[JSON], &json!({"id": id, "name": "Ada"}).to_string(), 201);
    }
    let bulk =
        "{\"id\":\"e\",\"name\":\"E\"}\n\n{\"name\":5}\nnonsense\n{\"id\":\"e\",\"name\":\"F\"}\n";
    let reply = api.post(ALL, ALL, &[LINES], bulk, 200);
    assert_eq!(crate::lines(&reply.body).len(), 4, "{reply:?}");
    assert!(api.get(ALL, "/customers?limit=2&q=ada", &[], 200).header("link").is_some());
    api.get(ALL, ALL, &[AS_LINES], 200);

    let whole = api.get(ONE, "/customers/a", &[], 200).body;
    api.call("PUT", (ONE, "/customers/a"), &[JSON, NEWEST], Some(&whole.to_string()), 200);
    let patch = json!({"phone": null, "address": {"city": null}, "metadata": {"plan": null}});
    api.call("PATCH", (ONE, "/customers/a"), &[PATCH], Some(&patch.to_string()), 200);
    api.call("PATCH", (ONE, "/customers/a"), &[JSON], Some(&patch.to_string()), 200);
    assert!(api.get(HISTORY, "/customers/a/history?limit=1", &[], 200).header("link").is_some());
    api.get(HISTORY, "/customers/a/history?after=1", &[AS_LINES], 200);
    api.get(HISTORY, "/customers/a/history?before=3", &[], 200);
    api.post(RESYNC, "/customers/a/resync", &[], "", 202);
    api.post(RESYNC, "/customers/a/resync?all=true", &[], "", 202);

    let (restored, dismissed) = (api.server.conflict("b"), api.server.conflict("c"));
    api.get(CONFLICTS, "/conflicts?limit=1", &[], 200);
    api.get(CONFLICTS, CONFLICTS, &[AS_LINES], 200);
    api.get(THEIR_CONFLICTS, "/customers/b/conflicts", &[], 200);
    let restore = format!("/customers/b/conflicts/{restored}/restore");
    api.post(RESTORE, &restore, &[LATE], "", 412);
    assert_eq!(api.post(RESTORE, &restore, &[], "", 200).body["name"], "Theirs");
    api.post(RESTORE, &restore, &[], "", 409);
    let dismiss = format!("/customers/c/conflicts/{dismissed}/dismiss");
    api.post(DISMISS, &dismiss, &[], "", 204);
    api.post(DISMISS, &dismiss, &[], "", 409);
    api.get(CONFLICTS, "/conflicts?settled=true", &[], 200);

    api.call("DELETE", (ONE, "/customers/d"), &[LATE], None, 412);
    api.call("DELETE", (ONE, "/customers/d"), &[NEWEST], None, 204);
    assert_eq!(api.post(RESYNC, "/customers/d/resync", &[], "", 202).body["deleted"], true);
    for path in ["/healthz", "/metrics", "/", "/docs", "/openapi.json"] {
        api.get(path, path, &[], 200);
    }
    let file = api.get("/docs/{file}", "/docs/docs.css", &[], 200);
    let known = [("if-none-match", file.header("etag").expect("a tag"))];
    api.get("/docs/{file}", "/docs/docs.css", &known, 304);
    api.get("/assets/{file}", "/assets/page.css", &[], 200);
    api.get("/assets/{file}", "/assets/main.js", &[], 200);
    api.get("/assets/{file}", "/assets/icon.svg", &[], 200);
    api.get("/docs/{file}", "/docs/docs.js", &[], 200);
    api.get("/docs/{file}", "/docs/LICENSE", &[], 200);
    api.succeeded_everywhere();
}

impl Checked {
    /// No operation was left out.
    fn succeeded_everywhere(&self) {
        let seen = self.seen.borrow();
        for (path, item) in objects(&self.description, "/paths") {
            for method in METHODS.into_iter().filter(|method| item.get(*method).is_some()) {
                let mut calls = seen.iter().filter(|(other, by, _)| other == path && by == method);
                let done = calls.any(|(_, _, status)| *status < 300);
                assert!(done || path == "/readyz", "{method} {path} was never tried");
            }
        }
    }
}

#[test]
fn what_is_refused_is_answered_as_described() {
    let api = Checked::start(&[]);
    let body = json!({"id": "a", "name": "Ada"}).to_string();
    api.post(ALL, ALL, &[JSON], &body, 201);
    api.post(ALL, ALL, &[JSON], &body, 409);
    api.post(ALL, ALL, &[JSON], "{", 400);
    api.post(ALL, ALL, &[JSON], "{}", 422);
    api.post(ALL, ALL, &[("content-type", "text/csv")], "a", 415);
    api.post(ALL, ALL, &[JSON], &format!("{{\"name\":\"{}\"}}", "x".repeat(2 << 20)), 413);
    let key = ("idempotency-key", "k");
    api.post(ALL, ALL, &[JSON, key], "{\"name\":\"x\"}", 201);
    api.post(ALL, ALL, &[JSON, key], "{\"name\":\"y\"}", 422);
    api.get(ALL, "/customers?limit=0", &[], 400);
    for method in ["PUT", "PATCH"] {
        let known = (ONE, "/customers/a");
        api.call(method, known, &[JSON], Some("["), 400);
        api.call(method, known, &[JSON, LATE], Some("{}"), 412);
        api.call(method, known, &[JSON], Some("{\"name\":5}"), 422);
        api.call(method, known, &[("content-type", "text/csv")], Some("a"), 415);
        api.call(method, (ONE, "/customers/x"), &[JSON], Some("{\"name\":\"x\"}"), 404);
    }
    api.call("DELETE", (ONE, "/customers/a"), &[("if-match", "1")], None, 400);
    api.call("DELETE", (ONE, "/customers/x"), &[], None, 404);
    api.get(ONE, "/customers/x", &[], 404);
    api.get(ONE, "/customers/a?x=1", &[], 400);
    api.get(HISTORY, "/customers/x/history", &[], 404);
    api.get(HISTORY, "/customers/a/history?after=x", &[], 400);
    api.get(HISTORY, "/customers/a/history?after=1&before=3", &[], 400);
    api.get(CONFLICTS, "/conflicts?cursor=x", &[], 400);
    api.get(THEIR_CONFLICTS, "/customers/x/conflicts", &[], 404);
    api.post(RESYNC, "/customers/x/resync", &[], "", 404);
    api.post(RESTORE, "/customers/a/conflicts/9/restore", &[], "", 404);
    api.post(DISMISS, "/customers/a/conflicts/9/dismiss", &[], "", 404);
    api.get("/docs/{file}", "/docs/nothing", &[], 404);
    api.get("/assets/{file}", "/assets/nothing", &[], 404);
    let plain = [("accept-encoding", "identity")];
    api.get("/docs/{file}", "/docs/swagger-ui.css", &plain, 406);
}

#[test]
fn who_may_not_is_told_so_as_described_and_pages_need_no_token() {
    let tokens = [("CATALOG_API_TOKEN", "all"), ("CATALOG_API_READ_TOKEN", "read")];
    let api = Checked::start(&tokens);
    let reader = ("authorization", "Bearer read");
    for (path, item) in objects(&api.description, "/paths") {
        let url = path.replace("{id}", "a").replace("{n}", "1").replace("{file}", "docs.css");
        let url = url.replace("/assets/docs.css", "/assets/page.css");
        for method in METHODS.into_iter().filter(|method| item.get(*method).is_some()) {
            let name = method.to_uppercase();
            if item[method]["security"] == json!([]) {
                let reply = api.server.url(&url);
                let reply =
                    tests::harness::http::call(&name, &reply, &[], None).expect("an answer");
                assert!([200, 503].contains(&reply.status), "{path}: {reply:?}");
                continue;
            }
            let body = (method != "get" && method != "delete").then_some("{}");
            api.call(&name, (path, &url), &[JSON], body, 401);
            if method != "get" {
                api.call(&name, (path, &url), &[JSON, reader], body, 403);
            }
        }
    }
}
