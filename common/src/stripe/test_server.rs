//! A loopback server that answers as a test says and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tiny_http::{Header, Response, Server};

#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: String,
}

impl Answer {
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }
}

pub struct TestServer {
    pub base: String,
    server: Arc<Server>,
    asked: Arc<Mutex<Vec<Asked>>>,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + 'static) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a port"));
        let base = format!("http://{}", server.server_addr());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (for_thread, log) = (Arc::clone(&server), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            for mut request in for_thread.incoming_requests() {
                let mut body = String::new();
                request.as_reader().read_to_string(&mut body).expect("UTF-8");
                let headers = request.headers().iter();
                let asked = Asked {
                    line: format!("{} {}", request.method(), request.url()),
                    headers: headers
                        .map(|h| (h.field.to_string().to_lowercase(), h.value.to_string()))
                        .collect(),
                    body,
                };
                let answer = answer(&asked);
                log.lock().expect("no panic").push(asked);
                let mut response = Response::from_string(answer.body);
                for (name, value) in answer.headers {
                    response.add_header(Header::from_bytes(name, value).expect("a header"));
                }
                request.respond(response.with_status_code(answer.status)).expect("sent");
            }
        });
        Self { base, server, asked, thread: Some(thread) }
    }

    pub fn requests(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}
