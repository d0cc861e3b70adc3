//! A request's body of any length, read in constant memory: as bytes, or line by line. What the
//! client sends too slowly or not to its end is a problem here, never a hanging worker.

use std::io::{self, Cursor, Read};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Problem;

/// How long a streamed body may take. Its length has no limit, a line's has.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// From the first byte that is asked for to the last. Beyond it: 408.
    pub total: Duration,
    /// The longest silence of the client while its bytes are waited for. Beyond it: 408.
    pub idle: Duration,
    /// The longest line, without its end.
    pub line_bytes_max: usize,
}

impl StreamLimits {
    /// A million lines at the pace of durable commits; a silence that only a dead client keeps;
    /// a line as long as a record.
    pub const BULK: Self = Self {
        total: Duration::from_secs(60 * 60),
        idle: Duration::from_secs(30),
        line_bytes_max: 1024 * 1024,
    };
}

/// One line of a streamed body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Line<'a> {
    /// Without `\n` or `\r\n`; empty lines too.
    Text(&'a [u8]),
    /// Longer than the limit. It was skipped, the next one is read as usual.
    TooLong,
}

/// The body, while it arrives. It may move to another thread, and into a streamed answer.
pub struct BodyStream {
    source: Source,
    limits: StreamLimits,
    /// When the whole has to be there; set by the first read.
    until: Option<Instant>,
    /// What arrived and was not read yet: `piece[read..]`.
    piece: Vec<u8>,
    read: usize,
    /// A line that lies in several pieces.
    line: Vec<u8>,
}

/// What the door hands over of a body.
pub enum Piece {
    Data(Vec<u8>),
    /// All of it was there.
    End,
}

pub type Pieces = mpsc::Receiver<Result<Piece, Problem>>;

enum Source {
    Memory(Cursor<Vec<u8>>),
    /// From the door, whose runtime has the timers.
    Wire(Pieces, Handle),
    Ended,
}

impl std::fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BodyStream({:?})", self.limits)
    }
}

/// Bytes taken at once from a body that is in memory already.
const PIECE_BYTES: usize = 64 * 1024;

impl BodyStream {
    pub(super) fn of_memory(bytes: Vec<u8>, limits: StreamLimits) -> Self {
        Self::new(Source::Memory(Cursor::new(bytes)), limits)
    }

    pub(super) fn of_wire(pieces: Pieces, timers: Handle, limits: StreamLimits) -> Self {
        Self::new(Source::Wire(pieces, timers), limits)
    }

    fn new(source: Source, limits: StreamLimits) -> Self {
        let (piece, line) = (Vec::new(), Vec::new());
        Self { source, limits, until: None, piece, read: 0, line }
    }

    /// The next line; `None` at the end of the body. After an error there is no next one.
    pub fn line(&mut self) -> Result<Option<Line<'_>>, Problem> {
        self.line.clear();
        let mut is_too_long = false;
        loop {
            if self.read == self.piece.len() && !self.fill()? {
                return Ok(match (is_too_long, self.line.is_empty()) {
                    (true, _) => Some(Line::TooLong),
                    (false, true) => None,
                    (false, false) => Some(Line::Text(without_return(&self.line))),
                });
            }
            let rest = &self.piece[self.read..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let part = &rest[..end.unwrap_or(rest.len())];
            self.read += part.len() + usize::from(end.is_some());
            // One more for the \r of an end that may come.
            is_too_long |= self.line.len() + part.len() > self.limits.line_bytes_max + 1;
            if is_too_long {
                self.line.clear();
            } else {
                self.line.extend_from_slice(part);
            }
            if end.is_some() {
                let text = without_return(&self.line);
                is_too_long |= text.len() > self.limits.line_bytes_max;
                return Ok(Some(if is_too_long { Line::TooLong } else { Line::Text(text) }));
            }
        }
    }

    /// Has a whole line arrived, so that [`Self::line`] will not wait?
    pub fn has_line(&self) -> bool {
        self.piece[self.read..].contains(&b'\n')
    }

    /// Waits for more of the body. False at its end.
    fn fill(&mut self) -> Result<bool, Problem> {
        let total = self.limits.total;
        let until = *self.until.get_or_insert_with(|| Instant::now() + total);
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Problem::new(
                408,
                format!("the body took longer than {} s", total.as_secs()),
            ));
        }
        self.read = 0;
        self.piece.clear();
        match &mut self.source {
            Source::Memory(cursor) => {
                self.piece.resize(PIECE_BYTES, 0);
                // Reading from memory cannot fail.
                let length = cursor.read(&mut self.piece).unwrap_or(0);
                self.piece.truncate(length);
            }
            Source::Wire(pieces, timers) => {
                let wait = left.min(self.limits.idle);
                match next(pieces, timers, wait) {
                    Ok(Piece::Data(piece)) => self.piece = piece,
                    Ok(Piece::End) => self.source = Source::Ended,
                    Err(problem) => {
                        // The door reads no more for somebody who has given up.
                        self.source = Source::Ended;
                        return Err(problem);
                    }
                }
            }
            Source::Ended => {}
        }
        Ok(!self.piece.is_empty())
    }
}

impl Read for BodyStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len()
            && !self.fill().map_err(|problem| io::Error::other(problem.detail))?
        {
            return Ok(0);
        }
        let rest = &self.piece[self.read..];
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.read += length;
        Ok(length)
    }
}

/// What comes next, within a time. It may be called on any thread that may block.
fn next(pieces: &mut Pieces, timers: &Handle, wait: Duration) -> Result<Piece, Problem> {
    let received = match pieces.try_recv() {
        Ok(received) => Some(received),
        Err(_) => timers
            .block_on(async { tokio::time::timeout(wait, pieces.recv()).await })
            .map_err(|_| Problem::new(408, "the body came too slowly"))?,
    };
    received.unwrap_or_else(|| Err(Problem::new(400, "the body ended before its end")))
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: &[u8], line_bytes_max: usize) -> Vec<String> {
        let limits = StreamLimits { line_bytes_max, ..StreamLimits::BULK };
        let mut stream = BodyStream::of_memory(body.to_vec(), limits);
        let mut lines = Vec::new();
        while let Some(line) = stream.line().expect("a line") {
            lines.push(match line {
                Line::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Line::TooLong => "too long".to_owned(),
            });
        }
        lines
    }

    #[test]
    fn lines_end_with_or_without_a_return_and_the_last_may_have_no_end() {
        assert_eq!(lines(b"a\nb\r\n\nc", 10), ["a", "b", "", "c"]);
        assert_eq!(lines(b"a\n", 10), ["a"]);
        assert!(lines(b"", 10).is_empty());
    }

    #[test]
    fn a_line_beyond_the_limit_is_skipped_and_the_next_is_read() {
        assert_eq!(
            lines(b"abc\nabcd\nab\r\nabc\r\nabcd\r\nx", 3),
            ["abc", "too long", "ab", "abc", "too long", "x"]
        );
        let long = [vec![b'x'; 3 * PIECE_BYTES], b"\ny".to_vec()].concat();
        assert_eq!(lines(&long, PIECE_BYTES), ["too long", "y"]);
        assert_eq!(lines(&long, 3 * PIECE_BYTES)[0].len(), 3 * PIECE_BYTES);
    }

    #[test]
    fn a_body_that_takes_too_long_is_408() {
        let limits = StreamLimits { total: Duration::ZERO, ..StreamLimits::BULK };
        let mut stream = BodyStream::of_memory(b"a\nb".to_vec(), limits);
        assert_eq!(stream.line().expect_err("late").status, 408);
    }
}
