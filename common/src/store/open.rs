//! Opening the file: where it is, and how SQLite is told to treat it. It never makes a folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::{Doing, from_sql};
use crate::error::{Error, Result};

/// How long a write waits for the other program's before it gives up with a Retry.
pub const BUSY_WAIT_MS_MAX: u64 = 5_000;
/// How often it looks meanwhile. SQLite's own waiter backs off up to 100 ms and so would hardly
/// ever hit the short gap that a busy writer leaves to the others.
const BUSY_LOOK_MS: u64 = 1;
/// Pages a connection keeps in memory: few, since the system's own cache holds the file anyway.
const CACHE_KIB_MAX: i64 = 2_048;
/// The log is copied into the file when it has grown to so many pages of 4 KiB; at SQLite's
/// default of 1000 a busy writer would do little else.
const CHECKPOINT_PAGES: i64 = 10_000;
/// What the log's file is cut back to after it had to grow.
const LOG_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Prepared statements kept per connection: more than the store has.
const STATEMENTS_MAX: usize = 96;

const OPERATION: &str = "open the database";

/// The file that `DATABASE_URL` (or a flag) names: `sqlite:///./db.sqlite3`,
/// `sqlite:////absolute/path`, `sqlite:relative/path`, or a plain path.
pub fn database_path(url: &str) -> Result<PathBuf> {
    let bad = |cause: String| {
        Error::fatal("read DATABASE_URL", cause)
            .hint("give a path, as in DATABASE_URL=sqlite:///./db.sqlite3")
    };
    let url = url.trim();
    let path = match url.strip_prefix("sqlite:") {
        // The third slash ends the (empty) host: what follows is the path, as in SQLAlchemy.
        Some(rest) => {
            let rest = match rest.strip_prefix("//") {
                Some(rest) => rest.strip_prefix('/').unwrap_or(rest),
                None => rest,
            };
            if rest.contains(['?', '#']) {
                return Err(bad(format!("{rest:?}: parameters are not supported")));
            }
            percent_encoding::percent_decode_str(rest)
                .decode_utf8()
                .map_err(|e| bad(e.to_string()))?
                .into_owned()
        }
        None => match url.split_once("://") {
            Some((scheme, _)) => {
                return Err(bad(format!("{scheme:?} is not a database this program knows")));
            }
            None => url.to_owned(),
        },
    };
    if path.is_empty() || path.contains(":memory:") || path.contains('\0') {
        return Err(bad(format!("{path:?} is not the path of a file")));
    }
    Ok(PathBuf::from(path))
}

pub(super) fn writer(path: &Path) -> Result<Connection> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && !folder.is_dir()
    {
        return Err(Error::fatal(named(path), format!("no folder {}", folder.display()))
            .hint(format!("make it with: mkdir -p {}", folder.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).doing(&named(path))?;
    prepare(&mut conn).map_err(|error| from_sql(&named(path), &error))?;
    Ok(conn)
}

pub(super) fn reader(path: &Path) -> Result<Connection> {
    // Not read-only: a reader of a log of another program has to be able to recover it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).doing(&named(path))?;
    prepare(&mut conn)
        .and_then(|()| conn.pragma_update(None, "query_only", true))
        .map_err(|error| from_sql(&named(path), &error))?;
    Ok(conn)
}

fn named(path: &Path) -> String {
    format!("{OPERATION} {}", path.display())
}

fn prepare(conn: &mut Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.busy_handler(Some(wait_for_the_other))?;
    use_log(conn)?;
    // Durable at the commit, not some time after it: an answer given is a promise.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB_MAX)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
}

fn wait_for_the_other(looks: i32) -> bool {
    let waited_ms = u64::from(looks.unsigned_abs()) * BUSY_LOOK_MS;
    if waited_ms >= BUSY_WAIT_MS_MAX {
        return false;
    }
    std::thread::sleep(Duration::from_millis(BUSY_LOOK_MS));
    true
}

/// Turns the write-ahead log on, so that readers never wait for a writer. Two programs that do it
/// to a new file at once get "busy" without the handler being asked.
fn use_log(conn: &Connection) -> rusqlite::Result<()> {
    let mut looks = 0;
    loop {
        let mode = conn
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(_) => return Ok(()),
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && wait_for_the_other(looks) =>
            {
                looks += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Store;
    use super::super::tests::{create, folder};
    use super::*;
    use crate::error::Kind;

    #[test]
    fn every_way_to_write_a_path_is_understood() {
        let cases = [
            ("sqlite:///./db.sqlite3", "./db.sqlite3"),
            ("sqlite:///db.sqlite3", "db.sqlite3"),
            ("sqlite:////var/lib/a%20b.db", "/var/lib/a b.db"),
            ("sqlite:some/where.db", "some/where.db"),
            ("sqlite:/abs.db", "/abs.db"),
            ("./db.sqlite3", "./db.sqlite3"),
            (" /var/lib/100%.db ", "/var/lib/100%.db"),
        ];
        for (url, path) in cases {
            assert_eq!(database_path(url).expect(url), PathBuf::from(path), "{url}");
        }
    }

    #[test]
    fn what_is_no_file_is_refused_by_the_name_of_its_setting() {
        let refused = [
            "",
            "sqlite:",
            "sqlite:///",
            "postgres://localhost/db",
            "sqlite:///:memory:",
            ":memory:",
            "sqlite:///db?mode=ro",
            "sqlite:///%00",
        ];
        for url in refused {
            let error = database_path(url).expect_err(url);
            assert_eq!(error.kind, Kind::Fatal, "{url}");
            assert!(error.operation.contains("DATABASE_URL"), "{url}");
        }
    }

    #[test]
    fn a_missing_folder_is_named() {
        let (folder, _) = folder();
        let path = folder.path().join("no/such/db.sqlite3");
        let error = Store::open(&path).expect_err("refuses");
        assert_eq!(error.kind, Kind::Fatal);
        assert!(error.hint.expect("a hint").contains("mkdir -p"));
        assert!(!folder.path().join("no").exists());
    }

    #[test]
    fn a_file_that_is_no_database_is_fatal_and_kept() {
        let (_folder, path) = folder();
        let text = "this is a letter to somebody. ".repeat(100);
        fs::write(&path, &text).expect("writes");
        let error = Store::open(&path).expect_err("refuses");
        assert_eq!((error.kind, error.hint.is_some()), (Kind::Fatal, true));
        assert_eq!(fs::read_to_string(&path).expect("reads"), text);
    }

    #[test]
    fn a_reader_does_not_make_the_file() {
        let (_folder, path) = folder();
        assert_eq!(Store::open_reader(&path).expect_err("refuses").kind, Kind::Fatal);
        assert!(!path.exists());
    }

    #[test]
    fn many_may_open_a_new_file_at_once() {
        for _ in 0..5 {
            let (_folder, path) = folder();
            std::thread::scope(|scope| {
                let opened: Vec<_> =
                    (0..8).map(|_| scope.spawn(|| Store::open(&path).map(drop))).collect();
                for one in opened {
                    one.join().expect("does not panic").expect("opens");
                }
            });
        }
    }

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let (_folder, path) = folder();
        let mut store = Store::open(&path).expect("opens");
        store.write(|tx| create(tx, "a", 1)).expect("creates");
        drop(store);
        assert!(Store::open(&path).expect("opens").entry("a").expect("loads").is_some());
    }
}
