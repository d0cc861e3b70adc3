//! Conflicts: both values of a field that two people edited without knowing of each other, kept
//! until somebody settles which one counts.

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::entries::{json, json_of, number};
use super::error::Doing;
use super::shapes::value_from;
use crate::error::Result;
use crate::record::{Field, Millis, Seconds, Value};
use crate::sync::Conflict;

const READ: &str = "read conflicts";

/// A conflict as it was noted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotedConflict {
    pub id: i64,
    /// Whose it is.
    pub customer: String,
    pub system: String,
    pub conflict: Conflict,
    /// When our value was set, as far as the history tells.
    pub ours_at: Option<Millis>,
    pub noted_at: Millis,
    /// When somebody decided it; `None` while it is open.
    pub settled_at: Option<Millis>,
}

/// Which conflicts, oldest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ConflictQuery {
    /// Of this customer only, tombstones too.
    pub customer: Option<String>,
    /// Settled ones too.
    pub settled: bool,
    /// Those noted after the one of this id.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
}

/// Notes it, unless another sign of the same edit was noted. A listing or a GET may show an edit
/// before its event comes, under a newer stamp perhaps, and ours may have been edited once more in
/// between. Of a conflict that is settled only an edit made before that was known by whoever
/// settled it.
pub(super) fn add(
    conn: &Connection,
    customer: &str,
    system: &str,
    conflict: &Conflict,
    now: Millis,
) -> Result<()> {
    let sql = "INSERT INTO conflicts (customer, system, field, ours, ours_version, ours_at,
                   theirs, theirs_at, noted_at, theirs_stamp)
               SELECT c.seq, ?2, ?3, ?4, ?5, h.at, ?6, ?7, ?8, ?9
               FROM customers c
               LEFT JOIN history h ON h.customer = c.seq AND h.version = ?5
               WHERE c.id = ?1 AND NOT EXISTS (
                   SELECT 1 FROM conflicts
                   WHERE customer = c.seq AND system = ?2 AND field = ?3 AND theirs IS ?6
                       AND (ours_version = ?5 OR theirs_stamp >= ?9
                           AND (settled_at IS NULL OR settled_at >= ?7 * 1000)))";
    let row = params![
        customer,
        system,
        conflict.field.to_string(),
        conflict.ours.as_ref().map(json).transpose()?,
        conflict.ours_version as i64,
        conflict.theirs.as_ref().map(json).transpose()?,
        conflict.theirs_at as Seconds,
        now,
        conflict.theirs_stamp as i64,
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

/// What [`conflict_of`] reads, in its order.
const COLUMNS: &str = "f.id, c.id, f.system, f.field, f.ours, f.ours_version, f.ours_at, f.theirs, \
    f.theirs_at, f.noted_at, f.settled_at, f.theirs_stamp";

pub(super) fn list(conn: &Connection, query: &ConflictQuery) -> Result<Vec<NotedConflict>> {
    let mut values = vec![SqlValue::from(query.after), (query.limit as i64).into()];
    let (index, whose) = match &query.customer {
        Some(id) => {
            values.push(id.clone().into());
            let whose = " AND f.customer = (SELECT seq FROM customers WHERE id = ?3)";
            ("INDEXED BY conflicts_customer", whose)
        }
        // The settled ones pile up; the open ones have an index of their own.
        None if query.settled => ("NOT INDEXED", ""),
        None => ("INDEXED BY conflicts_open", ""),
    };
    let open = if query.settled { "" } else { " AND f.settled_at IS NULL" };
    let sql = format!(
        "SELECT {COLUMNS} FROM conflicts f {index} CROSS JOIN customers c ON c.seq = f.customer
         WHERE f.id > ?1{whose}{open} ORDER BY f.id LIMIT ?2"
    );
    conn.prepare_cached(&sql)
        .and_then(|mut statement| {
            let values = params_from_iter(values);
            statement.query_map(values, conflict_of)?.collect::<rusqlite::Result<_>>()
        })
        .doing(READ)
}

/// This conflict of this customer, settled or not.
pub(super) fn one(conn: &Connection, customer: &str, id: i64) -> Result<Option<NotedConflict>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM conflicts f CROSS JOIN customers c ON c.seq = f.customer
         WHERE f.id = ?1 AND c.id = ?2"
    );
    conn.prepare_cached(&sql)
        .and_then(|mut statement| {
            statement.query_one(params![id, customer], conflict_of).optional()
        })
        .doing(READ)
}

fn conflict_of(row: &Row) -> rusqlite::Result<NotedConflict> {
    let field = row.get::<_, String>(3)?.parse::<Field>().map_err(|why| {
        rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, why.into())
    })?;
    let conflict = Conflict {
        field,
        ours: value_of(row, 4)?,
        ours_version: number(row, 5)?,
        theirs: value_of(row, 7)?,
        theirs_at: row.get(8)?,
        theirs_stamp: number(row, 11)?,
    };
    Ok(NotedConflict {
        id: row.get(0)?,
        customer: row.get(1)?,
        system: row.get(2)?,
        conflict,
        ours_at: row.get(6)?,
        noted_at: row.get(9)?,
        settled_at: row.get(10)?,
    })
}

fn value_of(row: &Row, index: usize) -> rusqlite::Result<Option<Value>> {
    Ok(json_of::<serde_json::Value>(row, index)?.map(value_from))
}
