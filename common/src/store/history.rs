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

/// Which part of a history, and from where on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum From {
    /// Those above this version, oldest first.
    After(u64),
    /// Those below this version, newest first.
    Before(u64),
}

pub(super) fn history(
    conn: &Connection,
    customer: &str,
    from: From,
    max: usize,
) -> Result<Vec<Version>> {
    let (bound, rest) = match from {
        From::After(version) => (version, "version > ?2 ORDER BY version"),
        From::Before(version) => (version, "version < ?2 ORDER BY version DESC"),
    };
    let sql = format!(
        "SELECT version, origin, at, changed, event FROM history
         WHERE customer = (SELECT seq FROM customers WHERE id = ?1) AND {rest} LIMIT ?3"
    );
    let version_of = |row: &Row| {
        Ok(Version {
            version: number(row, 0)?,
            origin: row.get(1)?,
            at: row.get(2)?,
            changed: json_of(row, 3)?.unwrap_or_default(),
            event_id: row.get(4)?,
        })
    };
    conn.prepare_cached(&sql)
        .and_then(|mut statement| {
            statement
                .query_map(params![customer, bound as i64, max as i64], version_of)?
                .collect::<rusqlite::Result<_>>()
        })
        .doing("read the history")
}
