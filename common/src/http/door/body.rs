//! A request's body on its way in: its bytes, without what frames them.

use super::chunked::Chunked;
use super::head::Framing;
use crate::http::Problem;

/// What is left of a body.
#[derive(Debug)]
pub enum Body {
    Length(u64),
    Chunked(Chunked),
}

impl Body {
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::new()),
        }
    }

    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// The length that is known already, if it is.
    pub fn declared(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) => None,
        }
    }

    /// Moves what has arrived of the body from `buffer` to `out`, but no more than `room`.
    pub fn advance(
        &mut self,
        buffer: &mut Vec<u8>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<(), Problem> {
        let used = match self {
            Self::Length(left) => {
                let length = (*left).min(buffer.len().min(room) as u64);
                *left -= length;
                out.extend_from_slice(&buffer[..length as usize]);
                length as usize
            }
            Self::Chunked(chunked) => chunked
                .feed(buffer, out, room)
                .map_err(|why| Problem::new(400, format!("the body cannot be read: {why}")))?,
        };
        buffer.drain(..used);
        Ok(())
    }
}
