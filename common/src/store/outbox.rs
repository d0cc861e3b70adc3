//! Outbox and inbox: what is to be published, and what was applied. Both change only in the
//! transaction of the change they belong to.

use rusqlite::{Connection, params};

use super::entries::json;
use super::error::Doing;
use crate::clock;
use crate::error::Result;
use crate::record::{Change, Millis};

/// A change that waits to be published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutboxRow {
    /// The order of publication, at least per customer.
    pub seq: i64,
    /// The record's key.
    pub customer: String,
    pub event_id: String,
    /// The record's value, without the line's end.
    pub line: Vec<u8>,
}

const ANNOUNCE: &str = "write to the outbox";

pub(super) fn announce(conn: &Connection, change: &Change) -> Result<()> {
    let at = clock::parse_rfc3339(&change.time).unwrap_or_else(clock::now_ms);
    conn.prepare_cached("INSERT INTO outbox (customer, event, at, line) VALUES (?1, ?2, ?3, ?4)")
        .and_then(|mut statement| {
            statement.execute(params![change.subject, change.id, at, change.to_line()])
        })
        .doing(ANNOUNCE)?;
    if change.data.systems.values().any(|part| part.again) {
        return Ok(());
    }
    // A version that is there was announced before: who made it does not change.
    let sql = "INSERT INTO history (customer, version, origin, at, changed, event)
               SELECT seq, ?2, ?3, ?4, ?5, ?6 FROM customers WHERE id = ?1
               ON CONFLICT (customer, version) DO NOTHING";
    let changed = json(&change.data.changed)?;
    let version = change.data.version as i64;
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            let origin = &change.data.origin;
            statement.execute(params![change.subject, version, origin, at, changed, change.id])
        })
        .doing("write to the history")?;
    Ok(())
}

pub(super) fn after(conn: &Connection, seq: i64, max: usize) -> Result<Vec<OutboxRow>> {
    let sql = "SELECT seq, customer, event, line FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            statement
                .query_map(params![seq, max as i64], |row| {
                    Ok(OutboxRow {
                        seq: row.get(0)?,
                        customer: row.get(1)?,
                        event_id: row.get(2)?,
                        line: row.get(3)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()
        })
        .doing("read the outbox")
}

/// The number of the newest row there ever was; 0 before the first.
pub(super) fn last(conn: &Connection) -> Result<i64> {
    let sql = "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'outbox'";
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.query_one([], |row| row.get(0)))
        .doing("read the outbox")
}

/// Does a change of this customer wait behind row `seq`? Looks through those rows one by one.
pub(super) fn waits_after(conn: &Connection, seq: i64, customer: &str) -> Result<bool> {
    conn.prepare_cached("SELECT 1 FROM outbox WHERE seq > ?1 AND customer = ?2")
        .and_then(|mut statement| statement.exists(params![seq, customer]))
        .doing("look into the outbox")
}

pub(super) fn delivered(conn: &Connection, seqs: &[i64]) -> Result<()> {
    let mut statement =
        conn.prepare_cached("DELETE FROM outbox WHERE seq = ?1").doing("empty the outbox")?;
    for seq in seqs {
        statement.execute([seq]).doing("empty the outbox")?;
    }
    Ok(())
}

pub(super) fn inbox_seen(conn: &Connection, event_id: &str) -> Result<bool> {
    conn.prepare_cached("SELECT 1 FROM inbox WHERE event = ?1")
        .and_then(|mut statement| statement.exists([event_id]))
        .doing("look into the inbox")
}

pub(super) fn inbox_add(conn: &Connection, event_id: &str, now: Millis) -> Result<()> {
    conn.prepare_cached("INSERT OR IGNORE INTO inbox (event, at) VALUES (?1, ?2)")
        .and_then(|mut statement| statement.execute(params![event_id, now]))
        .doing("write to the inbox")?;
    Ok(())
}

pub(super) fn inbox_prune(conn: &Connection, before: Millis, max: usize) -> Result<usize> {
    let sql = "DELETE FROM inbox WHERE event IN
                   (SELECT event FROM inbox WHERE at < ?1 ORDER BY at LIMIT ?2)";
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params![before, max as i64]))
        .doing("prune the inbox")
}
