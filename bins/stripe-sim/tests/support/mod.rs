//! What the integration tests share: a client that takes statuses as answers, and a receiver of
//! webhooks.

#![allow(dead_code, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use stripe_sim::{Config, Server};

/// Nothing here takes that long; it only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status and error code, as in `(400, "parameter_unknown")`.
    pub fn error(&self) -> (u16, String) {
        let code = self.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        (self.status, code)
    }

    pub fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    pub fn lines(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[derive(Clone, Debug)]
pub struct Client {
    pub agent: ureq::Agent,
    pub base: String,
    pub authorization: Option<String>,
}

impl Client {
    pub fn new(base: impl Into<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .build();
        Self {
            agent: ureq::Agent::new_with_config(config),
            base: base.into(),
            authorization: Some("Bearer sk_test_local".into()),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None, &[]).unwrap()
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None, &[]).unwrap()
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, Some(body), &[]).unwrap()
    }

    pub fn keyed(&self, key: &str, path: &str, body: &str) -> Answer {
        self.call("POST", path, Some(body), &[("Idempotency-Key", key)]).unwrap()
    }

    /// One request; an error is a connection that gave no answer.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, ureq::Error> {
        let url = format!("{}{path}", self.base);
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match body {
            Some(body) => {
                if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                    request = request.header("Content-Type", "application/x-www-form-urlencoded");
                }
                self.agent.run(request.body(body.to_owned()).unwrap())?
            }
            None => self.agent.run(request.body(()).unwrap())?,
        };
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.body_mut().read_to_string()?,
        })
    }
}

pub fn start(config: Config) -> (Server, Client) {
    let server = Server::start(config).unwrap();
    let client = Client::new(server.url());
    (server, client)
}

/// One webhook as it arrived.
#[derive(Clone, Debug)]
pub struct Hook {
    pub signature: String,
    pub body: String,
}

impl Hook {
    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Takes webhooks, and answers with the statuses it was given, then with 200.
#[derive(Debug)]
pub struct Receiver {
    pub url: String,
    shared: Arc<(Mutex<Inbox>, Condvar)>,
}

#[derive(Debug, Default)]
struct Inbox {
    hooks: Vec<Hook>,
    answers: VecDeque<u16>,
}

impl Receiver {
    pub fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr: SocketAddr = listener.local_addr().unwrap();
        let inbox = Inbox { hooks: Vec::new(), answers: answers.iter().copied().collect() };
        let shared = Arc::new((Mutex::new(inbox), Condvar::new()));
        let inside = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, inside) = (stream.unwrap(), Arc::clone(&inside));
                thread::spawn(move || {
                    let mut reader = BufReader::new(&stream);
                    while let Some(hook) = read_hook(&mut reader) {
                        let mut inbox = inside.0.lock().unwrap();
                        inbox.hooks.push(hook);
                        let status = inbox.answers.pop_front().unwrap_or(200);
                        drop(inbox);
                        inside.1.notify_all();
                        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
                        (&stream).write_all(answer.as_bytes()).unwrap();
                    }
                });
            }
        });
        Self { url: format!("http://{addr}/hook"), shared }
    }

    /// Waits until so many have come.
    pub fn wait_for(&self, count: usize) -> Vec<Hook> {
        let inbox = self.shared.0.lock().unwrap();
        let waited = self.shared.1.wait_timeout_while(inbox, PATIENCE, |i| i.hooks.len() < count);
        let hooks = waited.unwrap().0.hooks.clone();
        assert!(hooks.len() >= count, "{} of {count} webhooks came", hooks.len());
        hooks
    }
}

fn read_hook(reader: &mut impl BufRead) -> Option<Hook> {
    let (mut signature, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "stripe-signature" => value.clone_into(&mut signature),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Hook { signature, body: String::from_utf8(body).ok()? })
}
