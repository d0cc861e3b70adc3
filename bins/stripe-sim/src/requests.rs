//! The log of API requests that tests read under `/_sim/requests`. It must never hold a key.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::{Map, Value};

/// Requests remembered; the oldest go first.
const REQUESTS_MAX: usize = 100_000;

/// One API request and what became of it.
#[derive(Debug, Serialize)]
pub struct Logged {
    /// Counts up from 1 from the start of the program on.
    pub n: u64,
    pub at: String,
    pub method: String,
    pub path: String,
    /// Decoded, names with their brackets.
    pub params: Map<String, Value>,
    pub idempotency_key: Option<String>,
    /// `bearer`, `basic` or null.
    pub authorization: Option<&'static str>,
    /// Tells keys apart without showing them: kind and a digest's first digits.
    pub key: Option<String>,
    pub request_id: String,
    /// Null when the connection was dropped instead.
    pub status: Option<u16>,
    /// The answer was the stored one of an earlier request.
    pub replayed: bool,
    /// Something was created, changed or deleted.
    pub applied: bool,
    pub error_code: Option<String>,
    pub took_ms: u64,
}

#[derive(Debug, Default)]
pub struct RequestLog {
    lines: VecDeque<(u64, String)>,
    last: u64,
}

impl RequestLog {
    pub fn add(&mut self, mut logged: Logged) {
        self.last += 1;
        logged.n = self.last;
        if self.lines.len() == REQUESTS_MAX {
            self.lines.pop_front();
        }
        if let Ok(line) = serde_json::to_string(&logged) {
            self.lines.push_back((self.last, line));
        }
    }

    /// NDJSON of all that came after number `since`.
    pub fn since(&self, since: u64) -> String {
        let mut out = String::new();
        for (_, line) in self.lines.iter().filter(|(n, _)| *n > since) {
            out.push_str(line);
            out.push('\n');
        }
        out
    }

    pub fn clear(&mut self) {
        self.lines.clear();
    }
}
