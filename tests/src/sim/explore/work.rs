//! What kafka-to-stripe does, in acts as large as lose nothing, and what may go wrong with each.
//!
//! One act takes records (how far is free), asks Stripe, takes the answer in and, if that was all,
//! produces the result and is done. Nothing can come between these that could not as well come
//! before or after: nobody else sees what is in hand; when a request lands is when the act
//! happens; and nobody has to take the result in at once. Between two writes of one record other
//! things do happen, so a write ends the act unless it was the last.
//!
//! A GET or a look-up says what stamp there is, which only our own writes change. So it goes with
//! the write that follows, except while a request is under way that was given up: then that may
//! land in between.
//!
//! What can go wrong with a write is [`Mishap`]. The rest comes to the same as one of these:
//!
//! - *The answer is lost*: given up, and landed at once.
//! - *A crash after it landed*: detached, and landed at once.
//! - *A crash before it was sent*, or after the result and before the offset:
//!   `World::starts_anew`.
//! - *A rebalance* is a crash whose flight may be waited for by an instance that stalled; if that
//!   one is not stalled, it is a crash. Which instance it goes to does not matter.
//! - *A stalled instance wakes up*: when its request lands, and may then say what came of it or
//!   not; saying so later is the same as a result that is taken in later.
//! - *A GET or a look-up that is lost or given up* changes nothing. One that an instance is
//!   stalled with may be answered late, and lead to a result.

use super::super::World;
use super::super::mover::Zombie;
use super::super::requests::{Flight, key_of};
use super::super::stripe::Fate;
use crate::sync::outbound::{self, Step};

/// So many questions before one write; more means that there is no end to them.
const REQUESTS_MAX: usize = 20;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mishap {
    None,
    /// It never lands, and the sender tries again.
    Lost,
    /// Stripe stores a 500 for it, with the effect or without.
    Stored(bool),
    /// The sender tries again; it lands later.
    GivenUp,
    /// The sender crashes, or is stalled and loses the partition; it lands later.
    Detached,
}

impl World {
    /// Records below this have been published for sure: somebody read them, or read past them.
    pub(super) fn published(&self) -> usize {
        let (of, slot) = (&self.partitions[0], &self.slots[0]);
        slot.position.max(slot.lane_end).max(of.watermark)
    }

    pub(super) fn has_work(&self) -> bool {
        let slot = &self.slots[0];
        slot.job.is_some() || slot.position < self.partitions[0].log.len()
    }

    /// The next act of the mover. False if there is nothing to do, or no request to go wrong.
    pub(super) fn work(&mut self, mishap: Mishap) -> bool {
        let well = mishap == Mishap::None;
        if self.slots[0].job.is_none() && !self.take_lane(0) {
            return false;
        }
        for _ in 0..REQUESTS_MAX {
            let slot = &self.slots[0];
            let Some(job) = &slot.job else { return well };
            match outbound::next(job, &slot.memory, self.now) {
                Step::Nothing => {
                    self.finish(0);
                    return well;
                }
                Step::Done(result) => {
                    self.produced(result);
                    return well;
                }
                step @ (Step::Read { .. } | Step::Look { .. }) => {
                    let stalls = mishap == Mishap::Detached && matches!(step, Step::Read { .. });
                    if stalls && self.rng.below(2) == 1 {
                        self.detach_flight(step, true);
                        return true;
                    }
                    let alone = self.flights.is_empty();
                    self.ask(&step);
                    let done = !self.has_request();
                    if !alone && !done {
                        return well;
                    }
                }
                step => return self.write(step, mishap),
            }
        }
        self.fail(|| "Stripe is asked again and again".into());
        true
    }

    /// Whether what is in hand takes another request.
    fn has_request(&self) -> bool {
        let slot = &self.slots[0];
        slot.job.as_ref().is_some_and(|job| {
            !matches!(outbound::next(job, &slot.memory, self.now), Step::Nothing | Step::Done(_))
        })
    }

    fn produced(&mut self, result: common::record::SyncResult) {
        self.log(|_| format!("result v{} {:?}", result.version, result.outcome));
        self.results.push(result.into());
        self.finish(0);
    }

    fn ask(&mut self, step: &Step) {
        let (answer, _) = self.stripe.perform(step, Fate::Fine, self.now, &mut self.rng);
        self.log(|_| format!("{step:?}: {answer:?}"));
        self.asked(step);
        let slot = &mut self.slots[0];
        let (Some(job), Ok(answer)) = (&mut slot.job, answer) else { return };
        if let Some(result) = outbound::answered(job, &mut slot.memory, step, answer, self.now) {
            self.produced(result);
        }
    }

    /// Counts a request. One that lands after another was asked for lands late.
    fn asked(&mut self, step: &Step) -> u64 {
        self.next_flight += 1;
        self.asked_for.push((0, self.next_flight, key_of(step).map(str::to_owned)));
        self.next_flight
    }

    fn write(&mut self, step: Step, mishap: Mishap) -> bool {
        let fate = match mishap {
            Mishap::None => Fate::Fine,
            Mishap::Stored(effect) => Fate::StoredError(effect),
            Mishap::Lost => {
                self.log(|_| format!("lost: {}", super::super::requests::show(&step)));
                self.tries_again(&step);
                return true;
            }
            Mishap::GivenUp => {
                self.tries_again(&step);
                self.detach_flight(step, false);
                return true;
            }
            Mishap::Detached => {
                self.detach_flight(step, true);
                return true;
            }
        };
        let now = self.now;
        let (answer, effect) = self.stripe.perform(&step, fate, now, &mut self.rng);
        self.log(|_| format!("{} ({fate:?}): {answer:?}", super::super::requests::show(&step)));
        self.asked(&step);
        if let Some(effect) = effect {
            self.judge_effect(0, &step, &effect, false);
        }
        let Ok(answer) = answer else {
            self.tries_again(&step);
            return true;
        };
        let slot = &mut self.slots[0];
        let Some(job) = &mut slot.job else { return true };
        if let Some(result) = outbound::answered(job, &mut slot.memory, &step, answer, now) {
            self.produced(result);
        } else if !self.has_request() {
            // The last one: nothing more is asked for it.
            return self.work(Mishap::None);
        }
        true
    }

    fn tries_again(&mut self, step: &Step) {
        outbound::unanswered(&mut self.slots[0].memory, step);
        self.slots[0].job = None;
    }

    /// A request is under way whose sender does not wait for it; one that is stalled may hear of
    /// it.
    fn detach_flight(&mut self, step: Step, stalled: bool) {
        let number = self.asked(&step);
        self.log(|_| format!("#{number} is under way: {}", super::super::requests::show(&step)));
        let (sent, sent_at) = (self.stripe.order, self.now);
        let detached = true;
        let answer = None;
        self.flights.push(Flight { number, step, customer: 0, sent, sent_at, detached, answer });
        if stalled {
            let mut slot = self.slots[0].clone();
            slot.waits = Some(number);
            self.zombies.push(Zombie { slot, customer: 0 });
            self.starts_anew();
        }
    }

    /// A request of which nobody expected it any more lands.
    pub(super) fn land_late(&mut self, fate: Fate) -> bool {
        let at = self.rng.below(self.flights.len());
        let flight = self.flights.swap_remove(at);
        let waits = self.zombies.iter().position(|z| z.slot.waits == Some(flight.number));
        let mut zombie = waits.map(|at| self.zombies.swap_remove(at));
        if fate != Fate::Fine && key_of(&flight.step).is_none() {
            return false;
        }
        let now = self.now;
        let (answer, effect) = self.stripe.perform(&flight.step, fate, now, &mut self.rng);
        let number = flight.number;
        self.log(|_| format!("#{number} lands ({fate:?}): {answer:?}"));
        if let Some(effect) = effect {
            let late = self.is_overtaken(&flight, effect.last);
            self.judge_effect(0, &flight.step, &effect, late);
        }
        let (Some(zombie), Ok(answer)) = (&mut zombie, answer) else { return true };
        let (Some(job), memory) = (&mut zombie.slot.job, &mut zombie.slot.memory) else {
            return true;
        };
        let result = match outbound::answered(job, memory, &flight.step, answer, now) {
            Some(result) => Some(result),
            None => match outbound::next(job, memory, now) {
                Step::Done(result) => Some(result),
                _ => None,
            },
        };
        // It is heard of by then, or the instance is dead.
        if let Some(result) = result
            && self.rng.below(2) == 1
        {
            self.log(|_| format!("a stalled instance: result v{}", result.version));
            self.results.push(result.into());
        }
        true
    }

    /// Whether something else was asked, or changed at Stripe, since this was sent.
    pub(super) fn is_overtaken(&self, flight: &Flight, last: u32) -> bool {
        last > flight.sent
            || self.asked_for.iter().any(|(_, number, key)| {
                *number > flight.number && key.as_deref() != key_of(&flight.step)
            })
    }

    /// An instance gets the partition. How much was published by then is free, since the relay may
    /// be slow; and so is what was stored of the offset, as long as nobody starts from it. What
    /// was published is read to its end first, and the newest record of it stands for all: so of
    /// what was stored it only matters whether that one is read again.
    pub(super) fn starts_anew(&mut self) -> bool {
        let (published, position) = (self.published(), self.slots[0].position);
        let waiting = self.partitions[0].log.len() - published;
        let end = published + self.rng.below(waiting + 1);
        let is_done = self.slots[0].job.is_none() && position == end;
        let may_repeat = self.partitions[0].committed < end;
        let stored = is_done && (!may_repeat || self.rng.below(2) == 1);
        self.log(|_| format!("an instance starts at record {end}; all was stored: {stored}"));
        self.partitions[0].committed = if stored { end } else { end - 1 };
        self.assign(0);
        self.partitions[0].watermark = end;
        true
    }
}
