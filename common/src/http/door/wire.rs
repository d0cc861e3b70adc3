//! Reading from and writing to a client's socket, each within a time. Whoever only waits holds no
//! memory: bytes are read into one buffer of the thread and kept only when there are some.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::budget::Share;
use super::limits::{HELD_FREELY_BYTES, LINGER_BYTES_MAX, LINGER_TIME, Limits, PIECE_BYTES};

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE_BYTES].into());
}

/// Waits for bytes and appends them, at most so many. `Ok(0)` is the end of the connection.
pub async fn read_some(
    source: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    bytes_max: usize,
) -> io::Result<usize> {
    std::future::poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(&mut scratch[..bytes_max.min(PIECE_BYTES)]);
            Pin::new(&mut *source).poll_read(context, &mut read).map_ok(|()| {
                buffer.extend_from_slice(read.filled());
                read.filled().len()
            })
        })
    })
    .await
}

/// The same, as many as there are.
pub async fn read(
    source: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<usize> {
    read_some(source, buffer, PIECE_BYTES).await
}

/// Sends all of it, or fails when it is not taken in time, or when too much is not taken in all and
/// this has waited longest.
pub async fn write(shared: &Shared, stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let share = if bytes.len() > HELD_FREELY_BYTES {
        Some(shared.outgoing.share(stream.peer_addr()?.ip()))
    } else {
        None
    };
    write_all(shared, stream, bytes, share, &AtomicU64::new(0)).await
}

/// The same for a piece of a stream, whose memory does not count: there are no more of them than
/// streams. Its time begins anew while bytes of the client's body arrive, which are counted by
/// `arrived`: most clients read nothing of an answer before they have sent their whole body.
pub async fn write_piece(
    shared: &Shared,
    stream: &TcpStream,
    bytes: &[u8],
    arrived: &AtomicU64,
) -> io::Result<()> {
    write_all(shared, stream, bytes, None, arrived).await
}

async fn write_all(
    shared: &Shared,
    stream: &TcpStream,
    bytes: &[u8],
    mut share: Option<Share>,
    arrived: &AtomicU64,
) -> io::Result<()> {
    let too_much = || Err(io::ErrorKind::QuotaExceeded.into());
    let mut rest = bytes;
    let mut begun = Instant::now();
    let mut arrived_before = arrived.load(Ordering::Relaxed);
    while !rest.is_empty() {
        match stream.try_write(rest) {
            Ok(taken) => rest = &rest[taken..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if share.as_mut().is_some_and(|share| !share.hold(bytes.len())) {
                    return too_much();
                }
                // More time for what was taken: who takes nothing has only the first of it.
                let taken = bytes.len() - rest.len();
                let time = Limits::time_for(shared.limits.write_time, taken);
                let in_time = tokio::select! {
                    biased;
                    in_time = timeout_at(begun + time, stream.writable()) => in_time,
                    () = cut(share.as_ref()) => return too_much(),
                };
                match in_time {
                    Ok(writable) => writable?,
                    Err(elapsed) => {
                        let arrived = arrived.load(Ordering::Relaxed);
                        if arrived == arrived_before {
                            return Err(elapsed.into());
                        }
                        (begun, arrived_before) = (Instant::now(), arrived);
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn cut(share: Option<&Share>) {
    match share {
        Some(share) => share.cut().await,
        None => std::future::pending().await,
    }
}

/// Says that nothing more will come, and drops what the client still sends, for a while: to close
/// with unread bytes would reset the connection and could take the answer with it.
pub async fn linger(stream: &mut TcpStream) {
    if tokio::io::AsyncWriteExt::shutdown(stream).await.is_err() {
        return;
    }
    let drain = async {
        let (mut dropped, mut bytes) = (0, Vec::new());
        while dropped < LINGER_BYTES_MAX {
            match read(stream, &mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(count) => dropped += count,
            }
            bytes.clear();
        }
    };
    // That it took too long is no news: the connection closes either way.
    let _ = timeout(LINGER_TIME, drain).await;
}
