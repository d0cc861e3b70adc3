//! How a connection ends, and what is said then.

use std::io;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::head::Head;
use super::limits::RETRY_AFTER_SECONDS;
use crate::http::{Problem, Request};

/// Why a connection ends.
pub enum End {
    /// The client left, or was too slow, or its seat was needed: nothing is said.
    Gone,
    /// All is said, and nothing of the client's is unread.
    Finished,
    /// This is said, and then it ends.
    Refused(Box<Refusal>),
    /// The answer was sent, but something of the client's is unread or may still come.
    Unread,
}

pub struct Refusal {
    pub problem: Problem,
    /// As far as it is known.
    pub request: Request,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

pub fn permit(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).try_acquire_owned().ok()
}

/// A request that could not even be read.
pub fn refused(problem: Problem) -> End {
    let request = Request::unread();
    End::Refused(Box::new(Refusal { problem, request }))
}

pub fn refused_as(head: &Head, problem: Problem) -> End {
    let (request, _) = head.request();
    End::Refused(Box::new(Refusal { problem, request }))
}

/// 503 that says when to come again.
pub fn busy(problem: Problem) -> Problem {
    problem.header("Retry-After", RETRY_AFTER_SECONDS)
}

pub fn broken() -> Problem {
    busy(Problem::new(503, "the server cannot do this right now; try again"))
}

pub fn cut_short() -> Problem {
    Problem::new(400, "the body ended before its end")
}

pub fn too_slow(what: &str) -> Problem {
    Problem::new(408, format!("{what} came too slowly"))
}

pub fn too_much() -> Problem {
    busy(Problem::new(503, "too much is on its way"))
}

pub fn too_many_streams() -> Problem {
    Problem::new(503, "too many streams are being read")
}
