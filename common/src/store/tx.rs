//! What can be done inside one transaction: all of it happens, or nothing.

use std::fmt;

use rusqlite::Connection;

use super::remembered::Remembered;
use super::{NotedConflict, conflicts, entries, meta, notes, outbox, remembered, search};
use crate::error::Result;
use crate::record::{Change, Millis};
use crate::sync::{Conflict, Entry};

/// The note that the catalog was restored from a backup.
const RESTORED: &str = "restored";

/// A transaction under way, begun as the one writer.
pub struct Tx<'c> {
    conn: &'c Connection,
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

impl<'c> Tx<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self { conn }
    }

    /// The customer of this id, tombstones too.
    pub fn entry(&self, id: &str) -> Result<Option<Entry>> {
        entries::by_id(self.conn, id)
    }

    /// The customer linked to this one of theirs, tombstones too.
    pub fn entry_by_external(&self, system: &str, external_id: &str) -> Result<Option<Entry>> {
        entries::by_external(self.conn, system, external_id)
    }

    /// Makes or replaces a customer. It must have been loaded in this very transaction.
    pub fn save(&self, entry: &Entry) -> Result<()> {
        entries::save(self.conn, entry)
    }

    /// The catalog was restored from a backup: versions go on far above all that it may have made
    /// since. Says how many customers there are. From then on it takes back what it lost.
    pub fn leap(&self) -> Result<usize> {
        meta::set(self.conn, RESTORED, "yes")?;
        entries::leap(self.conn)
    }

    /// Was it ever restored from a backup, as far as it was told?
    pub fn was_restored(&self) -> Result<bool> {
        Ok(meta::get(self.conn, RESTORED)?.is_some())
    }

    /// Puts a change into the outbox, and into the history unless it was announced before. The
    /// customer is saved first.
    pub fn announce(&self, change: &Change) -> Result<()> {
        outbox::announce(self.conn, change)
    }

    /// Does a change of this customer wait in the outbox behind row `seq`? Meant for few such rows.
    pub fn outbox_waits_after(&self, seq: i64, customer: &str) -> Result<bool> {
        outbox::waits_after(self.conn, seq, customer)
    }

    /// These rows of the outbox are durable where they went.
    pub fn outbox_delivered(&self, seqs: &[i64]) -> Result<()> {
        outbox::delivered(self.conn, seqs)
    }

    pub fn inbox_seen(&self, event_id: &str) -> Result<bool> {
        outbox::inbox_seen(self.conn, event_id)
    }

    pub fn inbox_add(&self, event_id: &str, now: Millis) -> Result<()> {
        outbox::inbox_add(self.conn, event_id, now)
    }

    /// Forgets at most so many events seen before this time; says how many it forgot.
    pub fn inbox_prune(&self, before: Millis, max: usize) -> Result<usize> {
        outbox::inbox_prune(self.conn, before, max)
    }

    pub fn conflict_add(
        &self,
        customer: &str,
        system: &str,
        conflict: &Conflict,
        now: Millis,
    ) -> Result<()> {
        conflicts::add(self.conn, customer, system, conflict, now)
    }

    /// This conflict of this customer, settled or not.
    pub fn conflict(&self, customer: &str, id: i64) -> Result<Option<NotedConflict>> {
        conflicts::one(self.conn, customer, id)
    }

    /// Marks a conflict as settled. False when it is unknown or was settled before.
    pub fn conflict_settle(&self, id: i64, now: Millis) -> Result<bool> {
        conflicts::settle(self.conn, id, now)
    }

    /// Notes a customer of theirs that carries our stamp and is linked to nobody.
    pub fn note(
        &self,
        system: &str,
        external_id: &str,
        catalog_id: Option<&str>,
        why: &str,
        now: Millis,
    ) -> Result<()> {
        notes::add(self.conn, system, external_id, catalog_id, why, now)
    }

    /// Notes that such a customer was deleted there.
    pub fn note_gone(&self, system: &str, external_id: &str, now: Millis) -> Result<()> {
        notes::gone(self.conn, system, external_id, now)
    }

    /// Takes the note back: the customer is linked now, or born here.
    pub fn note_remove(&self, system: &str, external_id: &str) -> Result<()> {
        notes::remove(self.conn, system, external_id)
    }

    /// Customers whose repeat is due, the longest waiting first.
    pub fn due(&self, system: &str, now: Millis, max: usize) -> Result<Vec<String>> {
        entries::due(self.conn, system, now, max)
    }

    /// Customers with something pending and no error, by creation, after the one of this id.
    pub fn wanting(&self, system: &str, after: Option<&str>, max: usize) -> Result<Vec<String>> {
        entries::wanting(self.conn, system, after, max)
    }

    /// Takes at most so many changed customers into the search index. [`super::Writer`] does it
    /// whenever nothing else is to be written; a search is right without it, only slower.
    pub fn search_catch_up(&self, max: usize) -> Result<()> {
        search::catch_up(self.conn, max)
    }

    /// Remembers the answer to an Idempotency-Key, in place of any before.
    pub fn remember(&self, key: &str, answer: &Remembered) -> Result<()> {
        remembered::remember(self.conn, key, answer)
    }

    pub fn recall(&self, key: &str) -> Result<Option<Remembered>> {
        remembered::recall(self.conn, key)
    }

    /// Forgets at most so many answers given before this time; says how many it forgot.
    pub fn forget_remembered(&self, before: Millis, max: usize) -> Result<usize> {
        remembered::forget(self.conn, before, max)
    }

    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        meta::get(self.conn, key)
    }

    pub fn meta_set(&self, key: &str, value: &str) -> Result<()> {
        meta::set(self.conn, key, value)
    }
}
