//! The time, and how it is written. Rules never ask it: the edge does and passes it on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC: what the catalog's own clock says.
pub type Millis = i64;
/// Seconds since 1970-01-01 UTC: what Stripe's clock says; whole seconds are all it tells.
pub type Seconds = i64;

/// Now, in milliseconds since 1970.
pub fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// `2026-11-22T10:00:00.123Z`; times before 1970 print as 1970.
pub fn rfc3339(at: Millis) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(at.max(0) as u64);
    humantime::format_rfc3339_millis(at).to_string()
}

/// Reads an RFC 3339 time in UTC; `None` when it is none or lies before 1970.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let at = humantime::parse_rfc3339(text).ok()?;
    at.duration_since(UNIX_EPOCH).ok().map(|since| since.as_millis() as i64)
}

/// The present moment as in `2026-11-22T10:00:00.123Z`.
pub fn now() -> String {
    rfc3339(now_ms())
}
