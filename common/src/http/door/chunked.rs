//! Taking a chunked body apart (RFC 9112, 7.1), strictly: whoever reads a size differently than
//! this would see another end of the body, and another request behind it.

use super::limits::{CHUNK_LINE_BYTES_MAX, TRAILERS_BYTES_MAX};

/// Why a chunked body cannot be read.
pub type Broken = &'static str;

/// Where in the body the next byte is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// In the size line.
    Size,
    /// In the data: so many bytes are left of it.
    Data(u64),
    /// In the line end behind the data.
    DataEnd,
    /// In what follows the last chunk.
    Trailer,
    Done,
}

#[derive(Debug)]
pub struct Chunked {
    state: State,
    trailers_bytes: usize,
}

impl Chunked {
    pub fn new() -> Self {
        Self { state: State::Size, trailers_bytes: 0 }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads on, and appends the data to `out`, but no more than `room`. Returns how many bytes of
    /// the input were used; the rest has to be there again next time.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<usize, Broken> {
        let (mut used, mut room) = (0, room);
        loop {
            let rest = &input[used..];
            match self.state {
                State::Size => {
                    let Some(line) = line(rest, CHUNK_LINE_BYTES_MAX)? else { return Ok(used) };
                    used += line.len() + 2;
                    self.state = match size(line)? {
                        0 => State::Trailer,
                        size => State::Data(size),
                    };
                }
                State::Data(left) => {
                    let length = left.min(rest.len().min(room) as u64) as usize;
                    out.extend_from_slice(&rest[..length]);
                    (used, room) = (used + length, room - length);
                    let left = left - length as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    if left > 0 {
                        return Ok(used);
                    }
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        used += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(used),
                    _ => return Err("a chunk is longer than its size says"),
                },
                State::Trailer => {
                    let left = TRAILERS_BYTES_MAX - self.trailers_bytes;
                    let Some(line) = line(rest, left)? else { return Ok(used) };
                    used += line.len() + 2;
                    self.trailers_bytes += line.len();
                    if line.is_empty() {
                        self.state = State::Done;
                    }
                }
                State::Done => return Ok(used),
            }
        }
    }
}

/// The line that the input begins with, if it is whole.
fn line(input: &[u8], bytes_max: usize) -> Result<Option<&[u8]>, Broken> {
    let looked_at = &input[..input.len().min(bytes_max + 2)];
    match looked_at.iter().position(|byte| *byte == b'\n') {
        Some(end) => match looked_at[..end].strip_suffix(b"\r") {
            Some(line) if !line.contains(&b'\r') => Ok(Some(line)),
            Some(_) | None => Err("a line of the chunked body does not end with CR LF"),
        },
        None if input.len() >= bytes_max + 2 => Err("a line of the chunked body is too long"),
        None => Ok(None),
    }
}

/// `1a` or `1a;name=value`. Nothing stands before, after or within the digits.
fn size(line: &[u8]) -> Result<u64, Broken> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    // 15 digits: no size can overflow.
    if !is_hex || digits.len() > 15 || line.iter().any(|byte| !(b' '..=b'~').contains(byte)) {
        return Err("the size of a chunk is no hexadecimal number");
    }
    let text = std::str::from_utf8(digits).unwrap_or_default();
    u64::from_str_radix(text, 16).map_err(|_| "the size of a chunk is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the input in steps of so many bytes; returns the data and what was left over.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, usize), Broken> {
        let (mut chunked, mut out, mut buffer) = (Chunked::new(), Vec::new(), Vec::new());
        for piece in input.chunks(step) {
            buffer.extend_from_slice(piece);
            let used = chunked.feed(&buffer, &mut out, usize::MAX)?;
            buffer.drain(..used);
        }
        if chunked.is_done() { Ok((out, buffer.len())) } else { Err("more is expected") }
    }

    #[test]
    fn however_it_arrives_the_data_is_the_same() {
        let body = b"5\r\nhello\r\n1;a=\"b\"\r\n \r\n0000A\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET";
        for step in 1..=body.len() {
            let (data, left) = decode(body, step).expect("a body");
            assert_eq!((data.as_slice(), left), (&b"hello 0123456789"[..], 3), "{step}");
        }
    }

    #[test]
    fn no_more_than_the_room_is_taken() {
        let (mut chunked, mut out) = (Chunked::new(), Vec::new());
        let used = chunked.feed(b"5\r\nhello\r\n0\r\n\r\n", &mut out, 3).expect("a part");
        assert_eq!((used, out.as_slice(), chunked.is_done()), (6, &b"hel"[..], false));
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_refused() {
        for body in [
            "\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "5_0\r\nhello\r\n0\r\n\r\n",
            "g\r\nhello\r\n0\r\n\r\n",
            "5\rX\nhello\r\n0\r\n\r\n",
            "5;\x01\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r\r\n0\r\n\r\n",
            "4\r\nhello\r\n0\r\n\r\n",
            "6\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\n",
            "5\r\nhello\r\n0\r\nX: y\n\r\n",
            "ffffffffffffffff\r\nhello",
            "10000000000000000\r\nhello",
        ] {
            for step in [1, 2, body.len()] {
                assert!(decode(body.as_bytes(), step).is_err(), "{body:?}");
            }
        }
    }

    #[test]
    fn endless_lines_end() {
        let endless_size = format!("5;{}", "x".repeat(CHUNK_LINE_BYTES_MAX));
        let endless_trailers = format!("0\r\n{}", "X: y\r\n".repeat(TRAILERS_BYTES_MAX));
        for body in [endless_size, endless_trailers] {
            let (mut chunked, mut out) = (Chunked::new(), Vec::new());
            assert!(chunked.feed(body.as_bytes(), &mut out, usize::MAX).is_err());
        }
    }
}
