//! Connections that read the catalog, kept open for the next request. A stream holds none while
//! its client is slow.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use common::error::Result;
use common::store::Store;

/// Connections kept open while nobody reads. More are opened when more requests read at once.
const READERS_IDLE_MAX: usize = 4;

#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Store>>,
}

impl Readers {
    pub fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()) }
    }

    /// Reads with one of the connections. After an error it is not used again.
    pub fn read<T>(&self, work: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Store::open_reader(&self.path)?,
        };
        let done = work(&reader)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < READERS_IDLE_MAX {
            idle.push(reader);
        }
        Ok(done)
    }
}
