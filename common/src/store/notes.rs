//! Strays at a system: customers of theirs that carry our stamp and are linked to nobody.

use rusqlite::{Connection, params};

use super::error::Doing;
use crate::error::Result;
use crate::record::Millis;

/// Notes a customer of theirs that carries our stamp and is linked to nobody. One that is gone
/// stays so.
pub(super) fn add(
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

/// Notes that it was deleted there: it counts no more, whatever its late events say.
pub(super) fn gone(conn: &Connection, system: &str, external_id: &str, now: Millis) -> Result<()> {
    let sql = "INSERT INTO notes (system, external_id, why, at, gone) VALUES (?1, ?2, ?3, ?4, 1)
               ON CONFLICT (system, external_id) DO UPDATE SET gone = 1";
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            statement.execute(params![system, external_id, "deleted there", now])
        })
        .doing("note that a duplicate is gone")?;
    Ok(())
}

/// It is one of ours now, or born here: no stray any more.
pub(super) fn remove(conn: &Connection, system: &str, external_id: &str) -> Result<()> {
    conn.prepare_cached("DELETE FROM notes WHERE system = ?1 AND external_id = ?2")
        .and_then(|mut statement| statement.execute([system, external_id]))
        .doing("take back a note")?;
    Ok(())
}
