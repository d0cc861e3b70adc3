//! The workers: a fixed pool of threads that take requests from `tiny_http`, ask the handler and
//! give the answer to the door. A worker waits without polling, and a panic in a handler is that
//! request's 500. It must never answer with the inside of an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::door::{Shared, TICKET};
use super::exchange::{Arriving, Exchange};
use super::print::{Asked, print};
use super::server::{log_inside, method_name, panicked};
use super::{Answer, Request};
use crate::error::{Error, Result};

/// Requests in progress at once. Writers that wait together share one commit, so this is also the
/// most requests that one commit carries. Beyond it requests wait in a queue.
pub const WORKERS: usize = 64;

/// A worker's stack. Bodies and pages are on the heap, JSON is 128 levels deep at most.
const WORKER_STACK_BYTES: usize = 512 * 1024;

pub struct Workers {
    requests: Arc<tiny_http::Server>,
    is_stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub fn start(requests: tiny_http::Server, shared: &Arc<Shared>) -> Result<Self> {
        let (requests, is_stopping) = (Arc::new(requests), Arc::new(AtomicBool::new(false)));
        let mut threads = Vec::with_capacity(WORKERS);
        for number in 0..WORKERS {
            let worker = Worker {
                requests: Arc::clone(&requests),
                is_stopping: Arc::clone(&is_stopping),
                shared: Arc::clone(shared),
            };
            let thread = std::thread::Builder::new()
                .name(format!("http {number}"))
                .stack_size(WORKER_STACK_BYTES)
                .spawn(move || worker.run())
                .map_err(|error| Error::retry("start a worker", error))?;
            threads.push(thread);
        }
        Ok(Self { requests, is_stopping, threads })
    }

    /// Asks the workers to end when they have nothing to do.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        for _ in &self.threads {
            self.requests.unblock();
        }
    }

    pub fn are_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

struct Worker {
    requests: Arc<tiny_http::Server>,
    is_stopping: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(&self) {
        loop {
            match self.requests.recv() {
                Ok(request) => self.serve(request),
                Err(_) if self.is_stopping.load(Ordering::SeqCst) => return,
                // Nobody connects any more after the start, so this concerns no request.
                Err(error) => log::debug!("tiny_http accepts no more lines: {error}"),
            }
        }
    }

    fn serve(&self, inner: tiny_http::Request) {
        let begun = Instant::now();
        let ticket = inner.headers().iter().find(|header| header.field.equiv(TICKET));
        let ticket = ticket.and_then(|header| header.value.as_str().parse().ok());
        let exchange = ticket.and_then(|ticket| self.shared.exchanges.take(ticket));
        let (mut request, problem) = Request::new(&inner);
        let is_head = *inner.method() == tiny_http::Method::Head;
        // The answer goes to the door: on the line nothing comes back.
        drop(inner.into_writer());
        let Some(Exchange { body, is_admitted, peer, is_old, reply }) = exchange else {
            log::error!("a request came without a ticket (request {})", request.id);
            return;
        };
        request.peer = Some(peer);
        match body {
            Arriving::Gathered(bytes) => request.body = Some(bytes),
            Arriving::Stream(pieces, timers) => request.pieces = Some((pieces, timers)),
        }
        let answer = match problem {
            Some(problem) => Err(problem),
            None => catch_unwind(AssertUnwindSafe(|| self.answer(&mut request, is_admitted)))
                .unwrap_or_else(|panic| Err(panicked(panic.as_ref()))),
        };
        let response = answer.unwrap_or_else(|problem| {
            log_inside(&request, &problem);
            problem.into_response()
        });
        let status = response.status;
        let id = request.id.as_str();
        let asked = Asked { id, program: self.shared.program, is_head, is_old };
        // That the client has gone concerns nobody else.
        let _ = reply.send(print(response, asked));
        self.shared.handler.observe(&request, status, begun.elapsed());
        log::debug!("{} {} {status} {id}", method_name(request.method), request.path);
    }

    fn answer(&self, request: &mut Request, is_admitted: bool) -> Answer {
        if !is_admitted {
            self.shared.handler.admit(request)?;
        }
        self.shared.handler.handle(request)
    }
}
