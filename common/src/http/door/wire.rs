//! Reading from and writing to a client's socket, each within a time. Whoever only waits holds no
//! memory: bytes are read into one buffer of the thread and kept only when there are some.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::limits::{LINGER_BYTES_MAX, LINGER_TIME, Limits, PIECE_BYTES};

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE_BYTES].into());
}

/// Waits for bytes and appends them. `Ok(0)` is the end of the connection.
pub async fn read(
    source: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<usize> {
    std::future::poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            Pin::new(&mut *source).poll_read(context, &mut read).map_ok(|()| {
                buffer.extend_from_slice(read.filled());
                read.filled().len()
            })
        })
    })
    .await
}

/// Sends all of it, or fails when it is not taken in time.
pub async fn write(stream: &TcpStream, bytes: &[u8], base: Duration) -> io::Result<()> {
    write_while(stream, bytes, base, &AtomicBool::new(false)).await
}

/// The same, but its time does not run out while the client still sends: most clients read nothing
/// of an answer before they have sent their whole body.
pub async fn write_while(
    stream: &TcpStream,
    bytes: &[u8],
    base: Duration,
    is_sending: &AtomicBool,
) -> io::Result<()> {
    let mut rest = bytes;
    let time = Limits::time_for(base, bytes.len());
    let mut until = Instant::now() + time;
    while !rest.is_empty() {
        match stream.try_write(rest) {
            Ok(taken) => rest = &rest[taken..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match timeout_at(until, stream.writable()).await {
                    Ok(writable) => writable?,
                    Err(_) if is_sending.load(Ordering::Relaxed) => until = Instant::now() + time,
                    Err(elapsed) => return Err(elapsed.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
