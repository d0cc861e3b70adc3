//! What passes between the door and the workers beside the line: the body on the way in, the
//! answer on the way back. `tiny_http` sees the head only; a ticket in it says which request it is.

use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::stream::Pieces;

/// A request that was handed on: what a worker needs besides its head.
pub struct Exchange {
    pub body: Arriving,
    /// The handler has admitted it already.
    pub is_admitted: bool,
    pub peer: IpAddr,
    /// An answer without an end that is known is sent in HTTP/1.0's way.
    pub is_old: bool,
    pub reply: oneshot::Sender<Reply>,
}

/// A body, all of it or as it comes.
pub enum Arriving {
    Gathered(Vec<u8>),
    /// With the runtime whose timers say when it is too slow.
    Stream(Pieces, Handle),
}

/// An answer as it goes to the client.
pub struct Reply {
    /// Without the empty line at its end: the door adds what becomes of the connection.
    pub head: Vec<u8>,
    pub body: ReplyBody,
}

pub enum ReplyBody {
    Bytes(Vec<u8>),
    /// In chunks, or (HTTP/1.0) until the connection closes.
    Stream {
        reader: Box<dyn Read + Send>,
        is_chunked: bool,
    },
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({})", String::from_utf8_lossy(&self.head))
    }
}

/// The requests that no worker has taken yet, by ticket.
#[derive(Default)]
pub struct Exchanges {
    waiting: Mutex<HashMap<u64, Exchange>>,
    next: AtomicU64,
}

impl Exchanges {
    pub fn put(&self, exchange: Exchange) -> u64 {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(ticket, exchange);
        ticket
    }

    pub fn take(&self, ticket: u64) -> Option<Exchange> {
        self.waiting().remove(&ticket)
    }

    /// The line broke: whoever waits is told so, by losing the sender.
    pub fn clear(&self) {
        self.waiting().clear();
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Exchange>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
