//! A small HTTP/1.1 server on plain sockets: one thread a connection, keep-alive. It is our own,
//! and not `tiny_http`, for two things only a socket's owner can do: end a connection without an
//! answer (the lost response), and write an answer in one segment without delay. It must never know
//! what the requests are about.

use std::collections::HashMap;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::lock;
use crate::wire::{Incoming, Request, Response, read_request, write_response};

/// Connections served at once; the next one waits in the listen queue.
const CONNECTIONS_MAX: usize = 512;
/// A connection without a request for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// A client that does not read its answer for so long is given up.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// Each connection's stack: handlers are shallow, and an idle program should stay small.
const STACK_BYTES: usize = 512 * 1024;
/// How long running requests may take to finish when the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// What becomes of a request.
#[derive(Debug)]
pub enum Reply {
    Answer(Response),
    /// Close the connection without a byte, as a network that failed would.
    Drop,
}

/// Whoever answers the requests.
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, request: &Request) -> Reply;
}

/// A running server; `stop` ends it.
#[derive(Debug)]
pub struct HttpServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    open: Mutex<HashMap<u64, TcpStream>>,
    freed: Condvar,
}

impl HttpServer {
    pub fn start(listener: TcpListener, handler: Arc<dyn Handler>) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let inside = Arc::clone(&shared);
        let accepting = thread::Builder::new()
            .name("accept".into())
            .spawn(move || accept_all(&listener, &inside, &handler))?;
        Ok(Self { addr, shared, accepting: Some(accepting) })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no new request, lets the running ones finish for a while, then closes.
    pub fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.stopping.store(true, Ordering::SeqCst);
        // A connection of our own wakes the accepting thread.
        drop(TcpStream::connect_timeout(&self.addr, Duration::from_secs(1)));
        if accepting.join().is_err() {
            log::error!("the accepting thread panicked");
        }
        // An idle connection's read ends at once; a running answer is still written.
        for stream in lock(&self.shared.open).values() {
            drop(stream.shutdown(Shutdown::Read));
        }
        let deadline = Instant::now() + DRAIN_MAX;
        let mut open = lock(&self.shared.open);
        while !open.is_empty() && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            open = match self.shared.freed.wait_timeout(open, left) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        for stream in open.values() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

/// A connection being served; however that ends, a panic included, it is closed and forgotten.
struct Open {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(stream) = lock(&self.shared.open).remove(&self.number) {
            drop(stream.shutdown(Shutdown::Both));
        }
        self.shared.freed.notify_all();
    }
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>, handler: &Arc<dyn Handler>) {
    let mut number = 0_u64;
    loop {
        wait_for_room(shared);
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly: wait a little rather than spin.
                log::warn!("accept: {error}");
                thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        number += 1;
        let Ok(kept) = stream.try_clone() else { continue };
        lock(&shared.open).insert(number, kept);
        let (inside, handler) = (Arc::clone(shared), Arc::clone(handler));
        let spawned =
            thread::Builder::new().name("conn".into()).stack_size(STACK_BYTES).spawn(move || {
                let open = Open { shared: inside, number };
                if let Err(error) = serve(&stream, &open.shared, handler.as_ref()) {
                    log::debug!("connection: {error}");
                }
            });
        if let Err(error) = spawned {
            log::warn!("no thread for a connection: {error}");
            lock(&shared.open).remove(&number);
        }
    }
}

fn wait_for_room(shared: &Shared) {
    let mut open = lock(&shared.open);
    while open.len() >= CONNECTIONS_MAX && !shared.stopping.load(Ordering::SeqCst) {
        open = match shared.freed.wait_timeout(open, Duration::from_secs(1)) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        };
    }
}

fn serve(stream: &TcpStream, shared: &Shared, handler: &dyn Handler) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_MAX))?;
    stream.set_write_timeout(Some(WRITE_MAX))?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let (request, keep) = match read_request(&mut reader, &mut writer)? {
            Incoming::Request(request, keep) => (request, keep),
            Incoming::Bad(status, why) => {
                let answer = Response::new(status, "text/plain", format!("{why}\n"));
                return write_response(&mut writer, &answer, false);
            }
            Incoming::End => return Ok(()),
        };
        let keep = keep && !shared.stopping.load(Ordering::SeqCst);
        match handler.handle(&request) {
            Reply::Answer(response) => write_response(&mut writer, &response, keep)?,
            Reply::Drop => return Ok(()),
        }
        if !keep {
            return Ok(());
        }
    }
}
