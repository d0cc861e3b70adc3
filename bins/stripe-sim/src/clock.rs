//! The simulator's clock: the machine's, moved by an offset, its second frozen on demand. It must
//! never be used to sleep or to time out: those follow the machine.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No second is frozen.
const NOT_FROZEN: i64 = i64::MIN;
/// The latest moment the clock can be set to (the year 9999), so that it can always be printed.
pub const UNIX_S_MAX: i64 = 253_402_300_000;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[derive(Debug)]
pub struct Clock {
    offset_ms: AtomicI64,
    frozen_s: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { offset_ms: AtomicI64::new(0), frozen_s: AtomicI64::new(NOT_FROZEN) }
    }
}

impl Clock {
    pub fn now_ms(&self) -> i64 {
        machine_ms() + self.offset_ms.load(Ordering::SeqCst)
    }

    pub fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    /// The second that a `created` gets: the same one for everything while it is frozen.
    pub fn created_s(&self) -> i64 {
        match self.frozen_s.load(Ordering::SeqCst) {
            NOT_FROZEN => self.now_s(),
            second => second,
        }
    }

    pub fn freeze(&self, frozen: bool) {
        let now = self.now_s();
        if !frozen {
            self.frozen_s.store(NOT_FROZEN, Ordering::SeqCst);
        } else if self.frozen_s.load(Ordering::SeqCst) == NOT_FROZEN {
            self.frozen_s.store(now, Ordering::SeqCst);
        }
    }

    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }

    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::SeqCst);
        if self.frozen_s.load(Ordering::SeqCst) != NOT_FROZEN {
            self.frozen_s.store(self.now_s(), Ordering::SeqCst);
        }
    }

    /// The offset at which the clock shows `unix_s` now.
    pub fn offset_for(unix_s: i64) -> i64 {
        unix_s * 1000 - machine_ms()
    }

    /// `Tue, 24 Nov 2026 03:09:00 GMT`, as a `Date` header has it.
    pub fn http_date(&self) -> String {
        http_date(self.now_s())
    }

    /// `2026-11-24T03:09:00.123Z`
    pub fn rfc3339(&self) -> String {
        humantime::format_rfc3339_millis(system_time(self.now_ms())).to_string()
    }
}

/// The machine's own clock in seconds, which a webhook's receiver compares with its own.
pub fn machine_s() -> i64 {
    machine_ms().div_euclid(1000)
}

fn machine_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

fn system_time(unix_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_ms.clamp(0, UNIX_S_MAX * 1000) as u64)
}

fn http_date(unix_s: i64) -> String {
    let iso = humantime::format_rfc3339_seconds(system_time(unix_s * 1000)).to_string();
    let weekday = DAYS[(unix_s.clamp(0, UNIX_S_MAX) / 86_400 % 7) as usize];
    let month = iso.get(5..7).and_then(|m| m.parse::<usize>().ok()).unwrap_or(1);
    let part = |from: usize, to: usize| iso.get(from..to).unwrap_or("").to_owned();
    let name = MONTHS[(month - 1) % 12];
    format!("{weekday}, {} {name} {} {} GMT", part(8, 10), part(0, 4), part(11, 19))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_header_has_its_fixed_form() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn a_moved_clock_shows_the_moved_time() {
        let clock = Clock::default();
        clock.set_offset_ms(Clock::offset_for(1_000_000));
        assert!((1_000_000..1_000_005).contains(&clock.now_s()));
    }

    #[test]
    fn a_frozen_second_stays_until_it_is_released() {
        let clock = Clock::default();
        clock.freeze(true);
        let first = clock.created_s();
        clock.freeze(true);
        assert_eq!(clock.created_s(), first);
        clock.set_offset_ms(7_000_000);
        assert!(clock.created_s() >= first + 7_000);
        clock.freeze(false);
        assert!(clock.created_s() >= first + 7_000);
    }
}
