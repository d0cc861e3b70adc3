//! Brings the tables up to date: each migration once, in one transaction with its record. Forward
//! only; a migration that was ever released is never altered.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::error::Doing;
use crate::clock;
use crate::error::{Error, Result};

/// In order; the number of one is its place, from 1.
const MIGRATIONS: [(&str, &str); 5] = [
    ("0001_catalog", include_str!("../../../migrations/0001_catalog.sql")),
    (
        "0002_one_edit_one_conflict",
        include_str!("../../../migrations/0002_one_edit_one_conflict.sql"),
    ),
    (
        "0003_strays_that_are_gone",
        include_str!("../../../migrations/0003_strays_that_are_gone.sql"),
    ),
    ("0004_edits_in_doubt", include_str!("../../../migrations/0004_edits_in_doubt.sql")),
    (
        "0005_strays_that_are_here",
        include_str!("../../../migrations/0005_strays_that_are_here.sql"),
    ),
];

const OPERATION: &str = "bring the database up to date";

pub(super) fn migrate(conn: &mut Connection) -> Result<()> {
    apply(conn, &MIGRATIONS)
}

/// All in one transaction, begun as a writer: of two programs that start at once one waits.
fn apply(conn: &mut Connection, migrations: &[(&str, &str)]) -> Result<()> {
    let transaction =
        conn.transaction_with_behavior(TransactionBehavior::Immediate).doing(OPERATION)?;
    let known = recorded(&transaction)?;
    if known.len() > migrations.len() {
        let newest = &known[known.len() - 1].0;
        return Err(Error::fatal(OPERATION, format!("it has {newest:?}, unknown to this program"))
            .hint("a newer release has used this database: run that release, or a newer one"));
    }
    for (index, (name, sql)) in migrations.iter().enumerate() {
        let checksum = hex::encode(Sha256::digest(sql.as_bytes()));
        match known.get(index) {
            Some((was, sum)) if was == name && *sum == checksum => {}
            Some((was, _)) => {
                let cause = format!("migration {was:?} is not the {name:?} this program has");
                return Err(Error::fatal(OPERATION, cause).hint(
                    "this database was made by another build: run that build, or start with a \
                     new file",
                ));
            }
            None => {
                transaction.execute_batch(sql).doing(&format!("apply migration {name}"))?;
                transaction
                    .execute(
                        "INSERT INTO migrations (number, name, checksum, applied_at)
                         VALUES (?1, ?2, ?3, ?4)",
                        params![index as i64 + 1, name, checksum, clock::now_ms()],
                    )
                    .doing(OPERATION)?;
            }
        }
    }
    transaction.commit().doing(OPERATION)
}

/// Name and checksum of the migrations applied so far, in order.
fn recorded(transaction: &Transaction) -> Result<Vec<(String, String)>> {
    let count = |sql| transaction.query_one(sql, [], |row| row.get::<_, i64>(0)).doing(OPERATION);
    let ours = count("SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'")?;
    if ours == 0 {
        if count("SELECT count(*) FROM sqlite_schema")? > 0 {
            return Err(Error::fatal(OPERATION, "the file holds tables that are not a catalog's")
                .hint("DATABASE_URL must name the catalog's file, or one that is not there yet"));
        }
        transaction
            .execute_batch(
                "CREATE TABLE migrations (
                     number     INTEGER PRIMARY KEY,
                     name       TEXT    NOT NULL,
                     checksum   TEXT    NOT NULL,
                     applied_at INTEGER NOT NULL
                 ) STRICT",
            )
            .doing(OPERATION)?;
    }
    let mut statement = transaction
        .prepare("SELECT name, checksum FROM migrations ORDER BY number")
        .doing(OPERATION)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).doing(OPERATION)?;
    rows.collect::<rusqlite::Result<_>>().doing(OPERATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const ONE: (&str, &str) = ("0001_one", "CREATE TABLE one (a INTEGER) STRICT");
    const TWO: (&str, &str) = ("0002_two", "CREATE TABLE two (a INTEGER) STRICT");

    fn memory() -> Connection {
        Connection::open_in_memory().expect("opens")
    }

    fn tables(conn: &Connection) -> i64 {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name IN ('one', 'two')";
        conn.query_one(sql, [], |row| row.get(0)).expect("counts")
    }

    #[test]
    fn each_migration_is_applied_once() {
        let mut conn = memory();
        for (migrations, expected) in [(&[ONE][..], 1), (&[ONE, TWO], 2), (&[ONE, TWO], 2)] {
            apply(&mut conn, migrations).expect("applies");
            assert_eq!(tables(&conn), expected);
        }
    }

    #[test]
    fn an_altered_or_unknown_migration_is_fatal_and_changes_nothing() {
        let mut conn = memory();
        apply(&mut conn, &[ONE, TWO]).expect("applies");
        let altered = (TWO.0, "CREATE TABLE two (b INTEGER) STRICT");
        for migrations in [&[ONE][..], &[ONE, altered], &[TWO, ONE]] {
            let error = apply(&mut conn, migrations).expect_err("refuses");
            assert_eq!(error.kind, Kind::Fatal);
            assert!(error.hint.is_some());
        }
        apply(&mut conn, &[ONE, TWO]).expect("is as it was");
    }

    #[test]
    fn a_migration_that_fails_leaves_no_trace() {
        let mut conn = memory();
        let broken = ("0002_two", "CREATE TABLE two (a INTEGER) STRICT; SELECT nonsense");
        assert!(apply(&mut conn, &[ONE, broken]).is_err());
        assert_eq!(tables(&conn), 0);
        apply(&mut conn, &[ONE, TWO]).expect("applies");
    }

    #[test]
    fn somebody_elses_database_is_left_alone() {
        let mut conn = memory();
        conn.execute_batch("CREATE TABLE one (a)").expect("creates");
        let error = apply(&mut conn, &[ONE]).expect_err("refuses");
        assert_eq!(error.kind, Kind::Fatal);
    }
}
