//! Finds text inside names and e-mails. An index of trigrams says which customers may have it,
//! the customer itself says whether it has. The index follows a little behind: what it does not
//! know yet stands in a list that every search looks through as well, so a search misses nothing.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::Doing;
use crate::error::Result;

/// The index knows pieces of so many characters; shorter texts are looked for without it.
const PIECE_CHARS: usize = 3;
/// Pieces of a text that are looked up; more would hardly leave fewer customers to look at.
const PIECES_MAX: usize = 12;

const OPERATION: &str = "bring the search index up to date";

/// What to ask the index for this (folded) text; `None` when it cannot help.
pub(super) fn pieces(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    if chars.contains(&'\0') {
        return None;
    }
    let pieces: Vec<String> = chars
        .windows(PIECE_CHARS)
        .take(PIECES_MAX)
        .map(|piece| format!("\"{}\"", piece.iter().collect::<String>().replace('"', "\"\"")))
        .collect();
    (!pieces.is_empty()).then(|| pieces.join(" AND "))
}

/// Is there a customer that the index does not know yet as it is?
pub(super) fn is_behind(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT 1 FROM search_stale LIMIT 1")
        .and_then(|mut statement| statement.exists([]))
        .doing(OPERATION)
}

/// Takes at most so many customers into the index.
pub(super) fn catch_up(conn: &Connection, max: usize) -> Result<()> {
    let stale: Vec<i64> = conn
        .prepare_cached("SELECT customer FROM search_stale ORDER BY customer LIMIT ?1")
        .and_then(|mut statement| {
            statement.query_map([max as i64], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        })
        .doing(OPERATION)?;
    for customer in stale {
        index(conn, customer).doing(OPERATION)?;
    }
    Ok(())
}

fn index(conn: &Connection, customer: i64) -> rusqlite::Result<()> {
    let text = conn
        .prepare_cached(
            "SELECT ifnull(name_folded, '') || char(10) || ifnull(email_folded, '')
             FROM customers WHERE seq = ?1 AND deleted = 0",
        )?
        .query_one([customer], |row| row.get::<_, String>(0))
        .optional()?;
    match text {
        Some(text) => conn
            .prepare_cached("INSERT OR REPLACE INTO search (rowid, text) VALUES (?1, ?2)")?
            .execute(params![customer, text])?,
        None => conn.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([customer])?,
    };
    conn.prepare_cached("DELETE FROM search_stale WHERE customer = ?1")?.execute([customer])?;
    Ok(())
}
