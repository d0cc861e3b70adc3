//! Healthy clients: each sends a request, reads the answer to its end, and sends the next.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A client that hears nothing for so long gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection that is kept.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr, path: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
        Ok(Self { stream, request, buffer: vec![0; 16 * 1024] })
    }

    /// Asks once. Returns the status.
    pub fn ask(&mut self) -> io::Result<u16> {
        self.stream.write_all(&self.request)?;
        let mut length = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[length..])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            length += read;
            if let Some((status, whole)) = head(&self.buffer[..length])
                && length >= whole
            {
                return Ok(status);
            }
        }
    }
}

/// The status of an answer, and how long it is in all, once its head is there.
fn head(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = text.get(9..12)?.parse().ok()?;
    let mut lines = text.split("\r\n").filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("Content-Length"));
    let length: usize = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
    Some((status, end + length))
}

/// What a load saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How long each good answer took, in order of length.
    pub times: Vec<Duration>,
    /// Requests that got another answer than 200, or none.
    pub failed: usize,
    pub elapsed: Duration,
}

impl Seen {
    pub fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time within which this share of the answers came.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

/// How a load is put on a server.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub clients: usize,
    pub time: Duration,
    /// Between an answer and the next request of the same client.
    pub pause: Duration,
    /// A new connection for each request.
    pub reconnects: bool,
}

impl Load {
    pub fn run(self, address: SocketAddr, path: &str) -> Seen {
        let begun = Instant::now();
        let threads: Vec<_> = (0..self.clients)
            .map(|_| {
                let path = path.to_owned();
                std::thread::spawn(move || self.client(address, &path, begun + self.time))
            })
            .collect();
        let mut seen = Seen::default();
        for thread in threads {
            let (times, failed) = thread.join().unwrap_or_default();
            seen.times.extend(times);
            seen.failed += failed;
        }
        seen.times.sort_unstable();
        seen.elapsed = begun.elapsed();
        seen
    }

    fn client(self, address: SocketAddr, path: &str, until: Instant) -> (Vec<Duration>, usize) {
        let (mut times, mut failed, mut kept) = (Vec::new(), 0, None);
        while Instant::now() < until {
            let begun = Instant::now();
            let client = kept.take().map_or_else(|| Client::connect(address, path), Ok);
            let asked = client.and_then(|mut client| client.ask().map(|status| (client, status)));
            match asked {
                Ok((client, 200)) => {
                    times.push(begun.elapsed());
                    kept = Some(client).filter(|_| !self.reconnects);
                }
                Ok(_) | Err(_) => failed += 1,
            }
            if !self.pause.is_zero() {
                std::thread::sleep(self.pause);
            }
        }
        (times, failed)
    }
}
