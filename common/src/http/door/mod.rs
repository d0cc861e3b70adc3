//! The door before `tiny_http`, which knows no time-outs and no limits and gives each connection a
//! thread. Here one thread holds all connections: it counts them, reads whole heads and bodies
//! within limits of size and time, and hands on only whole requests, written anew; it takes the
//! answers and sends them, however slowly they are read. So threads are held by requests in
//! progress only, and a stranger can use up no more than [`Limits`] say.

mod accept;
mod answer;
mod body;
mod budget;
mod census;
mod chunked;
mod connection;
mod end;
mod head;
mod limits;
mod line;
mod upload;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, watch};

pub use head::TICKET;
pub use limits::Limits;

use super::exchange::Exchanges;
use super::{Handler, Request};
use crate::error::{Error, Result};
use budget::Budget;
use census::Census;
use limits::{INCOMING_BYTES_MAX, OUTGOING_BYTES_MAX, STREAM_THREADS, STREAMS_MAX, UPLOADS_MAX};
use line::Line;

/// What the door's tasks share.
pub struct Shared {
    pub program: &'static str,
    pub handler: Arc<dyn Handler>,
    pub exchanges: Arc<Exchanges>,
    limits: Limits,
    census: Arc<Census>,
    line: Line,
    requests: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// Memory for heads and bodies that are on their way.
    incoming: Arc<Budget>,
    /// Memory for answers that are not taken at once.
    outgoing: Arc<Budget>,
    is_stopping: AtomicBool,
    /// The accept loop is to end.
    stop: Notify,
    /// The door's thread is to end.
    end: Notify,
    fail: watch::Sender<Option<Error>>,
}

/// The door, open.
pub struct Door {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Door {
    /// Listens, starts the door's thread and returns `tiny_http`'s server, whose requests come
    /// through the door only. An address that cannot be had is the inner error.
    pub fn open(
        listen: SocketAddr,
        limits: Limits,
        program: &'static str,
        handler: Arc<dyn Handler>,
        fail: watch::Sender<Option<Error>>,
    ) -> Result<std::io::Result<(Self, tiny_http::Server)>> {
        let (server, lines) = line::open()?;
        let limits = accept::fit(limits);
        let shared = Arc::new(Shared {
            program,
            handler,
            exchanges: Arc::default(),
            limits,
            census: Arc::new(Census::new(limits)),
            line: Line::default(),
            requests: Arc::new(Semaphore::new(limits.requests_max)),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            incoming: Budget::new(INCOMING_BYTES_MAX),
            outgoing: Budget::new(OUTGOING_BYTES_MAX),
            is_stopping: AtomicBool::new(false),
            stop: Notify::new(),
            end: Notify::new(),
            fail,
        });
        let (tell, told) = std::sync::mpsc::channel();
        let inside = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("http door".to_owned())
            .spawn(move || run(&inside, listen, lines, &tell))
            .map_err(|error| Error::retry("start the door", error))?;
        // The thread tells before it does anything else.
        let told = told.recv().map_err(|error| Error::retry("start the door", error))?;
        Ok(told.map(|address| (Self { shared, address, thread }, server)))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes nobody in any more and sends away who only waits. Requests in progress go on.
    pub fn close(&self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.stop.notify_one();
        self.shared.census.evict(usize::MAX);
    }

    /// Everybody has left.
    pub fn is_empty(&self) -> bool {
        self.shared.census.count() == 0
    }

    /// Ends the thread, and with it whoever is still connected.
    pub fn end(self) {
        self.shared.end.notify_one();
        let _ = self.thread.join();
    }
}

type Tell = std::sync::mpsc::Sender<std::io::Result<SocketAddr>>;

fn run(
    shared: &Arc<Shared>,
    listen: SocketAddr,
    lines: Vec<std::os::unix::net::UnixStream>,
    tell: &Tell,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(STREAM_THREADS)
        .thread_name("http stream")
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(tell.send(Err(error))),
    };
    runtime.block_on(async {
        let listener = match accept::listen(listen) {
            Ok(listener) => listener,
            Err(error) => return drop(tell.send(Err(error))),
        };
        let _ = tell.send(listener.local_addr());
        tokio::spawn(hand_on(Arc::clone(shared), lines));
        tokio::spawn(accept::run(Arc::clone(shared), listener));
        shared.end.notified().await;
    });
    // A thread that makes a piece of a streamed answer is not waited for.
    runtime.shutdown_background();
}

/// Runs the line, and the next one if it breaks. Requests that were on it are answered 503.
async fn hand_on(shared: Arc<Shared>, lines: Vec<std::os::unix::net::UnixStream>) {
    for line in lines {
        if let Err(error) = shared.line.run(line).await {
            log::error!("the line to tiny_http broke: {error}");
        }
        shared.exchanges.clear();
    }
    let error = Error::retry("hand on requests", "tiny_http reads no more");
    shared.fail.send_replace(Some(error));
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// Metrics and the log learn of an answer that no worker gave.
    fn observe(&self, request: &Request, status: u16, begun: Instant) {
        self.handler.observe(request, status, begun.elapsed());
        log::debug!(
            "{} {} {status} {} (refused at the door)",
            super::method_name(request.method),
            request.path,
            request.id
        );
    }
}
