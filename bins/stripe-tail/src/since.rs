//! `--since` and `--interval`: times and spans as people write them.

use std::time::Duration;

use common::clock;
use common::record::{Millis, Seconds};

/// An RFC 3339 time, seconds since 1970, or a span before now (`30d`, `90m`).
pub fn parse(text: &str, now: Millis) -> Result<Seconds, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(seconds.into());
    }
    if let Some(at) = clock::parse_rfc3339(text) {
        return Ok(at / 1000);
    }
    if let Ok(span) = humantime::parse_duration(text) {
        let span_s = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        return Ok((now / 1000).saturating_sub(span_s).max(0));
    }
    Err(format!("{text:?} is no time: 2026-11-22T10:00:00Z, 1795341600 or 30d"))
}

/// A span: seconds, or as in `5m`.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<u32>().map(|seconds| Duration::from_secs(seconds.into()));
    let span = seconds.or_else(|_| humantime::parse_duration(text.trim()));
    match span {
        Ok(span) if !span.is_zero() => Ok(span),
        Ok(_) => Err("must be above 0".into()),
        Err(_) => Err(format!("{text:?} is no span of time: 2s, 5m or a number of seconds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_written_in_three_ways() {
        let now = 1_795_341_600_000;
        let cases = [
            ("2026-11-22T10:00:00Z", Ok(1_795_341_600)),
            ("1795341600", Ok(1_795_341_600)),
            ("0", Ok(0)),
            ("30d", Ok(1_795_341_600 - 30 * 86_400)),
            ("90m", Ok(1_795_341_600 - 5_400)),
            ("1000years", Ok(0)),
            ("yesterday", Err(())),
            ("", Err(())),
            ("-5", Err(())),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, now).map_err(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn a_span_is_seconds_or_has_a_unit() {
        assert_eq!(parse_span("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("5m"), Ok(Duration::from_secs(300)));
        for text in ["0", "", "-1", "soon"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
