//! What becomes of an error of SQLite, decided once. Nothing outside the store sees SQLite's own.

use rusqlite::{Error as Sql, ErrorCode};

use crate::error::{Error, Kind};

/// Turns an error of SQLite into ours: what was being done, why it failed, what happens next.
pub(super) fn from_sql(operation: &str, error: &Sql) -> Error {
    let Some(code) = error.sqlite_error_code() else {
        // Not SQLite but a column that holds what it should not: this row can never be read.
        return Error::reject(operation, error);
    };
    let (kind, hint) = fate(code);
    let error = Error::new(kind, operation, error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// `?` for rusqlite's results, naming what was being done.
pub(super) trait Doing<T> {
    fn doing(self, operation: &str) -> Result<T, Error>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, operation: &str) -> Result<T, Error> {
        self.map_err(|error| from_sql(operation, &error))
    }
}

fn fate(code: ErrorCode) -> (Kind, Option<&'static str>) {
    match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => {
            (Kind::Retry, Some("another program holds the database; it is tried again"))
        }
        ErrorCode::DiskFull => (Kind::Retry, Some("make room on the disk of the database")),
        ErrorCode::SystemIoFailure
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationAborted
        | ErrorCode::OperationInterrupted
        | ErrorCode::SchemaChanged => (Kind::Retry, None),
        ErrorCode::DatabaseCorrupt => (
            Kind::Fatal,
            Some("the database is damaged: stop the programs and restore it from a backup"),
        ),
        ErrorCode::NotADatabase => (
            Kind::Fatal,
            Some("DATABASE_URL must name an SQLite file, or one that is not there yet"),
        ),
        ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::AuthorizationForStatementDenied => (
            Kind::Fatal,
            Some("the user of this program must be able to write the database and its folder"),
        ),
        ErrorCode::CannotOpen => {
            (Kind::Fatal, Some("check DATABASE_URL, and that the folder can be written"))
        }
        ErrorCode::NoLargeFileSupport => {
            (Kind::Fatal, Some("put the database on another file system"))
        }
        // What this one record asks for can never be stored.
        ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch => {
            (Kind::Reject, None)
        }
        // A statement of ours is wrong: no record is to blame, and trying again does not help.
        ErrorCode::InternalMalfunction
        | ErrorCode::NotFound
        | ErrorCode::ApiMisuse
        | ErrorCode::ParameterOutOfRange
        | ErrorCode::Unknown => (Kind::Fatal, None),
        // All codes there are today stand above; the compiler wants an answer for later ones.
        _ => (Kind::Fatal, None),
    }
}
