//! The server, as the programs see it: a handler, where to listen, start and stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::door::{Door, Limits};
use super::workers::Workers;
use super::{Method, Problem, Request, Response};
use crate::error::{Error, Kind, Result};

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

    /// Answers a request that was admitted. It may block: other workers go on.
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
    door: Door,
    workers: Workers,
    failed: watch::Receiver<Option<Error>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server on {}", self.address())
    }
}

impl Server {
    /// Listens (port 0 picks one), says so on stderr, and answers from now on. An address that is
    /// taken is `Retry` (exit 69), one that cannot be had here is `Fatal`.
    pub fn start(options: Options, handler: &Arc<dyn Handler>) -> Result<Self> {
        Self::start_with(options, Limits::DEFAULT, handler)
    }

    /// The same with other limits.
    pub fn start_with(
        options: Options,
        limits: Limits,
        handler: &Arc<dyn Handler>,
    ) -> Result<Self> {
        let Options { program, listen } = options;
        let operation = || format!("listen on {listen}");
        let unavailable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::AddrInUse => Error::retry(operation(), error)
                .hint("another process has this port; choose one with --listen ADDRESS:PORT"),
            std::io::ErrorKind::AddrNotAvailable | std::io::ErrorKind::PermissionDenied => {
                Error::fatal(operation(), error)
            }
            _ => Error::retry(operation(), error),
        };
        let (fail, failed) = watch::channel(None);
        let opened = Door::open(listen, limits, program, Arc::clone(handler), fail)?;
        let (door, requests) = opened.map_err(unavailable)?;
        let workers = Workers::start(requests, door.shared())?;
        crate::log::say(program, format_args!("listening on {}", door.address()));
        Ok(Self { door, workers, failed })
    }

    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    /// Waits until no request can be handed on any more, which only a new start heals: whoever
    /// waits here ends the program. No client can bring it about. Cancel-safe.
    pub async fn failed(&self) -> Error {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(|| Error::retry("serve", "stopped")),
            Err(_) => std::future::pending().await,
        }
    }

    /// Answers what was taken in, refuses what comes later, and returns when all are answered and
    /// the workers are done, or the limit has passed. True if all of them were done.
    pub fn stop(self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        // Neither a join nor a client that is slow to read knows a time-out.
        let wait_for = |is_done: &dyn Fn() -> bool| {
            while !is_done() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        self.door.close();
        wait_for(&|| self.door.is_empty());
        self.workers.stop();
        wait_for(&|| self.workers.are_done());
        let all_are_answered = self.door.is_empty();
        self.door.end();
        all_are_answered && self.workers.are_done()
    }
}

pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Problem {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::inside(Error::fatal("answer a request", text.unwrap_or("a panic")))
}

/// What an answer does not tell.
pub(super) fn log_inside(request: &Request, problem: &Problem) {
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

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
