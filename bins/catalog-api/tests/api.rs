//! The program as others see it: started with `--to -`, asked over HTTP, read on stdout.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value as Json, json};

/// Longer than anything here should take, on a slow machine too.
const LIMIT: Duration = Duration::from_secs(20);

struct Api {
    process: Child,
    url: String,
    lines: Mutex<mpsc::Receiver<Json>>,
    agent: ureq::Agent,
}

struct Reply {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catalog-api"));
    command.current_dir(folder).env_clear();
    command.args(["--listen", "127.0.0.1:0", "--database", "db.sqlite3", "--to", "-"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn lines_of(stdout: ChildStdout) -> mpsc::Receiver<Json> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = send.send(serde_json::from_str(&line).expect("a record a line"));
        }
    });
    lines
}

impl Api {
    fn start(folder: &Path) -> Self {
        Self::of(command(folder))
    }

    fn of(mut command: Command) -> Self {
        let mut process = command.spawn().expect("catalog-api starts");
        let mut stderr = BufReader::new(process.stderr.take().expect("stderr"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("stderr");
        let address = line.trim().strip_prefix("catalog-api: listening on ");
        let url = format!("http://{}", address.unwrap_or_else(|| panic!("it says {line}")));
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::stderr()));
        let lines = Mutex::new(lines_of(process.stdout.take().expect("stdout")));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(LIMIT));
        Self { process, url, lines, agent: config.build().into() }
    }

    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = if body.is_empty() {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            self.agent.run(request.body(body.to_owned()).expect("a request"))
        };
        let mut reply = reply.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        Reply {
            status: reply.status().as_u16(),
            headers: reply.headers().clone(),
            body: reply.body_mut().read_to_string().expect("UTF-8"),
        }
    }

    fn json(&self, method: &str, path: &str, body: &Json) -> Reply {
        self.call(method, path, &[("Content-Type", "application/json")], &body.to_string())
    }

    fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], "")
    }

    /// The next record on stdout.
    fn line(&self) -> Json {
        self.lines.lock().expect("one reader").recv_timeout(LIMIT).expect("a record")
    }

    /// Nothing stands on stdout that was not read.
    fn no_line(&self) -> bool {
        self.lines.lock().expect("one reader").try_recv().is_err()
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().expect("kill").success());
    }

    /// The exit code.
    fn wait(&mut self) -> Option<i32> {
        self.process.wait().expect("it ends").code()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn every_change_is_answered_shown_and_announced_once() {
    let folder = folder();
    let api = Api::start(folder.path());
    let made = api.json("POST", "/customers", &json!({"id": "c1", "name": "Zoë", "phone": "1"}));
    assert_eq!((made.status, made.header("etag")), (201, "\"1\""));
    assert_eq!(made.header("location"), "/customers/c1");
    assert_eq!(made.json()["sync"]["stripe"]["state"], "pending");
    let line = api.line();
    assert_eq!(line["type"], "catalog.customer.created");
    assert_eq!(line["data"]["systems"]["stripe"]["pending"], json!({"name": 1, "phone": 1}));

    let patch = json!({"phone": null, "metadata": {"plan": "pro"}});
    assert_eq!(api.json("PATCH", "/customers/c1/", &patch).header("etag"), "\"2\"");
    assert_eq!(api.line()["data"]["changed"], json!(["phone", "metadata.plan"]));
    // What changes nothing makes no version and no event.
    assert_eq!(api.json("PATCH", "/customers/c1", &patch).header("etag"), "\"2\"");

    let shown = api.get("/customers/c1").json();
    assert_eq!(shown["metadata"], json!({"plan": "pro"}));
    let put = api.json("PUT", "/customers/c1", &json!({"email": "z@example.com"}));
    assert_eq!(put.json()["name"], Json::Null);
    assert_eq!(api.line()["data"]["version"], 3);

    assert_eq!(api.call("DELETE", "/customers/c1", &[], "").status, 204);
    let line = api.line();
    assert_eq!(line["type"], "catalog.customer.deleted");
    assert_eq!(line["data"]["systems"]["stripe"]["delete"], 4);
    assert_eq!(api.get("/customers/c1").status, 404);
    assert_eq!(api.json("POST", "/customers", &json!({"id": "c1", "name": "x"})).status, 409);
    assert!(api.no_line());
}

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
fn of_two_edits_of_one_version_one_wins_and_the_other_is_told() {
    let folder = folder();
    let api = Api::start(folder.path());
    api.json("POST", "/customers", &json!({"id": "c", "name": "a"}));
    let headers = [("Content-Type", "application/json"), ("If-Match", "\"1\"")];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let edit = |n: usize| {
            let api = &api;
            move || {
                let body = json!({"name": format!("edit {n}")}).to_string();
                api.call("PATCH", "/customers/c", &headers, &body).status
            }
        };
        let edits: Vec<_> = (0..20).map(|n| scope.spawn(edit(n))).collect();
        edits.into_iter().map(|edit| edit.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 19);
    assert_eq!(api.get("/customers/c").json()["version"], 2);
    let any = [("If-Match", "*")];
    assert_eq!(api.call("DELETE", "/customers/nobody", &any, "").status, 404);
    assert_eq!(api.call("DELETE", "/customers/c", &[("If-Match", "2")], "").status, 400);
    assert_eq!(api.call("DELETE", "/customers/c", &[("If-Match", "\"1\", \"2\"")], "").status, 204);
}

#[test]
fn equal_requests_at_once_under_one_key_are_done_once() {
    let folder = folder();
    let api = Api::start(folder.path());
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
    let post = |body: &str| api.call("POST", "/customers", &headers, body);
    let mut bodies: Vec<String> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..50).map(|_| scope.spawn(|| post("{\"name\":\"Ada\"}"))).collect();
        posts.into_iter().map(|post| post.join().expect("an answer").body).collect()
    });
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    let again = post("{\"name\":\"Ada\"}");
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
    assert_eq!(again.header("etag"), "\"1\"");
    assert!(again.header("location").starts_with("/customers/"));
    assert_eq!(post("{\"name\":\"Eve\"}").status, 422);
    assert_eq!(api.get("/customers").json().as_array().map(Vec::len), Some(1));
    api.line();
    assert!(api.no_line());
}

#[test]
fn pages_follow_the_link_and_a_stream_holds_the_same() {
    let folder = folder();
    let api = Api::start(folder.path());
    for n in 0..7 {
        api.json("POST", "/customers", &json!({"name": format!("Ada {n}"), "email": "a@b"}));
    }
    api.json("POST", "/customers", &json!({"name": "Eve"}));
    let (mut path, mut names) = ("/customers?limit=3&q=ADA".to_owned(), Vec::new());
    loop {
        let page = api.get(&path);
        for customer in page.json().as_array().expect("an array") {
            names.push(customer["name"].as_str().expect("a name").to_owned());
        }
        let link = page.header("link");
        let Some((next, _)) = link.split_once('>') else { break };
        path = next.trim_start_matches('<').to_owned();
    }
    assert_eq!(names, (0..7).map(|n| format!("Ada {n}")).collect::<Vec<_>>());
    let ndjson = [("Accept", "application/x-ndjson")];
    let stream = api.call("GET", "/customers?q=ada", &ndjson, "");
    assert_eq!(stream.header("content-type"), "application/x-ndjson");
    let streamed: Vec<_> = stream
        .body
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).expect("JSON")["name"].clone())
        .collect();
    assert_eq!(json!(streamed), json!(names));
    assert_eq!(api.get("/customers?email=A@B&limit=10").json().as_array().map(Vec::len), Some(7));
    assert_eq!(api.get("/customers?sync=synced").body, "[]");
    assert_eq!(api.get("/customers?updated_since=2999-01-01T00:00:00Z").body, "[]");
}

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
fn what_is_pending_is_announced_again_to_a_new_pipe() {
    let folder = folder();
    let mut api = Api::start(folder.path());
    api.json("POST", "/customers", &json!({"id": "c", "name": "Ada"}));
    api.line();
    api.signal("-KILL");
    api.wait();
    let mut api = Api::start(folder.path());
    let line = loop {
        // Killed before the row was deleted, it may come as it was once more.
        let line = api.line();
        if line["data"]["systems"]["stripe"]["again"] == json!(true) {
            break line;
        }
    };
    assert_eq!((line["subject"].as_str(), &line["data"]["version"]), (Some("c"), &json!(1)));
    api.signal("-TERM");
    assert_eq!(api.wait(), Some(0));
}

#[test]
fn a_second_one_on_the_same_file_is_refused() {
    let folder = folder();
    let _api = Api::start(folder.path());
    let output = command(folder.path()).output().expect("it ends");
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("error: ") && said.contains("another catalog-api"), "{said}");
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
fn a_closed_pipe_ends_the_server_with_69() {
    let folder = folder();
    let mut process = command(folder.path()).spawn().expect("catalog-api starts");
    drop(process.stdout.take());
    let mut stderr = BufReader::new(process.stderr.take().expect("stderr"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("stderr");
    let url = line.trim().replace("catalog-api: listening on ", "http://");
    let post = ureq::post(format!("{url}/customers")).header("Content-Type", "application/json");
    let _ = post.send("{\"name\":\"Ada\"}");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("stderr");
    assert_eq!(process.wait().expect("it ends").code(), Some(69), "{rest}");
}
