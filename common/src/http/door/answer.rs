//! Sending an answer. A streamed one goes piece by piece: the next is made when the last was taken.
//! Making it may block, so that is done on a thread of its own; while the client reads, no thread is
//! held.

use std::io::{self, Read};
use std::sync::atomic::AtomicU64;

use tokio::net::TcpStream;

use super::head::Head;
use super::limits::PIECE_BYTES;
use super::{Shared, wire};
use crate::http::exchange::{Reply, ReplyBody};

/// Sends an answer, in pieces if it is a stream. `arrived` counts what comes of the client's body
/// meanwhile.
pub async fn send(
    shared: &Shared,
    stream: &TcpStream,
    reply: Reply,
    head: &Head,
    stays: bool,
    arrived: &AtomicU64,
) -> io::Result<()> {
    let Reply { head: mut bytes, body } = reply;
    bytes.extend_from_slice(match (stays, head.is_old) {
        (true, false) => b"\r\n",
        (true, true) => b"Connection: keep-alive\r\n\r\n",
        (false, _) => b"Connection: close\r\n\r\n",
    });
    match body {
        ReplyBody::Bytes(body) if body.len() <= PIECE_BYTES / 4 => {
            bytes.extend_from_slice(&body);
            wire::write(shared, stream, &bytes).await
        }
        ReplyBody::Bytes(body) => {
            wire::write(shared, stream, &bytes).await?;
            wire::write(shared, stream, &body).await
        }
        ReplyBody::Stream { reader, is_chunked } => {
            wire::write(shared, stream, &bytes).await?;
            send_stream(shared, stream, reader, is_chunked, arrived).await
        }
    }
}

/// A chunk's size in hexadecimal digits, always so many, and the line end.
const SIZE_LINE_BYTES: usize = 5 + 2;

/// The line end behind a chunk.
const END: &[u8] = b"\r\n";

/// The last chunk.
const LAST: &[u8] = b"0\r\n\r\n";

type Reader = Box<dyn Read + Send>;

/// Sends all of a stream. An error of the reader cuts the connection: an end of chunks would say
/// that the answer is whole.
async fn send_stream(
    shared: &Shared,
    stream: &TcpStream,
    mut reader: Reader,
    is_chunked: bool,
    arrived: &AtomicU64,
) -> io::Result<()> {
    loop {
        let made = tokio::task::spawn_blocking(move || {
            let piece = piece(&mut reader, is_chunked);
            (reader, piece)
        });
        let (back, piece) = made.await.map_err(io::Error::other)?;
        reader = back;
        match piece? {
            Some(piece) => wire::write_piece(shared, stream, &piece, arrived).await?,
            None if is_chunked => return wire::write(shared, stream, LAST).await,
            None => return Ok(()),
        }
    }
}

/// What the reader gives next, as it goes to the client; `None` at the end.
fn piece(reader: &mut Reader, is_chunked: bool) -> io::Result<Option<Vec<u8>>> {
    let start = if is_chunked { SIZE_LINE_BYTES } else { 0 };
    let mut bytes = vec![0; start + PIECE_BYTES];
    let length = loop {
        match reader.read(&mut bytes[start..]) {
            Ok(length) => break length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                log::warn!("a streamed answer broke off: {error}");
                return Err(error);
            }
        }
    };
    if length == 0 {
        return Ok(None);
    }
    bytes.truncate(start + length);
    if is_chunked {
        bytes[..start].copy_from_slice(format!("{length:05x}\r\n").as_bytes());
        bytes.extend_from_slice(END);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_a_chunk_of_what_there_is() {
        let mut reader: Reader = Box::new(&b"hello"[..]);
        let chunk = piece(&mut reader, true).expect("a piece");
        assert_eq!(chunk.as_deref(), Some(&b"00005\r\nhello\r\n"[..]));
        assert!(piece(&mut reader, true).expect("the end").is_none());
        let mut reader: Reader = Box::new(io::repeat(b'x'));
        let chunk = piece(&mut reader, true).expect("a piece").expect("more");
        assert!(chunk.starts_with(b"10000\r\n") && chunk.len() == PIECE_BYTES + 9);
    }
}
