//! The wall clock, in milliseconds and as RFC 3339. The sync rules never ask it: the edge does and
//! passes it on. Leases and limits use `Instant`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC: what the catalog's own clock says.
pub type Millis = i64;
/// Seconds since 1970-01-01 UTC: what Stripe's clock says; whole seconds are all it tells.
pub type Seconds = i64;

/// Milliseconds since 1970. A clock set before 1970 reads as 0.
pub fn now_ms() -> Millis {
    to_ms(SystemTime::now())
}

/// `2026-11-22T10:00:00.123Z`. Times before 1970 print as 1970, and what lies beyond the year 9999
/// as its last millisecond, so that printing never fails.
pub fn rfc3339(at: Millis) -> String {
    const YEAR_9999_END_MS: u64 = 253_402_300_799_999;
    let ms = u64::try_from(at).unwrap_or(0).min(YEAR_9999_END_MS);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// Reads an RFC 3339 time in UTC; `None` when it is none.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    humantime::parse_rfc3339(text).ok().map(to_ms)
}

fn to_ms(time: SystemTime) -> Millis {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_printed_is_read_back_to_the_millisecond() {
        for ms in [0, 1, 1_732_270_800_123, 253_402_300_799_999] {
            assert_eq!(parse_rfc3339(&rfc3339(ms)), Some(ms));
        }
        assert_eq!(rfc3339(1_795_341_600_123), "2026-11-22T10:00:00.123Z");
    }

    #[test]
    fn what_is_no_time_is_refused_and_what_cannot_be_printed_is_clamped() {
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert_eq!(rfc3339(-5), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
