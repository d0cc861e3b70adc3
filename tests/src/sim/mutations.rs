//! Is every rule tested? One is broken at a time, and histories are told until one fails.

use std::rc::Rc;

use super::mix::{self, Mix};
use super::run;
use crate::in_force::break_rule;
use crate::sync::rules::Rule;

/// How a broken rule showed itself.
#[derive(Clone, Debug)]
pub struct Found {
    pub mix: &'static str,
    /// Histories told until then, of all mixes.
    pub histories: u64,
    pub seed: u64,
    pub why: String,
}

/// Tells up to so many histories with this rule broken, of all mixes in turn: a few of each first.
pub fn find(rule: Rule, histories_max: u64) -> Option<Found> {
    let mixes: Vec<Rc<Mix>> =
        mix::NAMES.iter().filter_map(|name| mix::named(name)).map(Rc::new).collect();
    break_rule(Some(rule));
    let found = search(&mixes, histories_max);
    break_rule(None);
    found
}

fn search(mixes: &[Rc<Mix>], histories_max: u64) -> Option<Found> {
    let (mut histories, mut first, mut count) = (0, 1, 50);
    loop {
        for mix in mixes {
            for seed in first..first + count {
                if histories == histories_max {
                    return None;
                }
                histories += 1;
                if let Some(why) = run(seed, mix, None, false).failed {
                    return Some(Found { mix: mix.name, histories, seed, why });
                }
            }
        }
        first += count;
        count *= 2;
    }
}
