//! Every history of a small scope, not a sample: one customer, a few edits on both sides and a few
//! faults in every order, over the same world, the same rules and the same ground truth.
//!
//! A state is a world; from each, every act is tried with every outcome of its choices. Which acts
//! there are, and why no other is needed, is said in `acts.rs` and `work.rs`; which states are the
//! same in `tidy.rs` and `same.rs`; what order does not matter in `quiet.rs`. `plain.rs` goes
//! through single steps without these reductions, and has to come to the same ends.

mod acts;
mod doubts;
mod fast;
pub mod plain;
mod quiet;
mod same;
mod threads;
mod tidy;
mod work;

use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;
use std::time::Duration;

use common::record::{Fields, STRIPE};

use super::mix::Mix;
use super::rng::{Rng, Script};
use super::{World, field, show_value};
use crate::sync::rules::Rule;
use acts::Did;

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Edits by the API and by people together.
    pub edits: u32,
    pub faults: u32,
    /// Values that a field may have.
    pub values: usize,
    pub times: Times,
    /// A rule that is broken meanwhile.
    pub broken: Option<Rule>,
    /// Ends early, and says so.
    pub states_max: u64,
    pub within: Duration,
    pub threads: usize,
}

/// When things happen at Stripe, by its clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Times {
    /// All in the same second.
    Same,
    /// No two changes within what counts as the same time.
    Apart,
    /// Each change in the same second as the one before, or later: any mixture.
    Mixed,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    pub states: u64,
    pub steps: u64,
    /// Histories that came to their end: nothing was left to happen.
    pub ends: u64,
    pub complete: bool,
    /// Why, after the history that led there.
    pub failed: Option<String>,
}

/// What is left to happen in a state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Left {
    edits: u32,
    faults: u32,
    /// Per field, how many values it has had.
    used: [u8; 2],
}

/// Two fields, and nothing by chance: what may go wrong is chosen by the explorer.
fn mix() -> Option<Mix> {
    Some(Mix {
        customers_max: 1,
        slow: 1000,
        lost: 0,
        answer_lost: 0,
        stored_error: 0,
        webhook_twice: 0,
        webhook_dropped: 0,
        crash: 0,
        two: 0,
        pipe: 0,
        refused: 0,
        normalised: 0,
        values: 4,
        fields: 2,
        fields_at_once: 1,
        counted: false,
        ..super::mix::named("faults")?
    })
}

/// Goes through all of it.
pub fn explore(scope: Scope) -> Explored {
    threads::go(scope, false).0
}

/// The scopes that a broken rule is looked for in, from the smallest on: edits and faults.
const BROKEN_IN: [(u32, u32); 7] = [(1, 0), (2, 0), (1, 1), (3, 0), (2, 1), (1, 2), (3, 1)];

/// With a broken rule there may be no end.
const BROKEN_STATES_MAX: u64 = 500_000;

/// The smallest scope in which it shows that this rule is broken, and the history that shows it.
pub fn broken(rule: Rule) -> Option<(Scope, String)> {
    BROKEN_IN.into_iter().flat_map(|of| [(of, Times::Same), (of, Times::Apart)]).find_map(
        |(of, times)| {
            let (edits, faults) = of;
            let scope = Scope {
                edits,
                faults,
                values: 3,
                times,
                broken: Some(rule),
                states_max: BROKEN_STATES_MAX,
                within: Duration::from_secs(60),
                threads: 1,
            };
            explore(scope).failed.map(|why| (scope, why))
        },
    )
}

/// Goes through all of it, and says what both sides were in the end.
pub fn explore_ends(scope: Scope) -> (Explored, HashSet<String>) {
    threads::go(scope, true)
}

/// The customer was created, and nothing else happened.
fn first(scope: &Scope, traced: bool) -> Option<(World, Left)> {
    let mix = Rc::new(mix()?);
    let mut world = World::new(Rng::Scripted(Script::default()), &mix, traced);
    world.api_create();
    world.rng = Rng::Seeded(1);
    world.publish();
    Some((world, Left { edits: scope.edits, faults: scope.faults, used: [1, 1] }))
}

fn finish(world: &mut World) {
    world.drain();
    if world.failed.is_none() {
        world.judge_end();
    }
}

/// The history once more, for people.
fn tell(scope: &Scope, history: &[Did]) -> String {
    let Some((mut world, mut left)) = first(scope, true) else { return String::new() };
    for did in history {
        did.again(&mut world, &mut left, scope);
    }
    if world.failed.is_none() {
        finish(&mut world);
    }
    world.trace.unwrap_or_default()
}

impl World {
    /// Both sides in the end: what users see of them, and what the catalog knows. The fields in
    /// either order, since they are treated alike.
    fn both_sides(&self) -> String {
        let entry = &self.entries[0];
        let (here, there) = (&entry.customer.fields, self.stripe.customers.first());
        let shown = |order: [usize; 2]| {
            let value = |fields: &Fields| order.map(|at| show_value(fields.get(&field(at))));
            let there =
                there.map(|made| (value(&made.snapshot.fields), made.snapshot.stamp_version()));
            let sync = entry.systems.get(STRIPE).map(|sync| {
                let own = order.map(|at| sync.own(&field(at)));
                (own, value(&sync.shadow), sync.seen, sync.pending(), &sync.error)
            });
            let truth = &self.truth[0];
            let noted = truth.conflicts.iter().filter(|_| !truth.excused).map(|(of, theirs)| {
                (order.map(|at| field(at) == *of), show_value(theirs.as_ref()))
            });
            let noted: BTreeSet<_> = noted.collect();
            let version = entry.customer.version;
            format!("v{version} {:?} {there:?} {sync:?} {} {noted:?}", value(here), truth.excused)
        };
        shown([0, 1]).min(shown([1, 0]))
    }
}
