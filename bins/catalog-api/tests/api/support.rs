//! Starts the program with `--to -`, asks it over HTTP, reads it on stdout.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Longer than anything here should take, on a slow machine too.
pub const LIMIT: Duration = Duration::from_secs(20);

pub struct Api {
    process: Child,
    pub url: String,
    lines: Mutex<mpsc::Receiver<Json>>,
    agent: ureq::Agent,
}

pub struct Reply {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub fn command(folder: &Path) -> Command {
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
    pub fn start(folder: &Path) -> Self {
        Self::of(command(folder))
    }

    pub fn of(mut command: Command) -> Self {
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
        let api = Self { process, url, lines, agent: config.build().into() };
        // At its start it announces again what is pending, which would mix with what a test does.
        let begun = Instant::now();
        while api.get("/readyz").status != 200 {
            assert!(begun.elapsed() < LIMIT, "it never gets ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        api
    }

    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
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

    pub fn json(&self, method: &str, path: &str, body: &Json) -> Reply {
        self.call(method, path, &[("Content-Type", "application/json")], &body.to_string())
    }

    pub fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], "")
    }

    /// The next record on stdout.
    pub fn line(&self) -> Json {
        self.lines.lock().expect("one reader").recv_timeout(LIMIT).expect("a record")
    }

    /// Nothing stands on stdout that was not read.
    pub fn no_line(&self) -> bool {
        self.lines.lock().expect("one reader").try_recv().is_err()
    }

    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().expect("kill").success());
    }

    /// The exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().expect("it ends").code()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}
