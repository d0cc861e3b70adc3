//! Every history of a small scope, not a sample: one customer, a few edits on both sides and a few
//! faults in every order, over the same world, the same rules and the same ground truth.
//!
//! A state is a world; from each, every act is tried with every outcome of its choices. States are
//! told apart by a hash of what matters for the future, so that each is gone into once.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::World;
use super::super::mix::{Act, Mix};
use super::super::rng::{Rng, Script};
use super::{Explored, finish};

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Edits by the API and by people together.
    pub edits: u32,
    pub faults: u32,
    /// Steps of ten seconds, so that things happen in the same second and in different ones.
    pub ticks: u32,
    /// Ends early, and says so.
    pub states_max: u64,
    pub within: Duration,
}

/// What is left to happen in a state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Left {
    edits: u32,
    faults: u32,
    ticks: u32,
}

/// What moves things on. Webhooks come at once: the order in which they are taken in is free.
const WORK: [Act; 6] = [Act::Relay, Act::Mover, Act::Land, Act::Hook, Act::Result, Act::Wake];

const EDITS: [Act; 2] = [Act::ApiEdit, Act::PersonEdit];

/// What costs a fault, beside the choices that do.
const FAULTS: [Act; 5] =
    [Act::GiveUp, Act::MoverCrash, Act::Rebalance, Act::RelayCrash, Act::HookCrash];

/// A fault's chance; in a script it happens or not, whatever the number.
const MAYBE: u32 = 500;

/// A step in time.
const TICK_MS: i64 = 10_000;

/// Two values, and every fault possible, each by its own chance.
fn mix() -> Option<Mix> {
    Some(Mix {
        lost: MAYBE,
        answer_lost: MAYBE,
        stored_error: MAYBE,
        crash: MAYBE,
        two: 1000,
        values: 2,
        ..super::mix()?
    })
}

/// Goes through all of it.
pub fn explore(scope: Scope) -> (Explored, HashSet<String>) {
    let mut ended = HashSet::new();
    let explored = go(scope, &mut ended);
    (explored, ended)
}

fn go(scope: Scope, ended: &mut HashSet<String>) -> Explored {
    let mut explored = Explored::default();
    let Some(mix) = mix().map(Rc::new) else { return explored };
    let started = Instant::now();
    let mut world = World::new(Rng::Scripted(Script::default()), &mix, false);
    world.api_create();
    let left = Left { edits: scope.edits, faults: scope.faults, ticks: scope.ticks };
    let mut seen = HashSet::from([hash(&world, left)]);
    let mut open = vec![(world, left)];
    while let Some((world, left)) = open.pop() {
        explored.states += 1;
        if explored.states >= scope.states_max || started.elapsed() > scope.within {
            return explored;
        }
        let mut works = false;
        let here = hash(&world, left);
        for (act, left) in acts(left) {
            for (next, left) in outcomes(&world, act, left) {
                explored.steps += 1;
                explored.failed = explored.failed.or_else(|| next.failed.clone());
                let there = hash(&next, left);
                works |= there != here && act.is_some_and(|act| WORK.contains(&act));
                if seen.insert(there) {
                    open.push((next, left));
                }
            }
        }
        if !works {
            explored.ends += 1;
            explored.failed = explored.failed.or_else(|| end(world, ended));
        }
        if explored.failed.is_some() {
            return explored;
        }
    }
    explored.complete = true;
    explored
}

/// What may happen next (`None`: time goes by), and what is left then.
fn acts(left: Left) -> impl Iterator<Item = (Option<Act>, Left)> {
    let edits = EDITS.into_iter().filter(move |_| left.edits > 0);
    let faults = FAULTS.into_iter().filter(move |_| left.faults > 0);
    let fewer = Left { faults: left.faults.saturating_sub(1), ..left };
    WORK.into_iter()
        .map(move |act| (Some(act), left))
        .chain(edits.map(move |act| (Some(act), Left { edits: left.edits - 1, ..left })))
        .chain(faults.map(move |act| (Some(act), fewer)))
        .chain((left.ticks > 0).then(|| (None, Left { ticks: left.ticks - 1, ..left })))
}

/// The worlds that one act may lead to, by the choices in it; none if it cannot happen.
fn outcomes(world: &World, act: Option<Act>, left: Left) -> Vec<(World, Left)> {
    let mut worlds = Vec::new();
    let mut script = Some(Script::with_faults(left.faults));
    while let Some(choices) = script {
        let mut next = world.clone();
        next.rng = Rng::Scripted(choices);
        let moved = match act {
            Some(act) => next.perform(act),
            None => {
                next.now += TICK_MS;
                true
            }
        };
        next.send_webhooks();
        while next.webhook() {}
        let Rng::Scripted(choices) = std::mem::replace(&mut next.rng, Rng::Seeded(1)) else {
            return worlds;
        };
        if moved {
            worlds.push((next, Left { faults: choices.faults, ..left }));
        }
        script = choices.next(left.faults);
    }
    worlds
}

/// Faults stop, everything is delivered, and then both sides are to be equal.
fn end(mut world: World, ended: &mut HashSet<String>) -> Option<String> {
    finish(&mut world);
    ended.insert(world.both_sides());
    world.failed
}

/// What the future depends on; numbers of requests only as they relate to each other.
fn hash(w: &World, left: Left) -> u64 {
    let mut to = DefaultHasher::new();
    let ago = |number: u64| w.next_flight - number;
    (left, w.now, &w.entries, &w.outbox, &w.inbox, &w.results, &w.truth).hash(&mut to);
    (&w.stripe.customers, &w.stripe.events, &w.stripe.keys, w.stripe.order).hash(&mut to);
    for partition in &w.partitions {
        (&partition.log, partition.owner, partition.watermark).hash(&mut to);
        // Where somebody would start again matters only while somebody may.
        (left.faults > 0).then_some((partition.committed, w.relayed)).hash(&mut to);
    }
    let oldest = w.flights.iter().map(|flight| flight.number).min().unwrap_or(w.next_flight);
    for flight in &w.flights {
        (ago(flight.number), &flight.step, flight.detached, &flight.answer).hash(&mut to);
        (flight.sent, flight.sent_at).hash(&mut to);
    }
    for (_, number, key) in w.asked_for.iter().filter(|(_, number, _)| *number > oldest) {
        (ago(*number), key).hash(&mut to);
    }
    for slot in w.slots.iter().chain(w.zombies.iter().map(|zombie| &zombie.slot)) {
        (slot.waits.map(ago), slot.position, slot.lane_end, slot.done).hash(&mut to);
        (&slot.memory, &slot.job).hash(&mut to);
    }
    // In which order they came does not matter: any may be the next.
    let alone = |item: &dyn Fn(&mut DefaultHasher)| {
        let mut to = DefaultHasher::new();
        item(&mut to);
        to.finish()
    };
    let hooked = w.hooked.iter().map(|hooked| alone(&|to| hooked.hash(to)));
    let questions = w.questions.iter().map(|question| alone(&|to| question.hash(to)));
    let mut waiting: Vec<u64> = hooked.chain(questions).collect();
    waiting.sort_unstable();
    waiting.hash(&mut to);
    to.finish()
}
