//! A server to ask, and calls whose answers are held against the description.

use serde_json::{Value as Json, json};
use tests::harness::Program;
use tests::harness::http::Reply;
use tests::harness::process::command;

use crate::schema::Document;
use crate::{lines, objects};

/// `catalog-api` with a catalog of its own and nobody downstream.
#[derive(Debug)]
pub struct Server {
    dir: tempfile::TempDir,
    api: Program,
}

impl Server {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut api = command("catalog-api");
        api.current_dir(dir.path()).envs(environment.iter().copied());
        api.args(["--listen", "127.0.0.1:0", "--to", "-"]);
        Self { dir, api: Program::start(api) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api.address())
    }

    /// Records that come in from Stripe's side.
    pub fn take_in(&self, records: &[Json]) {
        let mut mover = command("hook-to-catalog");
        mover.current_dir(self.dir.path()).args(["--from", "-"]);
        let mut mover = Program::start(mover);
        for record in records {
            mover.feed(format!("{record}\n").as_bytes());
        }
        mover.close_stdin();
        assert_eq!(mover.wait().code(), Some(0), "{:#?}", mover.stderr());
    }

    /// Edits `name` of a customer that is at version 1 on both sides at once. The conflict's id.
    pub fn conflict(&self, id: &str) -> u64 {
        let result = json!({"event": format!("made-{id}"), "customer": id, "version": 1,
            "system": "stripe", "outcome": "created", "external_id": format!("cus_{id}"),
            "refused": {}, "error": null, "at": "2026-01-01T00:00:00Z"});
        self.take_in(&[result]);
        let url = self.url(&format!("/customers/{id}"));
        let ours = tests::harness::http::ask("PATCH", &url, Some(&json!({"name": "Ours"})));
        assert_eq!(ours.body["version"], 2, "{ours:?}");
        let theirs = json!({"id": format!("evt_{id}"), "object": "event",
            "type": "customer.updated", "created": common::clock::now_ms() / 1000,
            "data": {"previous_attributes": {"name": "Ada"}, "object": {
                "id": format!("cus_{id}"), "object": "customer", "name": "Theirs", "email": null,
                "created": 1_700_000_000,
                "metadata": {"catalog_id": id, "catalog_version": "1"}}}});
        self.take_in(&[theirs]);
        let url = self.url(&format!("/customers/{id}/conflicts"));
        let conflicts = tests::harness::http::ask("GET", &url, None).body;
        conflicts[0]["id"].as_u64().unwrap_or_else(|| panic!("no conflict: {conflicts}"))
    }
}

/// One call, by the path that the description has for it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub method: &'a str,
    /// As described: `/customers/{id}`.
    pub path: &'a str,
    /// As asked for: `/customers/ada-1?x=1`.
    pub url: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Option<&'a str>,
}

impl Call<'_> {
    /// Asks, and holds the answer against the description. The answer must have this status.
    pub fn answers(&self, server: &Server, description: &Json, status: u16) -> Reply {
        let body = self.body.map(str::as_bytes);
        let url = server.url(self.url);
        let reply = tests::harness::http::call(self.method, &url, self.headers, body)
            .unwrap_or_else(|| panic!("no answer: {self:?}"));
        assert_eq!(reply.status, status, "{self:?}: {reply:?}");
        let document = Document(description);
        let operation = &description["paths"][self.path][self.method.to_lowercase()];
        assert!(operation.is_object(), "not described: {self:?}");
        let response = document.resolve(&operation["responses"][status.to_string()]);
        assert!(response.is_object(), "{status} is not described: {self:?}");
        self.check_headers(document, response, &reply);
        self.check_content(document, response, &reply);
        if status < 300 {
            self.check_request(document, operation);
        }
        reply
    }

    fn check_headers(&self, document: Document, response: &Json, reply: &Reply) {
        for (name, header) in objects(response, "/headers") {
            let header = document.resolve(header);
            let Some(value) = reply.header(name) else {
                assert_ne!(header["required"], true, "{name} is missing: {self:?}: {reply:?}");
                continue;
            };
            let value = match header["schema"]["type"].as_str() {
                Some("integer") => json!(value.parse::<i64>().expect("a number")),
                Some(_) | None => json!(value),
            };
            let faults = document.faults(&header["schema"], &value);
            assert!(faults.is_empty(), "{name}: {faults:?}: {self:?}");
        }
    }

    fn check_content(&self, document: Document, response: &Json, reply: &Reply) {
        let Some(content) = response.get("content") else {
            assert_eq!(reply.body, Json::Null, "a body that is not described: {self:?}");
            return;
        };
        let kind = reply.header("content-type").unwrap_or_else(|| panic!("no type: {self:?}"));
        let media = content.get(kind).unwrap_or_else(|| panic!("{kind} not described: {self:?}"));
        let check = |schema, value: &Json| {
            let faults = document.faults(schema, value);
            assert!(faults.is_empty(), "{self:?}: {faults:#?}");
        };
        match media.get("x-itemSchema") {
            // A single line was read as JSON already.
            Some(item) if reply.body.is_string() => {
                for line in lines(&reply.body) {
                    check(item, &line);
                }
            }
            Some(item) => check(item, &reply.body),
            None => check(&media["schema"], &reply.body),
        }
    }

    /// What was accepted must be described as acceptable.
    fn check_request(&self, document: Document, operation: &Json) {
        let Some(body) = self.body.filter(|body| !body.is_empty()) else { return };
        let kind = self.headers.iter().find(|(name, _)| *name == "content-type");
        let (_, kind) = kind.unwrap_or_else(|| panic!("no content type: {self:?}"));
        let media = &operation["requestBody"]["content"][*kind];
        assert!(media.is_object(), "{kind} is not described: {self:?}");
        if media.get("x-itemSchema").is_none() {
            let body = serde_json::from_str(body).expect("JSON");
            let faults = document.faults(&media["schema"], &body);
            assert!(faults.is_empty(), "{self:?}: {faults:#?}");
        }
    }
}
