//! Lists of customers, a page at a time. A page starts where the last one ended, by key: what is
//! made or deleted in between neither repeats nor hides others.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params_from_iter};

use super::entries::{CUSTOMER_COLUMNS, Numbered, State, customer_of, fold, with_systems};
use super::error::Doing;
use crate::error::{Error, Result};
use crate::record::Millis;
use crate::sync::Entry;

/// Customers read at once while all are streamed.
const STREAM_ROWS: usize = 200;

/// Which customers, and how many.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// At most so many on a page; 0 is none.
    pub limit: usize,
    /// Where the page before this one ended.
    pub after: Option<Cursor>,
    /// Exactly this e-mail, whatever the case.
    pub email: Option<String>,
    /// Name or e-mail contains this, whatever the case.
    pub q: Option<String>,
    /// Changed at this time or later. Such a list goes by time of change, all others by creation.
    pub updated_since: Option<Millis>,
    /// Standing so with this system.
    pub sync: Option<(String, State)>,
    /// Tombstones too.
    pub deleted: bool,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Cursor>,
}

/// Where a page ended. Text to others, who only hand it back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor {
    seq: i64,
    /// Set in lists that go by time of change.
    updated_at: Option<Millis>,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.updated_at {
            None => write!(f, "s{:x}", self.seq),
            Some(at) => write!(f, "u{at:x}-{:x}", self.seq),
        }
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |hex: &str| {
            let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            i64::from_str_radix(hex, 16).ok().filter(|_| digits)
        };
        let parsed = if let Some(seq) = text.strip_prefix('s') {
            number(seq).map(|seq| Self { seq, updated_at: None })
        } else if let Some((at, seq)) = text.strip_prefix('u').and_then(|u| u.split_once('-')) {
            number(at).zip(number(seq)).map(|(at, seq)| Self { seq, updated_at: Some(at) })
        } else {
            None
        };
        parsed.ok_or_else(|| Error::reject("read cursor", "not one that this catalog gave out"))
    }
}

pub(super) fn list(conn: &Connection, query: &Query) -> Result<Page> {
    // One more than asked for tells whether there is a next page.
    let mut rows = rows(conn, query, query.limit.saturating_add(1))?;
    let more = rows.len() > query.limit;
    rows.truncate(query.limit);
    let next = rows.last().filter(|_| more).map(|(seq, customer)| Cursor {
        seq: *seq,
        updated_at: query.updated_since.map(|_| customer.updated_at),
    });
    let entries = rows.into_iter().map(|row| with_systems(conn, row)).collect::<Result<_>>()?;
    Ok(Page { entries, next })
}

pub(super) fn for_each(
    conn: &Connection,
    query: &Query,
    mut call: impl FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let mut query = Query { limit: STREAM_ROWS, ..query.clone() };
    loop {
        let page = list(conn, &query)?;
        for entry in page.entries {
            call(entry)?;
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(());
        }
    }
}

fn rows(conn: &Connection, query: &Query, max: usize) -> Result<Vec<Numbered>> {
    let (sql, values) = statement(query, max)?;
    conn.prepare_cached(&sql)
        .and_then(|mut statement| {
            statement
                .query_map(params_from_iter(values), customer_of)?
                .collect::<rusqlite::Result<_>>()
        })
        .doing("list customers")
}

/// The statement for a query: few different texts, so that they stay prepared.
fn statement(query: &Query, max: usize) -> Result<(String, Vec<SqlValue>)> {
    let mut from = "customers c";
    let mut seq = "c.seq";
    let mut wheres = String::from("1");
    let mut values: Vec<SqlValue> = Vec::new();
    if let Some((system, state)) = &query.sync {
        values.push(system.clone().into());
        let unsettled = match state {
            // Few: walk them. The second condition is what the index is made of.
            State::Pending => "s.state = 'pending' AND s.state <> 'synced'",
            State::Failed => "s.state = 'failed' AND s.state <> 'synced'",
            State::Synced => "",
        };
        if unsettled.is_empty() {
            wheres.push_str(
                " AND EXISTS (SELECT 1 FROM sync s WHERE s.customer = c.seq AND s.system = ?
                              AND s.state = 'synced')",
            );
        } else {
            from = "sync s CROSS JOIN customers c ON c.seq = s.customer";
            seq = "s.customer";
            let _ = write!(wheres, " AND s.system = ? AND {unsettled}");
        }
    }
    if let Some(email) = &query.email {
        wheres.push_str(" AND c.email_folded = ?");
        values.push(fold(email).into());
    }
    if let Some(q) = query.q.as_deref().filter(|q| !q.is_empty()) {
        wheres.push_str(" AND (instr(c.name_folded, ?) > 0 OR instr(c.email_folded, ?) > 0)");
        values.extend([SqlValue::from(fold(q)), fold(q).into()]);
    }
    if !query.deleted {
        wheres.push_str(" AND c.deleted = 0");
    }
    if let Some(since) = query.updated_since {
        wheres.push_str(" AND c.updated_at >= ?");
        values.push(since.into());
    }
    let order = if query.updated_since.is_some() { "c.updated_at, c.seq" } else { seq };
    if let Some(after) = &query.after {
        match (after.updated_at, query.updated_since.is_some()) {
            (Some(at), true) => {
                wheres.push_str(" AND (c.updated_at, c.seq) > (?, ?)");
                values.extend([SqlValue::from(at), after.seq.into()]);
            }
            (None, false) => {
                let _ = write!(wheres, " AND {seq} > ?");
                values.push(after.seq.into());
            }
            (Some(_), false) | (None, true) => {
                return Err(Error::reject(
                    "read cursor",
                    "it belongs to a list with other filters",
                ));
            }
        }
    }
    values.push((max as i64).into());
    let sql =
        format!("SELECT {CUSTOMER_COLUMNS} FROM {from} WHERE {wheres} ORDER BY {order} LIMIT ?");
    Ok((sql, values))
}
