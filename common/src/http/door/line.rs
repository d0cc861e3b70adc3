//! The line to `tiny_http`: one connection over a private Unix socket that carries the heads of
//! all requests, many in one write when many come at once. `tiny_http` reads them one after the
//! other and gives each to a worker; nothing comes back on it, so no request waits for another.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

use crate::error::{Error, Result};

/// Lines that are opened at the start. One is used; another takes over when it breaks, which only
/// an error of our own could bring about. No more than `tiny_http` keeps threads for anyway.
const LINES: usize = 4;

/// A listener that nobody else can reach, and the lines to it. Its path is gone when this returns:
/// no other process can connect, and a kill leaves nothing behind.
pub fn open() -> Result<(tiny_http::Server, Vec<UnixStream>)> {
    let folder = std::env::temp_dir().join(format!("http-{}", uuid::Uuid::new_v4().simple()));
    let failed = |error: io::Error| {
        Error::fatal(format!("open a socket in {}", folder.display()), error)
            .hint("set TMPDIR to a folder that can be written to, with a short path")
    };
    std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
    let folder_guard = Folder(folder.clone());
    let path = folder.join("door");
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let lines = (0..LINES).map(|_| UnixStream::connect(&path)).collect::<io::Result<_>>();
    drop(folder_guard);
    let server = tiny_http::Server::from_listener(listener, None)
        .map_err(|error| Error::retry("start tiny_http", error))?;
    Ok((server, lines.map_err(failed)?))
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Heads on their way.
#[derive(Debug, Default)]
pub struct Line {
    heads: Mutex<Vec<u8>>,
    more: Notify,
}

impl Line {
    /// Hands on a head, with its ticket and the empty line.
    pub fn push(&self, head: &[u8], ticket: u64) {
        let mut heads = self.heads();
        heads.extend_from_slice(head);
        // Writing to memory cannot fail.
        let _ = io::Write::write_fmt(
            &mut *heads,
            format_args!("{}: {ticket}\r\n\r\n", super::head::TICKET),
        );
        drop(heads);
        self.more.notify_one();
    }

    /// Writes what is pushed, until the line breaks.
    pub async fn run(&self, line: UnixStream) -> io::Result<()> {
        line.set_nonblocking(true)?;
        let mut line = tokio::net::UnixStream::from_std(line)?;
        let (reader, mut writer) = line.split();
        let write = async {
            loop {
                self.more.notified().await;
                let heads = std::mem::take(&mut *self.heads());
                writer.write_all(&heads).await?;
            }
        };
        tokio::select! {
            written = write => written,
            // tiny_http says something only when it is about to leave.
            _ = reader.readable() => Err(io::Error::other("tiny_http has left the line")),
        }
    }

    fn heads(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
