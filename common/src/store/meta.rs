//! Small facts by name, and how much there is of everything.

use rusqlite::{Connection, OptionalExtension};

use super::error::Doing;
use crate::error::Result;
use crate::record::Millis;

/// What the metrics show of the store.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Live ones.
    pub customers: u64,
    /// Pairs of customer and system, by how they stand.
    pub pending: u64,
    pub synced: u64,
    pub failed: u64,
    /// Changes not published yet, and when the oldest of them was made.
    pub outbox: u64,
    pub outbox_oldest_at: Option<Millis>,
    pub doubts: u64,
    pub conflicts_open: u64,
    pub duplicates: u64,
}

/// Counts the index of those that are here, which are few; of those gone there may be many.
pub(super) const DUPLICATES: &str = "SELECT count(*) FROM notes WHERE gone = 0";

pub(super) fn count(conn: &Connection, name: &str) -> Result<u64> {
    conn.prepare_cached("SELECT value FROM counts WHERE name = ?1")
        .and_then(|mut statement| statement.query_one([name], |row| super::entries::number(row, 0)))
        .doing("count in the database")
}

pub(super) fn counts(conn: &Connection) -> Result<Counts> {
    let number = |sql: &str| {
        conn.prepare_cached(sql)
            .and_then(|mut statement| {
                statement.query_one([], |row| super::entries::number(row, 0)).optional()
            })
            .doing("count in the database")
    };
    let oldest = number("SELECT at FROM outbox ORDER BY seq LIMIT 1")?;
    Ok(Counts {
        customers: count(conn, "customers")?,
        pending: count(conn, "pending")?,
        synced: count(conn, "synced")?,
        failed: count(conn, "failed")?,
        outbox: count(conn, "outbox")?,
        outbox_oldest_at: oldest.map(|at| at as Millis),
        // Few, since people look at them; each has a small index of its own.
        doubts: number("SELECT count(*) FROM sync WHERE doubt IS NOT NULL")?.unwrap_or(0),
        conflicts_open: number("SELECT count(*) FROM conflicts WHERE settled_at IS NULL")?
            .unwrap_or(0),
        duplicates: number(DUPLICATES)?.unwrap_or(0),
    })
}

pub(super) fn get(conn: &Connection, key: &str) -> Result<Option<String>> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")
        .and_then(|mut statement| statement.query_one([key], |row| row.get(0)).optional())
        .doing("read from the database")
}

pub(super) fn set(conn: &Connection, key: &str, value: &str) -> Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute([key, value]))
        .doing("write to the database")?;
    Ok(())
}
