//! Answers of the API by Idempotency-Key, written with what they answer for.

use rusqlite::{Connection, OptionalExtension, params};

use super::entries::json;
use super::error::Doing;
use crate::error::Result;
use crate::record::Millis;

/// An answer that was given, and to what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remembered {
    /// Of method, path and body: the same key with another one is refused.
    pub fingerprint: Vec<u8>,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub created_at: Millis,
}

pub(super) fn remember(conn: &Connection, key: &str, answer: &Remembered) -> Result<()> {
    let sql = "INSERT INTO answers (key, fingerprint, status, headers, body, created_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint,
                   status = excluded.status, headers = excluded.headers, body = excluded.body,
                   created_at = excluded.created_at";
    let headers = json(&answer.headers)?;
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            statement.execute(params![
                key,
                answer.fingerprint,
                answer.status,
                headers,
                answer.body,
                answer.created_at
            ])
        })
        .doing("remember an answer")?;
    Ok(())
}

pub(super) fn recall(conn: &Connection, key: &str) -> Result<Option<Remembered>> {
    let sql = "SELECT fingerprint, status, headers, body, created_at FROM answers WHERE key = ?1";
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            statement
                .query_one([key], |row| {
                    Ok(Remembered {
                        fingerprint: row.get(0)?,
                        status: row.get(1)?,
                        headers: super::entries::json_of(row, 2)?.unwrap_or_default(),
                        body: row.get(3)?,
                        created_at: row.get(4)?,
                    })
                })
                .optional()
        })
        .doing("recall an answer")
}

pub(super) fn forget(conn: &Connection, before: Millis, max: usize) -> Result<usize> {
    let sql = "DELETE FROM answers WHERE key IN
                   (SELECT key FROM answers WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)";
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params![before, max as i64]))
        .doing("forget old answers")
}
