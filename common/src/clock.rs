//! The wall clock, in milliseconds and as RFC 3339. Decisions about records use the record's own
//! time; leases and limits use `Instant`. Never used inside the sync rules, which are pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970. A clock set before 1970 reads as 0.
pub fn now_ms() -> i64 {
    to_ms(SystemTime::now())
}

/// The present moment as in `2026-11-22T10:00:00.123Z`.
pub fn now() -> String {
    print_ms(now_ms())
}

/// Milliseconds since 1970 as in `2026-11-22T10:00:00.123Z`. Negative ones print as 1970, and
/// what lies beyond the year 9999 as its last millisecond, so that printing never fails.
pub fn print_ms(ms: i64) -> String {
    const YEAR_9999_END_MS: u64 = 253_402_300_799_999;
    let ms = u64::try_from(ms).unwrap_or(0).min(YEAR_9999_END_MS);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// Reads an RFC 3339 time in UTC; `None` when it is none.
pub fn parse_ms(text: &str) -> Option<i64> {
    humantime::parse_rfc3339(text).ok().map(to_ms)
}

fn to_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_printed_is_read_back_to_the_millisecond() {
        for ms in [0, 1, 1_732_270_800_123, 253_402_300_799_999] {
            assert_eq!(parse_ms(&print_ms(ms)), Some(ms));
        }
        assert_eq!(print_ms(1_795_341_600_123), "2026-11-22T10:00:00.123Z");
    }

    #[test]
    fn what_is_no_time_is_refused_and_what_cannot_be_printed_is_clamped() {
        assert_eq!(parse_ms("yesterday"), None);
        assert_eq!(print_ms(-5), "1970-01-01T00:00:00.000Z");
        assert_eq!(print_ms(i64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
