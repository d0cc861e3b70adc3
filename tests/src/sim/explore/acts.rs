//! The acts of the explorer: what may happen next, as few and as large steps as lose nothing.
//!
//! Against one thing at a time as in the simulator's histories, these are left out or put
//! together, because each of their orders comes to the same as one that is gone through:
//!
//! - **The relay** publishes at once. Nobody reads a record before a mover takes it, and how far a
//!   mover reads is free (`take_lane`): a record published later is one that was not read yet.
//! - **Webhooks** come at once, and none is lost: which record is taken in when is free, and one
//!   that only `stripe-tail` brings is one taken in late.
//! - **A mover's request** is sent, lands and is answered in one act (see `work.rs`).
//! - **Offsets** are stored when somebody starts from them: what was stored until then is free
//!   (see `starts_anew`).
//! - **Results** that would change nothing are dropped, in whatever order they came (`tidy.rs`),
//!   and one that comes again does nothing (`take_result`).
//! - **A doubt** is asked about, and the answer taken in, in one act (see `doubts.rs`): there
//!   nothing is lost with a crash of hook-to-catalog, a record that comes again, or a lost
//!   question.

use std::rc::Rc;

use super::super::World;
use super::super::rng::{Rng, Script};
use super::super::stripe::Fate;
use super::work::Mishap;
use super::{Left, Scope, Times};
use crate::sync::announce;
use common::record::{Change, Value};

/// What may happen, before its choices are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    ApiEdit,
    PersonEdit,
    Mover(Mishap),
    Land(Fate),
    /// The record of an event is taken in; not in doubt.
    Take,
    /// Stripe is asked about an event that was in doubt, and its answer is taken in.
    Ask,
    Result,
    RelayCrash,
    /// Between two requests, or with nothing in hand.
    MoverCrash,
}

/// What moves things on.
const WORK: [Kind; 5] =
    [Kind::Take, Kind::Ask, Kind::Result, Kind::Land(Fate::Fine), Kind::Mover(Mishap::None)];

const EDITS: [Kind; 2] = [Kind::ApiEdit, Kind::PersonEdit];

/// What costs a fault.
const FAULTS: [Kind; 9] = [
    Kind::Mover(Mishap::Lost),
    Kind::Mover(Mishap::Stored(false)),
    Kind::Mover(Mishap::Stored(true)),
    Kind::Mover(Mishap::GivenUp),
    Kind::Mover(Mishap::Detached),
    Kind::Land(Fate::StoredError(false)),
    Kind::Land(Fate::StoredError(true)),
    Kind::RelayCrash,
    Kind::MoverCrash,
];

/// In the order in which values of a field are used first: as `World::some_value` numbers them.
const VALUES: [u32; 4] = [0, 1, 3, 2];

/// A step of Stripe's clock, where no two changes are of the same time.
const APART_MS: i64 = 10_000;

/// One thing that happened, to be told again.
#[derive(Clone, Debug)]
pub struct Did {
    pub kind: Kind,
    pub choices: Vec<u32>,
}

/// What may happen, dearest first.
pub fn kinds(left: Left) -> impl Iterator<Item = Kind> {
    let faults = FAULTS.into_iter().filter(move |_| left.faults > 0);
    let edits = EDITS.into_iter().filter(move |_| left.edits > 0);
    faults.chain(edits).chain(WORK)
}

impl Kind {
    pub fn works(self) -> bool {
        WORK.contains(&self)
    }

    /// What hook-to-catalog does.
    pub fn is_inbound(self) -> bool {
        matches!(self, Self::Take | Self::Ask | Self::Result)
    }

    /// What is left after it.
    fn then(self, left: Left) -> Left {
        let edits = left.edits - u32::from(EDITS.contains(&self));
        Left { edits, faults: left.faults - u32::from(FAULTS.contains(&self)), ..left }
    }

    /// Whether it is worth trying.
    fn may(self, world: &World) -> bool {
        match self {
            Self::ApiEdit => true,
            Self::PersonEdit => !world.stripe.customers.is_empty(),
            Self::Mover(_) => world.has_work(),
            Self::Land(_) => !world.flights.is_empty(),
            Self::Take => !world.hooked.is_empty(),
            Self::Ask => !world.questions.is_empty(),
            Self::Result => !world.results.is_empty(),
            Self::RelayCrash => !world.sent.is_empty(),
            Self::MoverCrash => true,
        }
    }

    /// It happens, as the world's script says. False if it cannot.
    fn perform(self, world: &mut World, left: &mut Left, scope: &Scope) -> bool {
        match self {
            Self::ApiEdit => world.edit_by_api(left, scope),
            Self::PersonEdit => {
                world.tick_or_not(scope);
                world.edit_by_person(left, scope)
            }
            Self::Mover(mishap) => {
                world.tick_or_not(scope);
                world.work(mishap)
            }
            Self::Land(fate) => {
                world.tick_or_not(scope);
                world.land_late(fate)
            }
            Self::Take => world.take_event(),
            Self::Ask => world.ask_about(scope),
            Self::Result => world.take_result(),
            Self::RelayCrash => world.relay_starts_again(),
            Self::MoverCrash => world.starts_anew(),
        }
    }

    /// Every way in which it may happen.
    pub fn each(
        self,
        world: &World,
        left: Left,
        scope: &Scope,
        mut found: impl FnMut(World, Left, Did),
    ) {
        if !self.may(world) {
            return;
        }
        let mut script = Some(Script::default());
        if self == Self::Take {
            for at in (0..world.hooked.len()).filter(|at| world.may_take(*at)) {
                self.way(world, left, scope, Script::of(&[at as u32]), &mut found);
            }
            return;
        }
        while let Some(choices) = script {
            script = self.way(world, left, scope, choices, &mut found).next(0);
        }
    }

    /// One way in which it may happen, and the choices made.
    fn way(
        self,
        world: &World,
        left: Left,
        scope: &Scope,
        choices: Script,
        found: &mut impl FnMut(World, Left, Did),
    ) -> Script {
        let mut next = world.clone();
        let mut then = self.then(left);
        next.rng = Rng::Scripted(choices);
        let moved = self.once(&mut next, &mut then, scope);
        let Rng::Scripted(choices) = std::mem::replace(&mut next.rng, Rng::Seeded(1)) else {
            return Script::default();
        };
        if moved {
            found(next, then, Did { kind: self, choices: choices.made() });
        }
        choices
    }

    fn once(self, world: &mut World, left: &mut Left, scope: &Scope) -> bool {
        let (skew_ms, order) = (world.stripe.skew_ms, world.stripe.order);
        let moved = self.perform(world, left, scope);
        if moved {
            if order == world.stripe.order && self != Self::Ask {
                // Nothing that has a time: then it may as well have happened before.
                world.stripe.skew_ms = skew_ms;
            }
            world.publish();
            world.send_webhooks();
            let known = if self.is_inbound() { 0 } else { world.hooked.len() };
            while world.webhook() {}
            world.tidy(left.faults);
            world.find_doubts(known);
        }
        moved
    }
}

impl Did {
    /// Does it again.
    pub fn again(&self, world: &mut World, left: &mut Left, scope: &Scope) -> bool {
        world.rng = Rng::Scripted(Script::of(&self.choices));
        world.log(|_| format!("-- {:?}", self.kind));
        let mut then = self.kind.then(*left);
        let moved = self.kind.once(world, &mut then, scope);
        world.rng = Rng::Seeded(1);
        *left = then;
        moved
    }
}

impl World {
    /// Stripe's clock, and only that: nothing in the catalog depends on its own.
    pub(super) fn tick(&mut self, ticks: bool) {
        self.stripe.skew_ms += if ticks { APART_MS } else { 0 };
    }

    fn tick_or_not(&mut self, scope: &Scope) {
        let ticks = match scope.times {
            Times::Same => false,
            Times::Apart => true,
            Times::Mixed => self.rng.below(2) == 1,
        };
        self.tick(ticks);
    }

    /// A field and its new value. The fields are treated alike and start with the same value, so
    /// the first edit is of the first one. Values are only ever compared: the new one is any that
    /// was used before, or the next that was not; and not the one that is there.
    fn choose_edit(
        &mut self,
        left: &mut Left,
        scope: &Scope,
        is: impl Fn(&Self, usize) -> Option<Value>,
    ) -> (u32, u32) {
        let first = left.used == [1, 1];
        let at = if first { 0 } else { self.rng.below(2) };
        let values = usize::from(left.used[at] + 1).min(scope.values);
        let there = is(self, at);
        let differs = |value: &usize| text_of(*value) != there;
        let others: Vec<usize> = (0..values).filter(differs).collect();
        let value = others[self.rng.below(others.len())];
        left.used[at] = left.used[at].max(value as u8 + 1);
        (at as u32, VALUES[value])
    }

    fn edit_by_api(&mut self, left: &mut Left, scope: &Scope) -> bool {
        let is = |w: &Self, at: usize| {
            w.entries[0].customer.fields.get(&super::super::field(at)).cloned()
        };
        let (at, value) = self.choose_edit(left, scope, is);
        self.with(&[at, value], Self::api_edit)
    }

    fn edit_by_person(&mut self, left: &mut Left, scope: &Scope) -> bool {
        let is = |w: &Self, at: usize| {
            w.stripe.customers[0].snapshot.fields.get(&super::super::field(at)).cloned()
        };
        let (at, value) = self.choose_edit(left, scope, is);
        self.with(&[at, value], Self::person_edit)
    }

    /// Does this with these choices.
    pub(super) fn with<T>(&mut self, choices: &[u32], does: impl FnOnce(&mut Self) -> T) -> T {
        let rng = std::mem::replace(&mut self.rng, Rng::Scripted(Script::of(choices)));
        let done = does(self);
        self.rng = rng;
        done
    }

    /// The relay publishes what there is.
    pub(super) fn publish(&mut self) {
        while let Some(change) = self.outbox.pop_front() {
            self.produce(&change);
            self.sent.push(change);
        }
    }

    /// The relay dies before it could forget what it published, and starts again: that comes once
    /// more, in order, and says so. What it had not published yet (nobody has read it) comes
    /// marked then, too.
    fn relay_starts_again(&mut self) -> bool {
        let first = self.rng.below(self.sent.len());
        let log = &self.partitions[0].log;
        let unread = log.len() - self.published();
        let ends_with = |count: &usize| {
            let sent = self.sent.iter().rev();
            let same = log.iter().rev().zip(sent).take(*count).all(|(a, b)| Rc::ptr_eq(&a.1, b));
            same && first + *count < self.sent.len()
        };
        let most = (0..=unread).take_while(ends_with).last().unwrap_or(0);
        let waiting = self.rng.below(most + 1);
        self.log(|_| format!("the relay starts again with record {first}, {waiting} waited"));
        let log = &mut self.partitions[0].log;
        log.truncate(log.len() - waiting);
        let again: Vec<Rc<Change>> = self.sent.drain(first..).collect();
        for mut change in again {
            announce::maybe_before(Rc::make_mut(&mut change));
            self.produce(&change);
            self.sent.push(change);
        }
        true
    }
}

fn text_of(value: usize) -> Option<Value> {
    let text = ["a", "b", "c", ""][value];
    (!text.is_empty()).then(|| Value::Text(text.into()))
}
