//! A server with a handler that tells what reached it, and a client that sends raw bytes.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::http::{
    Answer, BodyPlan, Handler, Limits, Line, Options, Problem, Request, Response, Server,
    StreamLimits,
};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const LIMITS: Limits = Limits::DEFAULT;

/// The longest body of `/echo`.
pub const BODY_BYTES_MAX: usize = 1000;

/// The longest body of `/bulk`.
pub const BULK_BYTES_MAX: usize = 1024 * 1024;

/// The length of what `/large` answers: more than sockets buffer.
pub const LARGE_BYTES: usize = 4 * 1024 * 1024;

/// What happened inside.
#[derive(Default)]
pub struct Seen {
    /// The method's and path's of all requests that reached the handler.
    pub requests: Mutex<Vec<String>>,
    /// How many bytes of endless answers were made.
    pub bytes_made: AtomicUsize,
    /// How many endless answers were given up.
    pub given_up: AtomicUsize,
    /// The problem that an upload ended with.
    pub upload_problem: Mutex<Option<u16>>,
    gate: Mutex<bool>,
    opened: Condvar,
}

impl Seen {
    /// Lets the requests to `/wait` go on.
    pub fn open_gate(&self) {
        *self.gate.lock().unwrap() = true;
        self.opened.notify_all();
    }

    pub fn paths(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

struct App(Arc<Seen>);

/// An answer without end.
struct Endless(Arc<Seen>);

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        out.fill(b'x');
        self.0.bytes_made.fetch_add(out.len(), Ordering::SeqCst);
        Ok(out.len())
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.given_up.fetch_add(1, Ordering::SeqCst);
    }
}

impl Handler for App {
    fn admit(&self, request: &Request) -> Result<BodyPlan, Problem> {
        match request.path.as_str() {
            "/lines" | "/back" | "/large" => Ok(BodyPlan::Stream),
            "/bulk" => Ok(BodyPlan::Gather { bytes_max: BULK_BYTES_MAX }),
            "/json" => {
                request.expect_content_type(&["application/json"])?;
                Ok(BodyPlan::Gather { bytes_max: BODY_BYTES_MAX })
            }
            "/get" => Err(Problem::method_not_allowed(&["GET", "HEAD"])),
            "/panic" => panic!("on purpose"),
            _ => Ok(BodyPlan::Gather { bytes_max: BODY_BYTES_MAX }),
        }
    }

    fn handle(&self, request: &mut Request) -> Answer {
        self.0.requests.lock().unwrap().push(format!("{:?} {}", request.method, request.path));
        match request.path.as_str() {
            "/lines" => lines(&self.0, request),
            "/back" => Ok(Response::stream("text/plain", request.stream(StreamLimits::BULK)?)),
            "/endless" => Ok(Response::stream("text/plain", Endless(Arc::clone(&self.0)))),
            "/large" => Ok(Response::bytes(200, "text/plain", vec![b'x'; LARGE_BYTES])),
            "/stream" => Ok(Response::stream("text/plain", std::io::repeat(b'x').take(100_000))),
            "/wait" => {
                let gate = self.0.gate.lock().unwrap();
                drop(self.0.opened.wait_while(gate, |is_open| !*is_open).unwrap());
                Ok(Response::text(200, "waited"))
            }
            "/bulk" => Ok(Response::text(200, request.body(BULK_BYTES_MAX)?.len().to_string())),
            _ => Ok(Response::bytes(200, "text/plain", request.body(BODY_BYTES_MAX)?.to_vec())),
        }
    }
}

/// Counts the lines of a body as they come.
fn lines(seen: &Seen, request: &mut Request) -> Answer {
    let limits = StreamLimits {
        idle: Duration::from_millis(500),
        line_bytes_max: 100,
        ..StreamLimits::BULK
    };
    let mut stream = request.stream(limits)?;
    let (mut lines, mut too_long) = (0, 0);
    loop {
        match stream.line() {
            Ok(Some(Line::Text(_))) => lines += 1,
            Ok(Some(Line::TooLong)) => too_long += 1,
            Ok(None) => return Ok(Response::text(200, format!("{lines} lines, {too_long} long"))),
            Err(problem) => {
                *seen.upload_problem.lock().unwrap() = Some(problem.status);
                return Err(problem);
            }
        }
    }
}

pub struct Running {
    pub server: Server,
    pub seen: Arc<Seen>,
}

pub fn start(limits: Limits) -> Running {
    let seen = Arc::new(Seen::default());
    let app: Arc<dyn Handler> = Arc::new(App(Arc::clone(&seen)));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = Options { program: "test", listen };
    let server = Server::start_with(options, limits, &app).expect("a free port");
    Running { server, seen }
}

impl Running {
    pub fn connect(&self) -> Client {
        Client::of(TcpStream::connect(self.server.address()).expect("connect"))
    }

    /// From another machine, as it seems: all of 127.0.0.0/8 is here.
    pub fn connect_from(&self, last: u8) -> Client {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let stream = runtime.expect("a runtime").block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            let from = IpAddr::from([127, 0, 0, last]);
            socket.bind(SocketAddr::new(from, 0)).expect("an address of this machine");
            let stream = socket.connect(self.server.address()).await.expect("connect");
            stream.into_std().expect("a socket")
        });
        stream.set_nonblocking(false).unwrap();
        Client::of(stream)
    }

    /// Sends this on a connection of its own and returns the answer, and whether it was closed.
    pub fn ask(&self, bytes: &[u8]) -> Reply {
        let mut client = self.connect();
        client.send(bytes);
        client.reply()
    }
}

pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    /// Something has arrived, if only the end.
    pub fn has_heard(&self) -> bool {
        self.stream().set_nonblocking(true).unwrap();
        let heard = self.stream().peek(&mut [0]);
        self.stream().set_nonblocking(false).unwrap();
        !heard.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Client {
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// That the server has closed already is seen when it is read from.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.reader.get_mut().write_all(bytes);
    }

    pub fn finish_sending(&self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer, with its body as long as it says.
    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("an answer")
    }

    pub fn try_reply(&mut self) -> Option<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let status = head[9..12].parse().expect("a status");
        let value = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(other, _)| *other == name).map(|(_, value)| value.to_owned())
        };
        let mut body = Vec::new();
        if value("Transfer-Encoding").is_some() {
            while self.chunk(&mut body) {}
        } else if let Some(length) = value("Content-Length") {
            body.resize(length.parse().expect("a length"), 0);
            self.reader.read_exact(&mut body).ok()?;
        }
        Some(Reply { status, head, body })
    }

    /// Reads a chunk; false at the last one.
    pub fn chunk(&mut self, body: &mut Vec<u8>) -> bool {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a size");
        let size = usize::from_str_radix(line.trim_end(), 16).expect("a size");
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).expect("a chunk");
        body.extend_from_slice(&chunk[..size]);
        size > 0
    }

    /// The server closes without another word.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// So many answers without bodies, as they come.
    pub fn rest_of(&mut self, answers: usize) -> Vec<u8> {
        let mut text = String::new();
        while text.matches("\r\n\r\n").count() < answers {
            assert_ne!(self.reader.read_line(&mut text).expect("a line"), 0, "{text}");
        }
        text.into_bytes()
    }

    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("the end");
        rest
    }
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

pub fn post(path: &str, lines: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n{body}").into_bytes()
}

/// Waits until it is so.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
