//! When what stays pending is announced again. Harmless at any time; this only bounds the rate.

use super::rules::Rule;
use super::state::Entry;
use crate::in_force::holds;
use crate::record::Millis;

/// The first repeat comes this long after an announcement without an answer.
pub const REPEAT_AFTER_MS: Millis = 5 * 60 * 1000;
/// The wait doubles with each repeat, up to this.
pub const REPEAT_AFTER_MS_MAX: Millis = 6 * 60 * 60 * 1000;

/// When this system's part is due again; `None` while it lacks nothing, or after it failed, until
/// an edit, a resync or a redrive.
pub fn due_at(entry: &Entry, system: &str) -> Option<Millis> {
    let sync = entry.systems.get(system)?;
    if sync.error.is_some() && holds(Rule::NotAfterFailed) || !entry.wants(system) {
        return None;
    }
    if !holds(Rule::Repeat) {
        return None;
    }
    let doubled = REPEAT_AFTER_MS.saturating_mul(1 << sync.announced_times.min(10));
    Some(sync.announced_at + doubled.min(REPEAT_AFTER_MS_MAX))
}
