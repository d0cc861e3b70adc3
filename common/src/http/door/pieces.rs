//! A streamed answer, piece by piece: the next one is made when the last was taken. Making it may
//! block, so that is done on a thread of its own; while the client reads, no thread is held.

use std::io::{self, Read};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::net::TcpStream;

use super::limits::PIECE_BYTES;
use super::wire;

/// A chunk's size in hexadecimal digits, always so many, and the line end.
const SIZE_LINE_BYTES: usize = 5 + 2;

/// The line end behind a chunk.
const END: &[u8] = b"\r\n";

/// The last chunk.
const LAST: &[u8] = b"0\r\n\r\n";

type Reader = Box<dyn Read + Send>;

/// Sends all of it; `is_sending` says whether the client still sends. An error of the reader cuts the connection: an end of chunks would say that the
/// answer is whole.
pub async fn send(
    stream: &TcpStream,
    mut reader: Reader,
    is_chunked: bool,
    write_time: Duration,
    is_sending: &AtomicBool,
) -> io::Result<()> {
    loop {
        let made = tokio::task::spawn_blocking(move || {
            let piece = piece(&mut reader, is_chunked);
            (reader, piece)
        });
        let (back, piece) = made.await.map_err(io::Error::other)?;
        reader = back;
        match piece? {
            Some(piece) => wire::write_while(stream, &piece, write_time, is_sending).await?,
            None if is_chunked => return wire::write(stream, LAST, write_time).await,
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
