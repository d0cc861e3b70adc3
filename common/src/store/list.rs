//! Lists of customers, a page at a time. A page starts where the last one ended, by key: what is
//! made or deleted in between neither repeats nor hides others.

use std::fmt::Write as _;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params_from_iter};

use super::cursor::Cursor;
use super::entries::{CUSTOMER_COLUMNS, Numbered, State, customer_of, with_systems};
use super::error::Doing;
use super::fold::fold;
use super::{meta, search};
use crate::error::{Error, Result};
use crate::record::Millis;
use crate::sync::Entry;

/// Customers read at once while all are streamed.
const STREAM_ROWS: usize = 200;

/// So many customers are looked at one by one, and sorted, within some 10 ms.
const FEW: usize = 4_000;

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

pub(super) fn list(conn: &Connection, query: &Query) -> Result<Page> {
    let mut entries = Vec::new();
    let next = list_each(conn, query, |entry| entries.push(entry))?;
    Ok(Page { entries, next })
}

/// Calls for each customer of a page, one after the other: as a whole they would take much memory.
pub(super) fn list_each(
    conn: &Connection,
    query: &Query,
    mut call: impl FnMut(Entry),
) -> Result<Option<Cursor>> {
    // One more than asked for tells whether there is a next page.
    let mut rows = rows(conn, query, query.limit.saturating_add(1))?;
    let more = rows.len() > query.limit;
    rows.truncate(query.limit);
    let next = rows.last().filter(|_| more).map(|(seq, customer)| Cursor {
        seq: *seq,
        updated_at: query.updated_since.map(|_| customer.updated_at),
    });
    for row in rows {
        call(with_systems(conn, row)?);
    }
    Ok(next)
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
    if let Some(asked) = short_search(query)
        && query.updated_since.is_none()
    {
        // Most short texts are in many customers, so the next few fill a page.
        let near = From::Near(query.after.as_ref().map_or(0, |after| after.seq));
        let rows = select(conn, query, &near, max)?;
        if rows.len() == max {
            return Ok(rows);
        }
        return searched(conn, query, asked, max);
    }
    match plan(conn, query)? {
        From::Search(asked) => searched(conn, query, asked, max),
        from => select(conn, query, &from, max),
    }
}

/// What the index is asked for a short text, if nothing else narrows the list down.
fn short_search(query: &Query) -> Option<String> {
    let q = fold(query.q.as_deref()?);
    let alone = query.email.is_none() && query.sync.is_none();
    if alone && search::is_short(&q) { search::asked(&q) } else { None }
}

/// Where to look for the customers of a list: where there are few that could be meant. Where all
/// filters leave many, the order of the list is followed, which soon fills a page.
fn plan(conn: &Connection, query: &Query) -> Result<From> {
    if query.email.is_some() {
        return Ok(From::Customers);
    }
    let q = query.q.as_deref().map(fold).filter(|q| !search::is_short(q));
    let asked = q.as_deref().and_then(search::asked);
    if let Some(asked) = &asked
        && search::count(conn, asked, FEW + 1)? <= FEW
    {
        return Ok(From::Search(asked.clone()));
    }
    let by_time = query.updated_since.is_some();
    if let Some((system, state)) = &query.sync {
        let there = meta::count(conn, state.as_str())?;
        let all = meta::count(conn, "customers")?;
        if there <= FEW as u64 || !by_time && (asked.is_none() || there < all / 10) {
            return Ok(From::Sync(system.clone(), *state));
        }
    }
    Ok(match asked {
        Some(asked) if !by_time => From::Search(asked),
        Some(_) | None => From::Customers,
    })
}

/// What the index names, and what it does not know yet.
fn searched(conn: &Connection, query: &Query, asked: String, max: usize) -> Result<Vec<Numbered>> {
    let mut rows = select(conn, query, &From::Search(asked), max)?;
    rows.extend(select(conn, query, &From::Stale, max)?);
    let by_time = query.updated_since.is_some();
    rows.sort_by_key(|(seq, customer)| (by_time.then_some(customer.updated_at), *seq));
    rows.dedup_by_key(|(seq, _)| *seq);
    rows.truncate(max);
    Ok(rows)
}

/// The table that a list walks along; the other filters look at each customer it comes by.
enum From {
    Customers,
    /// The customers made next after this one, a few thousand.
    Near(i64),
    /// Customers that stand so with a system.
    Sync(String, State),
    /// Customers that may have the text, as far as the index knows.
    Search(String),
    /// Customers that the index does not know yet.
    Stale,
}

fn select(conn: &Connection, query: &Query, from: &From, max: usize) -> Result<Vec<Numbered>> {
    let (sql, values) = statement(query, from, max)?;
    conn.prepare_cached(&sql)
        .and_then(|mut statement| {
            statement
                .query_map(params_from_iter(values), customer_of)?
                .collect::<rusqlite::Result<_>>()
        })
        .doing("list customers")
}

/// The statement for a query: few different texts, so that they stay prepared.
fn statement(query: &Query, from: &From, max: usize) -> Result<(String, Vec<SqlValue>)> {
    let mut wheres = String::new();
    let mut values: Vec<SqlValue> = Vec::new();
    let (table, seq) = match from {
        From::Customers => ("customers c", "c.seq"),
        From::Near(after) => {
            wheres.push_str(" AND c.seq <= ?");
            values.push((after + FEW as i64).into());
            ("customers c NOT INDEXED", "c.seq")
        }
        From::Sync(system, state) => {
            wheres.push_str(" AND f.system = ? AND f.state = ?");
            values.extend([SqlValue::from(system.clone()), state.as_str().to_owned().into()]);
            ("sync f CROSS JOIN customers c ON c.seq = f.customer", "f.customer")
        }
        From::Search(asked) => {
            wheres.push_str(" AND f.search MATCH ?");
            values.push(asked.clone().into());
            ("search f CROSS JOIN customers c ON c.seq = f.rowid", "f.rowid")
        }
        From::Stale => {
            ("search_stale f CROSS JOIN customers c ON c.seq = f.customer", "f.customer")
        }
    };
    if let Some((system, state)) = &query.sync
        && !matches!(from, From::Sync(..))
    {
        wheres.push_str(
            " AND EXISTS (SELECT 1 FROM sync s
                          WHERE s.customer = c.seq AND s.system = ? AND s.state = ?)",
        );
        values.extend([SqlValue::from(system.clone()), state.as_str().to_owned().into()]);
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
    match (&query.after, query.updated_since) {
        (None, _) => {}
        (Some(Cursor { seq: after, updated_at: Some(at) }), Some(_)) => {
            wheres.push_str(" AND (c.updated_at, c.seq) > (?, ?)");
            values.extend([SqlValue::from(*at), (*after).into()]);
        }
        (Some(Cursor { seq: after, updated_at: None }), None) => {
            let _ = write!(wheres, " AND {seq} > ?");
            values.push((*after).into());
        }
        (Some(_), Some(_) | None) => {
            return Err(Error::reject("read cursor", "it belongs to a list with other filters"));
        }
    }
    values.push((max as i64).into());
    let order = if query.updated_since.is_some() { "c.updated_at, c.seq" } else { seq };
    let sql = format!(
        "SELECT {CUSTOMER_COLUMNS} FROM {table} WHERE TRUE{wheres} ORDER BY {order} LIMIT ?"
    );
    Ok((sql, values))
}

#[cfg(test)]
mod tests;
