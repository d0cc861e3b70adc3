//! Taking connections in. It never ends the program and never itself: when the process has no
//! descriptor left, connections that only wait are closed to make room, and where there are none
//! the newcomer is told 503 with a descriptor that is kept for that.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Shared;
use super::connection::Connection;
use super::limits::{
    ACCEPT_PAUSE, BACKLOG, DESCRIPTORS_KEPT, EVICTED_AT_ONCE, Limits, RETRY_AFTER_SECONDS,
    SAY_AGAIN_AFTER, SEND_BUFFER_BYTES,
};

pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// As many connections as there are descriptors for. The process may open as many as it can be
/// allowed without privileges: the soft limit of old is made for programs that use `select`.
pub fn fit(limits: Limits) -> Limits {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = limits.connections_max.saturating_add(DESCRIPTORS_KEPT) as u64;
    let current = current.unwrap_or(u64::MAX);
    let raised = wanted.min(maximum.unwrap_or(u64::MAX)).max(current);
    let rise = Rlimit { current: Some(raised), maximum };
    let current = if raised > current && setrlimit(Resource::Nofile, rise).is_ok() {
        raised
    } else {
        current
    };
    let current = usize::try_from(current).unwrap_or(usize::MAX);
    // Where there are few, half of them: a door without a place would serve nobody.
    let room = (current - DESCRIPTORS_KEPT.min(current / 2)).max(1);
    if room >= limits.connections_max {
        return limits;
    }
    log::warn!("only {room} connections are taken: more would need a higher ulimit -n");
    Limits {
        connections_per_address_max: limits.connections_per_address_max.min(room.div_ceil(4)),
        connections_max: room,
        ..limits
    }
}

pub async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let mut reserve = Reserve::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.notified() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take_in(&shared, stream, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                say_full(format_args!("a connection cannot be accepted: {error}"));
                if shared.census.evict(EVICTED_AT_ONCE) == 0 {
                    reserve.refuse_one(&shared, &listener).await;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                // Those that were asked to leave close their descriptors now.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The client left before it was let in. Anything else concerns all.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn take_in(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let Some(seat) = shared.census.enter(peer.ip()) else {
        say_full(format_args!("a connection of {} was refused: too many are busy", peer.ip()));
        return turn_away(shared, &stream);
    };
    // The second half of an answer is not to wait for the first to be acknowledged.
    let _ = stream.set_nodelay(true);
    tokio::spawn(Connection::new(Arc::clone(shared), stream, peer.ip(), seat).run());
}

/// Tells a newcomer at once that there is no place. It is too short not to be taken by the kernel.
fn turn_away(shared: &Shared, stream: &TcpStream) {
    let (program, id) = (shared.program, uuid::Uuid::now_v7());
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nServer: {program}\r\nX-Request-Id: {id}\r\n\
         Retry-After: {RETRY_AFTER_SECONDS}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    // Not by tokio, which first waits to be told that the socket can be written to.
    let _ = rustix::io::write(stream, answer.as_bytes());
    log::debug!("503 {id} (turned away)");
}

/// A descriptor that can be given up to answer somebody when no other is left.
struct Reserve(Option<File>);

impl Reserve {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    async fn refuse_one(&mut self, shared: &Shared, listener: &TcpListener) {
        self.0 = None;
        let soon = tokio::time::timeout(Duration::from_millis(1), listener.accept());
        if let Ok(Ok((stream, _))) = soon.await {
            turn_away(shared, &stream);
        }
        *self = Self::new();
    }
}

/// Strangers can fill the house as often as they like, but not the log.
fn say_full(what: std::fmt::Arguments<'_>) {
    static SAID_AT: AtomicU64 = AtomicU64::new(0);
    let now = crate::clock::now_ms() as u64;
    let said_at = SAID_AT.load(Ordering::Relaxed);
    if now.saturating_sub(said_at) >= SAY_AGAIN_AFTER.as_millis() as u64 {
        SAID_AT.store(now, Ordering::Relaxed);
        log::warn!("{what}");
    } else {
        log::debug!("{what}");
    }
}
