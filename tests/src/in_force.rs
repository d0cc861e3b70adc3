//! Whether a rule of the sync holds: always, unless somebody broke it in this thread.

use std::cell::Cell;

use crate::sync::rules::Rule;

thread_local! {
    static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
}

pub fn holds(rule: Rule) -> bool {
    BROKEN.get() != Some(rule)
}

/// Breaks one rule in this thread, or mends the one broken before.
pub fn break_rule(rule: Option<Rule>) {
    BROKEN.set(rule);
}
