//! kafka-to-stripe: what an instance has in hand for a customer, and what it does next.

use std::rc::Rc;

use common::record::{STRIPE, SystemPart};

use super::World;
use super::requests::{Flight, key_of, show};
use crate::in_force::holds;
use crate::sync::outbound::{self, Answer, Job, Memory, Step};
use crate::sync::rules::Rule;

/// Requests in one history; more means that one is sent again and again.
const REQUESTS_MAX: u64 = 3_000;

/// What one instance has in hand for one customer.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    pub position: usize,
    pub memory: Memory,
    pub job: Option<Job>,
    /// The offset after the newest record of the lane in hand.
    pub lane_end: usize,
    /// The number of the request this slot waits for.
    pub waits: Option<u64>,
    /// Everything below is done, and not yet committed.
    pub done: usize,
    /// Records from before the assignment that were acted on.
    pub backlog: u32,
}

/// A slot that an instance was stalled with when its partition went away.
#[derive(Clone, Debug)]
pub struct Zombie {
    pub slot: Slot,
    pub customer: usize,
}

impl World {
    /// The owner of this customer's partition does its next piece of work.
    pub fn mover(&mut self, customer: usize) -> bool {
        if let Some(number) = self.slots[customer].waits {
            let Some(at) = self.flights.iter().position(|flight| flight.number == number) else {
                return false;
            };
            if self.flights[at].answer.is_none() {
                return false;
            }
            let flight = self.flights.swap_remove(at);
            self.slots[customer].waits = None;
            return match flight.answer {
                Some(Ok(answer)) => self.answered(customer, &flight.step, answer),
                Some(Err(())) | None => {
                    outbound::unanswered(&mut self.slots[customer].memory, &flight.step);
                    self.retry(customer)
                }
            };
        }
        if self.slots[customer].job.is_none() && !self.take_lane(customer) {
            return self.commit(customer);
        }
        self.step(customer)
    }

    fn step(&mut self, customer: usize) -> bool {
        let now = self.now;
        let slot = &self.slots[customer];
        let Some(job) = &slot.job else { return true };
        match outbound::next(job, &slot.memory, now) {
            Step::Nothing => {
                let part = job.change.data.systems.get(STRIPE);
                let waits = part.is_some_and(SystemPart::wants);
                self.truth[customer].waits_for_period |= waits;
                self.finish(customer);
            }
            Step::Done(result) => {
                self.produce_result(customer, result);
            }
            step => self.send(customer, step),
        }
        true
    }

    fn produce_result(&mut self, customer: usize, result: common::record::SyncResult) {
        self.log(|_| {
            format!(
                "result for c{customer}: v{} {:?} {:?} refused {:?}",
                result.version, result.outcome, result.external_id, result.refused
            )
        });
        self.judge_result(customer, &result);
        self.results.push(Rc::new(result));
        if self.rng.fault(self.mix.crash) {
            self.log(|_| format!("crash before the offset of c{customer} is stored"));
            self.crash_mover(customer);
            return;
        }
        self.finish(customer);
    }

    /// Time may heal it: the record comes again, perhaps with newer ones; memory stays.
    pub fn retry(&mut self, customer: usize) -> bool {
        self.slots[customer].job = None;
        true
    }

    fn send(&mut self, customer: usize, step: Step) {
        let number = self.next_flight;
        if number > REQUESTS_MAX {
            self.fail(|| format!("c{customer} sends without end: {}", show(&step)));
            return;
        }
        self.slots[customer].waits = Some(number);
        self.take_off(customer, step);
        if !self.rng.chance(self.mix.slow) {
            self.land(self.flights.len() - 1);
            self.mover(customer);
        }
    }

    fn take_off(&mut self, customer: usize, step: Step) {
        let number = self.next_flight;
        self.next_flight += 1;
        self.log(|_| format!("c{customer} sends #{number} {}", show(&step)));
        self.asked_for.push((customer, number, key_of(&step).map(str::to_owned)));
        self.flights.push(Flight {
            number,
            step,
            customer,
            sent: self.stripe.order,
            sent_at: self.now,
            detached: false,
            answer: None,
        });
    }

    fn answered(&mut self, customer: usize, step: &Step, answer: Answer) -> bool {
        let now = self.now;
        let slot = &mut self.slots[customer];
        let Some(job) = &mut slot.job else { return true };
        match outbound::answered(job, &mut slot.memory, step, answer, now) {
            Some(result) => {
                self.produce_result(customer, result);
                true
            }
            None => self.step(customer),
        }
    }

    /// A stalled instance wakes up: it may take an answer in and produce a result, but it sends
    /// nothing more, since its lease is over.
    pub fn wake(&mut self) -> bool {
        let Some(mut zombie) = self.zombies.pop() else { return false };
        let Some(number) = zombie.slot.waits else { return true };
        let Some(at) = self.flights.iter().position(|flight| flight.number == number) else {
            return true;
        };
        if self.flights[at].answer.is_none() {
            self.zombies.push(zombie);
            return false;
        }
        let flight = self.flights.swap_remove(at);
        let (Some(Ok(answer)), Some(job)) = (flight.answer, &mut zombie.slot.job) else {
            return true;
        };
        let (memory, customer) = (&mut zombie.slot.memory, zombie.customer);
        let step = match outbound::answered(job, memory, &flight.step, answer, self.now) {
            Some(result) => Step::Done(result),
            None => outbound::next(job, memory, self.now),
        };
        match step {
            Step::Nothing => {}
            Step::Done(result) => {
                self.log(|_| format!("a stalled instance: c{customer} result v{}", result.version));
                self.judge_result(customer, &result);
                self.results.push(Rc::new(result));
            }
            step if !holds(Rule::Lease) => {
                zombie.slot.waits = Some(self.next_flight);
                self.zombies.push(zombie);
                self.take_off(customer, step);
            }
            _ => {}
        }
        true
    }
}
