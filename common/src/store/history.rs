//! The history of a customer: who made which version, and which fields it changed.

use rusqlite::{Connection, Row, params};

use super::entries::{json_of, number};
use super::error::Doing;
use crate::error::Result;
use crate::record::{Field, Millis};

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
