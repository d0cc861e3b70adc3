//! Where a page ended, as text that others only hand back.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::record::Millis;

/// Where a page ended. Text to others, who only hand it back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor {
    pub(super) seq: i64,
    /// Set in lists that go by time of change.
    pub(super) updated_at: Option<Millis>,
}

impl Cursor {
    /// Is it of a list that goes by time of change?
    pub fn goes_by_time(&self) -> bool {
        self.updated_at.is_some()
    }
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
