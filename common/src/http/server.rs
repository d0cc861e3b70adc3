//! The server: a fixed pool of workers over `tiny_http`. A worker waits for a request without
//! polling, and a panic in a handler is that request's 500. It must never answer with the inside
//! of an error. `tiny_http` knows no time-outs for reading: a client that sends a body slowly holds
//! a worker.

use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tiny_http::Header;
use tokio::sync::watch;

use super::response::reason;
use super::{Body, Method, Problem, Request, Response};
use crate::error::{Error, Kind, Result};

/// Requests in progress at once. Writers that wait together share one commit, so this is also the
/// most requests that one commit carries. Beyond it requests wait in a queue.
const WORKERS: usize = 64;

/// A worker's stack. Bodies and pages are on the heap, JSON is 128 levels deep at most.
const WORKER_STACK_BYTES: usize = 512 * 1024;

/// A client that takes nothing of its answer for so long is left.
const WRITE_TIMEOUT_SECONDS: u64 = 60;

/// A body declared longer than this is not waited out: `tiny_http` would set aside as much memory
/// as was declared in order to skip it, and a lie could thus end the process.
const DECLARED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a handler gives back; an error becomes `application/problem+json`.
pub type Answer = std::result::Result<Response, Problem>;

/// What is to become of a request's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyPlan {
    /// It is gathered before the request is handed on; beyond so many bytes it is 413.
    Gather { bytes_max: usize },
    /// The handler reads it as it arrives, with [`Request::stream`].
    Stream,
}

/// The longest body that is gathered, unless the handler says otherwise.
const GATHERED_BYTES_MAX: usize = 1024 * 1024;

/// What the server does with requests.
pub trait Handler: Send + Sync + 'static {
    /// Asked once about each request, before anything of its body is read: what can be refused by
    /// method, path and headers alone (401, 404, 405, 415) is refused here. It must not block.
    fn admit(&self, _request: &Request) -> std::result::Result<BodyPlan, Problem> {
        Ok(BodyPlan::Gather { bytes_max: GATHERED_BYTES_MAX })
    }

    /// Answers a request. It may block: other workers go on.
    fn handle(&self, request: &mut Request) -> Answer;

    /// Told after each answer, for metrics.
    fn observe(&self, _request: &Request, _status: u16, _elapsed: Duration) {}
}

/// How a server is started.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For the `Server` header and for stderr.
    pub program: &'static str,
    pub listen: SocketAddr,
}

/// A running server.
pub struct Server {
    inner: Arc<tiny_http::Server>,
    program: &'static str,
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    failed: watch::Receiver<Option<Error>>,
    workers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server on {}", self.address)
    }
}

impl Server {
    /// Listens (port 0 picks one), says so on stderr, and answers from now on. An address that is
    /// taken is `Retry` (exit 69), one that cannot be had here is `Fatal`.
    pub fn start(options: Options, handler: &Arc<dyn Handler>) -> Result<Self> {
        let operation = || format!("listen on {}", options.listen);
        let unavailable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::AddrInUse => Error::retry(operation(), error)
                .hint("another process has this port; choose one with --listen ADDRESS:PORT"),
            std::io::ErrorKind::AddrNotAvailable | std::io::ErrorKind::PermissionDenied => {
                Error::fatal(operation(), error)
            }
            _ => Error::retry(operation(), error),
        };
        let listener = bind(options.listen).map_err(unavailable)?;
        let address = listener.local_addr().map_err(unavailable)?;
        let inner = tiny_http::Server::from_listener(listener, None)
            .map_err(|error| Error::retry(operation(), error))?;
        let (inner, stopping) = (Arc::new(inner), Arc::new(AtomicBool::new(false)));
        let (fail, failed) = watch::channel(None);
        let mut workers = Vec::with_capacity(WORKERS);
        for number in 0..WORKERS {
            let worker = Worker {
                inner: Arc::clone(&inner),
                stopping: Arc::clone(&stopping),
                handler: Arc::clone(handler),
                fail: fail.clone(),
                program: options.program,
            };
            let thread = std::thread::Builder::new()
                .name(format!("http {number}"))
                .stack_size(WORKER_STACK_BYTES)
                .spawn(move || worker.run())
                .map_err(|error| Error::retry("start a worker", error))?;
            workers.push(thread);
        }
        crate::log::say(options.program, format_args!("listening on {address}"));
        Ok(Self { inner, program: options.program, address, stopping, failed, workers })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the server can accept no more connections (the process ran out of file
    /// descriptors): it cannot heal, so whoever waits here ends the program. Cancel-safe.
    pub async fn failed(&self) -> Error {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(|| Error::retry("serve", "stopped")),
            Err(_) => std::future::pending().await,
        }
    }

    /// Answers what was taken in, refuses what comes later, and returns when the workers are done
    /// or the limit has passed. True if all of them were done.
    pub fn stop(self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        self.stopping.store(true, Ordering::SeqCst);
        for _ in &self.workers {
            self.inner.unblock();
        }
        // A join knows no time-out, and a worker may hang on a client that is slow to read.
        while self.workers.iter().any(|worker| !worker.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        while let Ok(Some(late)) = self.inner.try_recv() {
            let (request, _) = Request::new(late);
            let problem = Problem::new(503, "the server is stopping").header("Retry-After", "1");
            reply(request, problem.into_response(), self.program);
        }
        self.workers.iter().all(JoinHandle::is_finished)
    }
}

/// Binds the address. Accepted connections inherit (on Linux) what is set here: a time-out that
/// `tiny_http` lacks, and no delay for the second half of an answer. (A time-out for reading would
/// end its accept loop as well.)
fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(listen)?;
    let socket = TcpStream::from(OwnedFd::from(listener.try_clone()?));
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(Duration::from_secs(WRITE_TIMEOUT_SECONDS)))?;
    Ok(listener)
}

struct Worker {
    inner: Arc<tiny_http::Server>,
    stopping: Arc<AtomicBool>,
    handler: Arc<dyn Handler>,
    fail: watch::Sender<Option<Error>>,
    program: &'static str,
}

impl Worker {
    fn run(&self) {
        loop {
            match self.inner.recv() {
                Ok(request) => self.serve(request),
                Err(_) if self.stopping.load(Ordering::SeqCst) => return,
                Err(error) => {
                    // tiny_http's accept loop has ended and tells one worker of it.
                    let error = Error::retry("accept connections", error)
                        .hint("more file descriptors (ulimit -n) help against many connections");
                    self.fail.send_replace(Some(error));
                }
            }
        }
    }

    fn serve(&self, inner: tiny_http::Request) {
        let begun = Instant::now();
        let (mut request, problem) = Request::new(inner);
        let answer = match problem {
            Some(problem) => Err(problem),
            None => catch_unwind(AssertUnwindSafe(|| {
                self.handler.admit(&request)?;
                self.handler.handle(&mut request)
            }))
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref()))),
        };
        let response = answer.unwrap_or_else(|problem| {
            log_inside(&request, &problem);
            problem.into_response()
        });
        let status = response.status;
        self.handler.observe(&request, status, begun.elapsed());
        log::debug!("{} {} {status} {}", method_name(request.method), request.path, request.id);
        reply(request, response, self.program);
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Problem {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::inside(Error::fatal("answer a request", text.unwrap_or("a panic")))
}

fn log_inside(request: &Request, problem: &Problem) {
    let Some(error) = &problem.inside else { return };
    let name = method_name(request.method);
    match error.kind {
        Kind::Retry | Kind::Fatal => log::error!(
            "{name} {} answered {}: {error} (request {})",
            request.path,
            problem.status,
            request.id
        ),
        Kind::Reject => log::debug!("{name} {}: {error} (request {})", request.path, request.id),
    }
}

pub fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
        Method::Options => "OPTIONS",
        Method::Other => "OTHER",
    }
}

/// Sends the answer. That the client has gone concerns nobody else.
fn reply(mut request: Request, response: Response, program: &str) {
    let too_long = request.declared_bytes().is_some_and(|bytes| bytes > DECLARED_BYTES_MAX);
    let Some(inner) = request.inner.take() else { return };
    let mut headers = Vec::with_capacity(response.headers.len() + 2);
    let mut add = |name: &str, value: &str| match Header::from_bytes(name, value) {
        Ok(header) => headers.push(header),
        Err(()) => log::warn!("a header {name} cannot be sent (request {})", request.id),
    };
    add("Server", program);
    add("X-Request-Id", &request.id);
    for (name, value) in &response.headers {
        add(name, value);
    }
    if too_long {
        return leave(inner, response);
    }
    let status = tiny_http::StatusCode(response.status);
    let (length, body): (_, Box<dyn Read + Send>) = match response.body {
        Body::Empty => (Some(0), Box::new(std::io::empty())),
        Body::Bytes(bytes) => (Some(bytes.len()), Box::new(Cursor::new(bytes))),
        Body::Stream(reader) => (None, reader),
    };
    let response = tiny_http::Response::new(status, headers, body, length, None)
        .with_chunked_threshold(usize::MAX);
    let _ = inner.respond(response);
}

/// Answers a request that declared too long a body, and leaks it with its connection: dropping it
/// would set aside the memory that was declared. The interim answer is only the way to the bare
/// connection.
fn leave(inner: tiny_http::Request, response: Response) {
    let interim = tiny_http::Response::empty(103);
    let mut stream = inner.upgrade("none", interim);
    let (status, phrase) = (response.status, reason(response.status));
    let body = match response.body {
        Body::Bytes(bytes) => bytes,
        Body::Empty | Body::Stream(_) => Vec::new(),
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: application/problem+json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _ = stream.write_all(&body).and_then(|()| stream.flush());
    std::mem::forget(stream);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Handler for Echo {
        fn handle(&self, request: &mut Request) -> Answer {
            match request.path.as_str() {
                "/panic" => panic!("on purpose"),
                "/echo" => Ok(Response::bytes(200, "text/plain", request.body(10)?.to_vec())),
                "/stream" => {
                    Ok(Response::stream("text/plain", std::io::repeat(b'x').take(100_000)))
                }
                _ => Err(Problem::inside(Error::retry("open /inside", "broken"))),
            }
        }
    }

    fn start() -> Server {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let echo: Arc<dyn Handler> = Arc::new(Echo);
        Server::start(Options { program: "test", listen }, &echo).expect("a free port")
    }

    fn ask(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).expect("connect");
        stream.write_all(request.as_bytes()).expect("ask");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answer");
        text
    }

    fn post(body: &str) -> String {
        let length = body.len();
        format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: r1\r\n\r\n")
    }

    #[test]
    fn a_panic_is_one_requests_500_and_no_worker_dies_of_it() {
        let server = start();
        for _ in 0..WORKERS * 2 {
            let answer = ask(&server, &get("/panic"));
            assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
            assert!(!answer.contains("on purpose"), "{answer}");
        }
        assert!(ask(&server, &post("hello")).ends_with("hello"));
        assert!(server.stop(Duration::from_secs(5)));
    }

    #[test]
    fn every_answer_carries_the_requests_id_and_none_the_inside() {
        let server = start();
        let answer = ask(&server, &get("/x"));
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("X-Request-Id: r1") && answer.contains("Retry-After"), "{answer}");
        assert!(!answer.contains("broken") && !answer.contains("/inside"), "{answer}");
    }

    #[test]
    fn a_body_beyond_the_limit_is_413_however_long_it_claims_to_be() {
        let server = start();
        assert!(ask(&server, &post("hello hello")).starts_with("HTTP/1.1 413"));
        for claimed in ["70000000", "99999999999999", "9223372036854775807"] {
            let request = post("").replace("Length: 0", &format!("Length: {claimed}"));
            let mut stream = TcpStream::connect(server.address()).expect("connect");
            stream.write_all(request.as_bytes()).expect("ask");
            let mut answer = vec![0; 4096];
            let mut length = 0;
            while !String::from_utf8_lossy(&answer[..length]).contains("longer than 10 bytes") {
                let read = stream.read(&mut answer[length..]).expect("answer");
                assert!(read > 0, "{claimed}");
                length += read;
            }
            assert!(String::from_utf8_lossy(&answer).contains("HTTP/1.1 413"), "{claimed}");
        }
        let chunked = get("/echo")
            .replace("Connection: close", "Connection: close\r\nTransfer-Encoding: chunked");
        let chunks = "6\r\nhello \r\n6\r\nhello \r\n0\r\n\r\n";
        assert!(ask(&server, &(chunked + chunks)).starts_with("HTTP/1.1 413"));
    }

    #[test]
    fn a_stream_comes_in_chunks() {
        let server = start();
        let answer = ask(&server, &get("/stream"));
        assert!(answer.contains("Transfer-Encoding: chunked"));
        assert_eq!(answer.matches('x').count(), 100_000 + 1);
    }
}
