//! Answers that come in chunks.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

/// The body of an answer that comes in chunks.
pub struct Chunks {
    stream: BufReader<TcpStream>,
    left: usize,
    ended: bool,
}

impl Chunks {
    pub fn after_head(stream: TcpStream) -> Self {
        let mut stream = BufReader::with_capacity(64 * 1024, stream);
        let mut line = String::from("head");
        while !line.trim().is_empty() {
            line.clear();
            stream.read_line(&mut line).expect("a head");
        }
        Self { stream, left: 0, ended: false }
    }
}

impl Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 && !self.ended {
            let mut line = String::new();
            while line.trim().is_empty() {
                line.clear();
                if self.stream.read_line(&mut line)? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            let length = usize::from_str_radix(line.trim(), 16);
            self.left = length.map_err(std::io::Error::other)?;
            self.ended = self.left == 0;
        }
        let length = self.left.min(out.len());
        let length = self.stream.read(&mut out[..length])?;
        self.left -= length;
        Ok(length)
    }
}
