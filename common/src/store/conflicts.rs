//! What people may want to look into: conflicts, the history of a customer, strays at a system.

use rusqlite::{Connection, Row, params};

use super::entries::{json, json_of, number};
use super::error::Doing;
use crate::error::Result;
use crate::record::{Address, Field, Millis, Seconds, Value};
use crate::sync::Conflict;

/// A conflict as it was noted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotedConflict {
    pub id: i64,
    pub system: String,
    pub conflict: Conflict,
    /// When our value was set, as far as the history tells.
    pub ours_at: Option<Millis>,
    pub noted_at: Millis,
}

/// One version of a customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version {
    pub version: u64,
    /// Who made it.
    pub origin: String,
    pub at: Millis,
    pub changed: Vec<Field>,
    pub event_id: String,
}

pub(super) fn add(
    conn: &Connection,
    customer: &str,
    system: &str,
    conflict: &Conflict,
    now: Millis,
) -> Result<()> {
    let sql = "INSERT INTO conflicts (customer, system, field, ours, ours_version, ours_at,
                   theirs, theirs_at, noted_at)
               SELECT c.seq, ?2, ?3, ?4, ?5, h.at, ?6, ?7, ?8
               FROM customers c
               LEFT JOIN history h ON h.customer = c.seq AND h.version = ?5
               WHERE c.id = ?1";
    let row = params![
        customer,
        system,
        conflict.field.to_string(),
        conflict.ours.as_ref().map(json).transpose()?,
        conflict.ours_version as i64,
        conflict.theirs.as_ref().map(json).transpose()?,
        conflict.theirs_at as Seconds,
        now,
    ];
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute(row))
        .doing("note a conflict")?;
    Ok(())
}

/// Marks a conflict as settled. False when it is unknown or was settled before.
pub(super) fn settle(conn: &Connection, id: i64, now: Millis) -> Result<bool> {
    let sql = "UPDATE conflicts SET settled_at = ?2 WHERE id = ?1 AND settled_at IS NULL";
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params![id, now]))
        .map(|rows| rows == 1)
        .doing("settle a conflict")
}

pub(super) fn open_of(conn: &Connection, customer: &str) -> Result<Vec<NotedConflict>> {
    let sql = "SELECT id, system, field, ours, ours_version, ours_at, theirs, theirs_at, noted_at
               FROM conflicts
               WHERE customer = (SELECT seq FROM customers WHERE id = ?1) AND settled_at IS NULL
               ORDER BY id";
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            statement.query_map([customer], conflict_of)?.collect::<rusqlite::Result<_>>()
        })
        .doing("read conflicts")
}

fn conflict_of(row: &Row) -> rusqlite::Result<NotedConflict> {
    let field = row.get::<_, String>(2)?.parse::<Field>().map_err(|why| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, why.into())
    })?;
    let conflict = Conflict {
        field,
        ours: value_of(row, 3)?,
        ours_version: number(row, 4)?,
        theirs: value_of(row, 6)?,
        theirs_at: row.get(7)?,
    };
    Ok(NotedConflict {
        id: row.get(0)?,
        system: row.get(1)?,
        conflict,
        ours_at: row.get(5)?,
        noted_at: row.get(8)?,
    })
}

fn value_of(row: &Row, index: usize) -> rusqlite::Result<Option<Value>> {
    Ok(json_of::<serde_json::Value>(row, index)?.map(|json| match json {
        serde_json::Value::String(text) => Value::Text(text),
        other => Value::Address(Address::from_json(&other)),
    }))
}

pub(super) fn history(
    conn: &Connection,
    customer: &str,
    after: u64,
    max: usize,
) -> Result<Vec<Version>> {
    let sql = "SELECT version, origin, at, changed, event FROM history
               WHERE customer = (SELECT seq FROM customers WHERE id = ?1) AND version > ?2
               ORDER BY version LIMIT ?3";
    let version_of = |row: &Row| {
        Ok(Version {
            version: number(row, 0)?,
            origin: row.get(1)?,
            at: row.get(2)?,
            changed: json_of(row, 3)?.unwrap_or_default(),
            event_id: row.get(4)?,
        })
    };
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            statement
                .query_map(params![customer, after as i64, max as i64], version_of)?
                .collect::<rusqlite::Result<_>>()
        })
        .doing("read the history")
}

/// Notes a customer of theirs that carries our stamp and is linked to nobody.
pub(super) fn note(
    conn: &Connection,
    system: &str,
    external_id: &str,
    catalog_id: Option<&str>,
    why: &str,
    now: Millis,
) -> Result<()> {
    let sql = "INSERT INTO notes (system, external_id, catalog_id, why, at)
               VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (system, external_id) DO UPDATE SET
                   catalog_id = excluded.catalog_id, why = excluded.why, at = excluded.at";
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            statement.execute(params![system, external_id, catalog_id, why, now])
        })
        .doing("note a duplicate")?;
    Ok(())
}
