//! How long to wait before the next try: capped, exponential, with full jitter, so that many that
//! failed together do not come back together.

use std::time::Duration;

/// The longest wait before the second try.
pub const RETRY_WAIT_MS_MIN: u64 = 200;

/// The longest wait before any try.
pub const RETRY_WAIT_MS_MAX: u64 = 30_000;

/// No wait is shorter: a jitter near zero must not become a busy loop.
const RETRY_WAIT_MS_FLOOR: u64 = 10;

/// The wait after this many failed tries (from 1).
pub fn wait(attempts: u32) -> Duration {
    Duration::from_millis(fastrand::u64(RETRY_WAIT_MS_FLOOR..=longest_ms(attempts)))
}

fn longest_ms(attempts: u32) -> u64 {
    let doublings = attempts.saturating_sub(1).min(16);
    (RETRY_WAIT_MS_MIN << doublings).min(RETRY_WAIT_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_doubles_up_to_its_limit() {
        let longest: Vec<u64> = (0..=9).map(longest_ms).collect();
        assert_eq!(longest, [200, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000]);
        assert_eq!(longest_ms(u32::MAX), RETRY_WAIT_MS_MAX);
        for attempts in 0..100 {
            let wait = wait(attempts).as_millis() as u64;
            assert!((RETRY_WAIT_MS_FLOOR..=longest_ms(attempts)).contains(&wait));
        }
    }
}
