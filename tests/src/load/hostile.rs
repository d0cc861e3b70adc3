//! Hostile clients, all in one thread. Each does again and again what used to hurt: hold a
//! connection, send a byte a second, never end, never read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

/// How many of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Connect and say nothing.
    pub idle: usize,
    /// Send a head, a byte a second; every other one after 28 KB of it at once.
    pub slow: usize,
    /// Send header lines without end.
    pub endless_headers: usize,
    /// Send chunks without end.
    pub endless_chunks: usize,
    /// Ask for much, and read nothing of it.
    pub deaf: usize,
}

impl Mix {
    /// What a server has to bear.
    pub const FULL: Self =
        Self { idle: 5000, slow: 500, endless_headers: 50, endless_chunks: 50, deaf: 50 };

    /// The same kinds, so many times fewer.
    #[must_use]
    pub fn divided_by(self, divisor: usize) -> Self {
        Self {
            idle: self.idle / divisor,
            slow: self.slow / divisor,
            endless_headers: self.endless_headers / divisor,
            endless_chunks: self.endless_chunks / divisor,
            deaf: self.deaf / divisor,
        }
    }

    pub fn count(self) -> usize {
        self.idle + self.slow + self.endless_headers + self.endless_chunks + self.deaf
    }
}

/// Hostile clients at work. They leave when this is dropped.
#[derive(Debug)]
pub struct Storm {
    leave: Option<watch::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    connected: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

/// Between two sendings of an endless client: it is to last, not to measure this machine.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two attempts of a client whose connection was closed.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// So many connections are opened at once, with a pause after each lot.
const LOT: usize = 100;

impl Storm {
    pub fn begin(address: SocketAddr, mix: Mix) -> Self {
        let (leave, left) = watch::channel(());
        let (connected, refused) = (Arc::default(), Arc::default());
        let shared = Shared { address, connected, refused };
        let (connected, refused) = (Arc::clone(&shared.connected), Arc::clone(&shared.refused));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Without a runtime nobody connects, and the caller sees that.
            if let Ok(runtime) = runtime {
                runtime.block_on(storm(shared, mix, left));
                runtime.shutdown_background();
            }
        });
        Self { leave: Some(leave), thread: Some(thread), connected, refused }
    }

    /// Connections that are open now.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// How often one was closed by the server.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.leave = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Shared {
    address: SocketAddr,
    connected: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum Kind {
    Idle,
    Slow,
    EndlessHeaders,
    EndlessChunks,
    Deaf,
}

async fn storm(shared: Shared, mix: Mix, mut left: watch::Receiver<()>) {
    let kinds = [
        (Kind::EndlessHeaders, mix.endless_headers),
        (Kind::EndlessChunks, mix.endless_chunks),
        (Kind::Deaf, mix.deaf),
        (Kind::Slow, mix.slow),
        (Kind::Idle, mix.idle),
    ];
    let clients = kinds.iter().flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count));
    for (number, kind) in clients.enumerate() {
        tokio::spawn(again_and_again(shared.clone(), kind, number));
        if number % LOT == LOT - 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // An error means that the sender is gone: that is the sign to leave.
    let _ = left.changed().await;
}

async fn again_and_again(shared: Shared, kind: Kind, number: usize) {
    loop {
        if let Ok(stream) = connect(shared.address, number).await {
            shared.connected.fetch_add(1, Ordering::Relaxed);
            // How it ended does not matter: it is done again.
            let _ = annoy(stream, kind, number).await;
            shared.connected.fetch_sub(1, Ordering::Relaxed);
            shared.refused.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// From one of many addresses: one machine alone is stopped by the limit for one address.
async fn connect(address: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let from = [127, 0, 1, (number % 200) as u8 + 1];
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(address).await
}

async fn annoy(mut stream: TcpStream, kind: Kind, number: usize) -> std::io::Result<()> {
    let head = "POST /customers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let (begin, more, pause) = match kind {
        Kind::Idle => (String::new(), String::new(), Duration::ZERO),
        Kind::Slow => {
            let much = format!("{head}{}X: ", "Name: value\r\n".repeat(28 * 1024 / 13));
            let begin = if number.is_multiple_of(2) { much } else { "G".to_owned() };
            (begin, "x".to_owned(), Duration::from_secs(1))
        }
        Kind::EndlessHeaders => (head.to_owned(), "Name: value\r\n".repeat(50), PAUSE),
        Kind::EndlessChunks => {
            (format!("{head}Transfer-Encoding: chunked\r\n\r\n"), "1\r\nx\r\n".repeat(100), PAUSE)
        }
        Kind::Deaf => {
            let page = "GET /customers HTTP/1.1\r\nHost: localhost\r\n\r\n";
            let stream = page.replace("Host", "Accept: application/x-ndjson\r\nHost");
            let asks = if number.is_multiple_of(2) { page } else { &stream };
            (asks.repeat(20), String::new(), Duration::ZERO)
        }
    };
    stream.write_all(begin.as_bytes()).await?;
    let mut heard = [0; 256];
    loop {
        match kind {
            Kind::Deaf => return std::future::pending().await,
            Kind::Idle => {
                if stream.read(&mut heard).await? == 0 {
                    return Ok(());
                }
            }
            Kind::Slow | Kind::EndlessHeaders | Kind::EndlessChunks => {
                tokio::select! {
                    read = stream.read(&mut heard) => if read? == 0 { return Ok(()) },
                    () = tokio::time::sleep(pause) => stream.write_all(more.as_bytes()).await?,
                }
            }
        }
    }
}
