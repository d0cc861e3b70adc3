//! The catalog's SQLite file: customers, how they stand with each system, outbox and inbox.
//!
//! Only this module knows SQL. It never decides anything about customers: the rules do, on an
//! [`Entry`](crate::sync::Entry) loaded and saved in one transaction. It never waits for a network
//! inside a transaction, and what it has answered `Ok` to survives a power failure.
//!
//! All calls block; whoever must not block makes them on a thread of their own. Two programs may
//! have the file open: one writes at a time, and each yields to the other between transactions.

mod conflicts;
mod cursor;
mod entries;
mod error;
mod fold;
mod history;
mod list;
mod meta;
mod migrate;
mod notes;
mod open;
mod outbox;
mod remembered;
mod search;
mod shapes;
mod tx;
mod writer;

use std::fmt;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

pub use conflicts::{ConflictQuery, NotedConflict};
pub use cursor::Cursor;
pub use entries::State;
pub use history::{From as HistoryFrom, Version};
pub use list::{Page, Query};
pub use meta::Counts;
pub use open::database_path;
pub use outbox::OutboxRow;
pub use remembered::Remembered;
pub use tx::Tx;
pub use writer::{Started, WRITES_PER_COMMIT_MAX, Writer};

use self::error::Doing;
use crate::error::Result;
use crate::record::Millis;
use crate::sync::Entry;

/// One connection to the catalog's file.
pub struct Store {
    conn: Connection,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.conn.path()).finish()
    }
}

impl Store {
    /// Opens the file to read and write; makes it when it is not there, and brings its tables up
    /// to date.
    pub fn open(path: &Path) -> Result<Self> {
        let mut conn = open::writer(path)?;
        migrate::migrate(&mut conn)?;
        Ok(Self { conn })
    }

    /// Opens a file that [`Store::open`] made, only to read.
    pub fn open_reader(path: &Path) -> Result<Self> {
        Ok(Self { conn: open::reader(path)? })
    }

    /// Does the work in one transaction. When this returns `Ok` it is durable; when the work
    /// fails, nothing of it happened.
    pub fn write<T>(&mut self, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        let transaction = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("begin to write to the database")?;
        let done = work(&Tx::new(&transaction))?;
        transaction.commit().doing("commit to the database")?;
        Ok(done)
    }

    /// The customer of this id, tombstones too.
    pub fn entry(&self, id: &str) -> Result<Option<Entry>> {
        entries::by_id(&self.conn, id)
    }

    /// The customer linked to this one of theirs, tombstones too.
    pub fn entry_by_external(&self, system: &str, external_id: &str) -> Result<Option<Entry>> {
        entries::by_external(&self.conn, system, external_id)
    }

    /// One page of customers. Those made after the first page was asked for come at the end.
    pub fn list(&self, query: &Query) -> Result<Page> {
        list::list(&self.conn, query)
    }

    /// The same, one customer after the other; says where the next page begins, if there is one.
    pub fn list_each(&self, query: &Query, call: impl FnMut(Entry)) -> Result<Option<Cursor>> {
        list::list_each(&self.conn, query, call)
    }

    /// Calls for each customer that a list without a limit would have, in constant memory. It
    /// holds no lock while the caller works: what is changed meanwhile shows as changed.
    pub fn for_each(&self, query: &Query, call: impl FnMut(Entry) -> Result<()>) -> Result<()> {
        list::for_each(&self.conn, query, call)
    }

    /// The oldest rows of the outbox after this number, at most so many.
    pub fn outbox_after(&self, seq: i64, max: usize) -> Result<Vec<OutboxRow>> {
        outbox::after(&self.conn, seq, max)
    }

    /// The number of the newest row there ever was in the outbox; 0 before the first.
    pub fn outbox_last(&self) -> Result<i64> {
        outbox::last(&self.conn)
    }

    /// How many rows wait in the outbox.
    pub fn outbox_len(&self) -> Result<u64> {
        meta::count(&self.conn, "outbox")
    }

    /// Customers with something pending and no error, by creation, after the one of this id.
    pub fn wanting(&self, system: &str, after: Option<&str>, max: usize) -> Result<Vec<String>> {
        entries::wanting(&self.conn, system, after, max)
    }

    /// Customers whose repeat is due, the longest waiting first.
    pub fn due(&self, system: &str, now: Millis, max: usize) -> Result<Vec<String>> {
        entries::due(&self.conn, system, now, max)
    }

    /// The versions of a customer: who made them, which fields.
    pub fn history(&self, id: &str, from: HistoryFrom, max: usize) -> Result<Vec<Version>> {
        history::history(&self.conn, id, from, max)
    }

    /// Conflicts, oldest first.
    pub fn conflicts(&self, query: &ConflictQuery) -> Result<Vec<NotedConflict>> {
        conflicts::list(&self.conn, query)
    }

    /// Are there customers that the search index does not know yet? Searches find them all the
    /// same, only slower.
    pub fn search_is_behind(&self) -> Result<bool> {
        search::is_behind(&self.conn)
    }

    /// The remembered answer to this Idempotency-Key.
    pub fn recall(&self, key: &str) -> Result<Option<Remembered>> {
        remembered::recall(&self.conn, key)
    }

    /// Another number than before: another connection has committed something.
    pub fn data_version(&self) -> Result<i64> {
        self.conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_one([], |row| row.get(0)))
            .doing("look for changes in the database")
    }

    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        meta::get(&self.conn, key)
    }

    /// How much there is of what people watch; cheap enough for every look at the metrics.
    pub fn counts(&self) -> Result<Counts> {
        meta::counts(&self.conn)
    }
}

#[cfg(test)]
mod tests;
