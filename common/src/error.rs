//! One error type whose kind says what happens next. It never carries a secret.

use std::fmt;

/// What happens next, decided once, where the error is made.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Time may heal it: try again with backoff; nothing is given up.
    Retry,
    /// This record can never succeed: dead-letter it and go on.
    Reject,
    /// The operator must act (configuration, credentials): stop, exit 78, store no offset.
    Fatal,
}

/// An error and its fate. `Display` is one lower-case line without full stop.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: Kind,
    /// What was being done, as in `read customer cust_42 from Stripe`.
    pub operation: String,
    /// Why it failed, in words for people.
    pub cause: String,
    /// What the operator could do about it.
    pub hint: Option<String>,
    /// The reader of our pipe has gone: a mover ends quietly with it, a server with 69.
    pub pipe_closed: bool,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn retry(operation: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(Kind::Retry, operation, cause)
    }

    pub fn reject(operation: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(Kind::Reject, operation, cause)
    }

    pub fn fatal(operation: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(Kind::Fatal, operation, cause)
    }

    pub fn new(kind: Kind, operation: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self {
            kind,
            operation: operation.into(),
            cause: cause.to_string(),
            hint: None,
            pipe_closed: false,
        }
    }

    /// What a write to a pipe says when its reader has ended.
    pub fn closed_pipe(operation: impl Into<String>) -> Self {
        let mut error = Self::new(Kind::Retry, operation, "the reader of this pipe has ended");
        error.pipe_closed = true;
        error
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.cause)
    }
}

impl std::error::Error for Error {}

/// The exit codes every program uses (the numbers are sysexits.h's where it has one).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Done, or drained after a signal.
    Done = 0,
    /// Some records were dead-lettered, or something unexpected happened.
    Failed = 1,
    /// Wrong usage of the command line.
    Usage = 2,
    /// The broker, Stripe or the database is not available.
    Unavailable = 69,
    /// Bad configuration, or credentials refused.
    Config = 78,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error.kind {
            Kind::Retry => Self::Unavailable,
            Kind::Reject => Self::Failed,
            Kind::Fatal => Self::Config,
        }
    }
}
