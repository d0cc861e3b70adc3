//! All programs' decisions in one thread, against a simulated catalog, broker and Stripe.
//!
//! The rules are the programs' own functions (`crate::sync`); everything around them is made up
//! here from a seed, and can fail between any two effects. What must hold is in [`truth`].

pub mod acts;
pub mod api;
pub mod broker;
pub mod ended;
pub mod explore;
pub mod hook;
pub mod mix;
pub mod mixed_up;
pub mod mixes;
pub mod mover;
pub mod mutations;
pub mod people;
pub mod requests;
pub mod rng;
pub mod show;
pub mod stripe;
pub mod time;
pub mod truth;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::rc::Rc;

use common::record::{Change, Field, Millis, SyncResult};

use crate::sync::{Deletes, Entry, Owner, Policy};

use api::Backup;
use broker::Partition;
use hook::{Hooked, Question};
use mix::Mix;
use mover::{Slot, Zombie};
use requests::Flight;
use rng::Rng;
pub use show::{show_fields, show_snapshot, show_value};
use stripe::Stripe;
use truth::Truth;

/// The fields that are edited: a plain one, one that Stripe may refuse, and a metadata key.
pub const FIELDS: usize = 3;

/// The look-up lists customers from a little before the create was first announced, since Stripe's
/// clock is another.
pub const LOOK_SLACK_MS: Millis = 60 * 60 * 1000;

pub fn field(at: usize) -> Field {
    match at {
        0 => Field::Name,
        1 => Field::Phone,
        _ => Field::Metadata("k".into()),
    }
}

/// The whole of it, as it stands.
#[derive(Clone, Debug)]
pub struct World {
    pub rng: Rng,
    pub mix: Rc<Mix>,
    pub now: Millis,
    pub customers_max: usize,
    pub two: bool,
    pub pipe: bool,
    pub blind: bool,
    // What the programs were told.
    pub policy: Policy,
    pub api_deletes: Deletes,
    // The catalog. What it lost with a restored backup stays in its place, marked.
    pub entries: Vec<Entry>,
    pub lost: Vec<bool>,
    pub backup: Option<Backup>,
    /// How often a backup was put back, told or not.
    pub restores: u64,
    pub outbox: VecDeque<Rc<Change>>,
    pub relayed: usize,
    /// Records produced and forgotten, for relays that stall.
    pub sent: Vec<Rc<Change>>,
    pub inbox: Vec<bool>,
    pub questions: Vec<Question>,
    pub asked: u32,
    pub next_event: u64,
    // The broker.
    pub partitions: Vec<Partition>,
    pub hooked: Vec<Hooked>,
    pub results: Vec<Rc<SyncResult>>,
    // kafka-to-stripe.
    pub slots: Vec<Slot>,
    pub zombies: Vec<Zombie>,
    pub flights: Vec<Flight>,
    pub next_flight: u64,
    /// Every request sent: its customer, number and idempotency key.
    pub asked_for: Vec<(usize, u64, Option<String>)>,
    // Stripe, and its webhooks on their way, by event.
    pub stripe: Stripe,
    pub webhooks: Vec<usize>,
    sent_out: usize,
    // What must hold.
    pub truth: Vec<Truth>,
    pub failed: Option<String>,
    trace: Option<String>,
    drains: bool,
}

/// How a history ended.
#[derive(Debug)]
pub struct Ended {
    pub failed: Option<String>,
    pub actions: usize,
    pub trace: String,
    pub excused: usize,
    pub customers: usize,
    /// Conflicts noted, and those of them in which nobody's edit was lost.
    pub conflicts: usize,
    pub needless: usize,
}

/// Runs the history of this seed: `limit` cuts it short before everything is delivered.
pub fn run(seed: u64, mix: &Rc<Mix>, limit: Option<usize>, traced: bool) -> Ended {
    let mut world = World::new(Rng::new(seed), mix, traced);
    let planned = world.rng.between(mix.actions.0 as i64, mix.actions.1 as i64) as usize;
    let planned = limit.unwrap_or(planned).min(planned);
    let mut actions = 0;
    let mut tries = 0;
    while actions < planned && world.failed.is_none() && tries < planned * 20 {
        tries += 1;
        actions += usize::from(world.act());
    }
    if world.failed.is_none() {
        world.drain();
    }
    if world.failed.is_none() {
        world.judge_end();
    }
    let (conflicts, needless) = world.conflicts_noted();
    Ended {
        conflicts,
        needless,
        failed: world.failed,
        actions,
        trace: world.trace.unwrap_or_default(),
        excused: world.truth.iter().filter(|truth| truth.excused).count(),
        customers: world.truth.len(),
    }
}

impl World {
    pub fn new(mut rng: Rng, mix: &Rc<Mix>, traced: bool) -> Self {
        let customers_max = 1 + rng.below(mix.customers_max);
        let (two, pipe) = (rng.chance(mix.two), rng.chance(mix.pipe));
        let blind = rng.chance(mix.blind);
        let skew_ms = rng.between(-300, 300) * 1000;
        let (policy, api_deletes) = told(&mut rng, mix);
        let partitions = vec![Partition::default(); 1 + rng.below(mix.customers_max)];
        Self {
            rng,
            policy,
            api_deletes,
            mix: Rc::clone(mix),
            now: 1_790_000_000_000,
            customers_max,
            two,
            pipe,
            blind,
            entries: Vec::new(),
            lost: Vec::new(),
            backup: None,
            restores: 0,
            outbox: VecDeque::new(),
            relayed: 0,
            sent: Vec::new(),
            inbox: Vec::new(),
            questions: Vec::new(),
            asked: 0,
            next_event: 0,
            partitions,
            hooked: Vec::new(),
            results: Vec::new(),
            slots: Vec::new(),
            zombies: Vec::new(),
            flights: Vec::new(),
            next_flight: 0,
            asked_for: Vec::new(),
            stripe: Stripe { skew_ms, ..Stripe::default() },
            webhooks: Vec::new(),
            sent_out: 0,
            truth: Vec::new(),
            failed: None,
            trace: traced.then(String::new),
            drains: false,
        }
    }

    /// Adds a line to the history, if somebody reads it.
    pub fn log(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = line(self);
            let at = self.now - 1_790_000_000_000;
            if let Some(trace) = &mut self.trace {
                let _ = writeln!(trace, "{:>9}.{:03} {line}", at / 1000, at % 1000);
            }
        }
    }
}

/// Whose each field is, and whether deletions are followed: as the mix says how often it is not
/// the default.
fn told(rng: &mut Rng, mix: &Mix) -> (Policy, Deletes) {
    let mut owners = Vec::new();
    for at in 0..FIELDS {
        if rng.chance(mix.owned) {
            let owner = if rng.chance(600) { Owner::Catalog } else { Owner::Stripe };
            owners.push((field(at), owner));
        }
    }
    let mut deletes = || if rng.chance(mix.kept) { Deletes::Keep } else { Deletes::Mirror };
    let (there, here) = (deletes(), deletes());
    (Policy { owners: owners.into_iter().collect(), deletes: there }, here)
}
