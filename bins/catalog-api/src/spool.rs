//! What one thread writes and another reads, without the first ever waiting for the second: what
//! is not read soon goes from memory to a nameless file, which ends with the process or before.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that wait in memory; more go to the file.
const MEMORY_BYTES_MAX: usize = 256 * 1024;

/// The end that is written to. Dropped, it ends what the other one reads.
#[derive(Debug)]
pub struct Spool(Arc<Shared>);

/// The end that is read from. Dropped, it fails the other one's writes.
#[derive(Debug)]
pub struct Unspool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    memory: VecDeque<u8>,
    /// What came after all that is in memory.
    file: Option<File>,
    file_written: u64,
    file_read: u64,
    /// Nothing more will be written.
    ended: bool,
    /// Nobody reads any more.
    left: bool,
    broken: Option<ErrorKind>,
}

/// A spool whose file, should it need one, is made in this folder.
pub fn in_folder(folder: &Path) -> (Spool, Unspool) {
    let (state, more) = (Mutex::default(), Condvar::new());
    let shared = Arc::new(Shared { folder: folder.to_owned(), state, more });
    (Spool(Arc::clone(&shared)), Unspool(shared))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    /// Never waits for the reader.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut state = self.0.state();
        if state.left {
            return Err(Error::from(ErrorKind::BrokenPipe));
        }
        let written = state.write(bytes, &self.0.folder);
        state.broken = written.as_ref().err().map(Error::kind);
        self.0.more.notify_one();
        written
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.more.notify_one();
    }
}

impl State {
    fn write(&mut self, bytes: &[u8], folder: &Path) -> Result<()> {
        let in_order = self.file_read == self.file_written;
        if in_order && self.memory.len() + bytes.len() <= MEMORY_BYTES_MAX {
            self.memory.extend(bytes);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(folder)?),
        };
        file.seek(SeekFrom::Start(self.file_written))?;
        file.write_all(bytes)?;
        self.file_written += bytes.len() as u64;
        Ok(())
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if !self.memory.is_empty() {
            return self.memory.read(out);
        }
        let left = self.file_written - self.file_read;
        let Some(file) = self.file.as_mut().filter(|_| left > 0) else { return Ok(0) };
        file.seek(SeekFrom::Start(self.file_read))?;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let length = file.read(&mut out[..length])?;
        self.file_read += length as u64;
        if self.file_read == self.file_written {
            // All of it was read: its room is given back.
            file.set_len(0)?;
            (self.file_read, self.file_written) = (0, 0);
        }
        Ok(length)
    }
}

impl Read for Unspool {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut state = self.0.state();
        loop {
            let length = state.read(out)?;
            if length > 0 || out.is_empty() {
                return Ok(length);
            }
            if let Some(kind) = state.broken {
                return Err(Error::from(kind));
            }
            if state.ended {
                return Ok(0);
            }
            state = self.0.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Unspool {
    fn drop(&mut self) {
        self.0.state().left = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_comes_out_in_order_however_late_it_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let (spool, mut results) = in_folder(folder.path());
        let piece = |n: u32| n.to_be_bytes().repeat(10_000);
        let (mut expected, mut seen) = (Vec::new(), Vec::new());
        let mut out = vec![0; 70_001];
        for n in 0..60 {
            spool.write(&piece(n)).expect("writes");
            expected.extend(piece(n));
            // Slower than it is written, then faster, then slower again.
            for _ in 0..[0, 3][n as usize / 20 % 2] {
                if seen.len() < expected.len() {
                    let length = results.read(&mut out).expect("reads");
                    seen.extend_from_slice(&out[..length]);
                }
            }
        }
        drop(spool);
        results.read_to_end(&mut seen).expect("reads");
        assert!(seen == expected);
        let left = std::fs::read_dir(folder.path()).expect("reads").count();
        assert_eq!(left, 0, "the file has a name");
    }

    #[test]
    fn a_reader_waits_for_more_and_a_writer_learns_that_nobody_reads() {
        let folder = tempfile::tempdir().expect("a folder");
        let (spool, mut results) = in_folder(folder.path());
        let reader = std::thread::spawn(move || {
            let mut out = [0; 5];
            results.read_exact(&mut out).expect("reads");
            out
        });
        spool.write(b"he").expect("writes");
        spool.write(b"llo").expect("writes");
        assert_eq!(&reader.join().expect("ends"), b"hello");
        assert_eq!(spool.write(b"x").expect_err("nobody").kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn without_room_both_ends_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (spool, mut results) = in_folder(&folder.path().join("gone"));
        spool.write(b"early").expect("fits");
        spool.write(&vec![0; MEMORY_BYTES_MAX]).expect_err("no folder");
        let mut out = Vec::new();
        assert!(results.read_to_end(&mut out).is_err());
        assert_eq!(out, b"early");
    }
}
