//! kafka-to-stripe: instances, their partitions, and the requests under way. Each customer is a
//! partition of its own.

use std::rc::Rc;

use common::record::Change;
use common::sync::outbound::{self, Answer, Job, Memory, Step};

use super::World;
use super::stripe::Fate;

/// A record of the topic, as the log keeps it.
pub type Log = Vec<Rc<Change>>;

/// One partition of the topic `customer_events`.
#[derive(Debug, Default)]
pub struct Partition {
    pub log: Log,
    /// The offset a new owner starts from.
    pub committed: usize,
    pub owner: usize,
}

/// What one instance has in hand for one customer.
#[derive(Debug, Default)]
pub struct Slot {
    pub watermark: usize,
    pub position: usize,
    pub memory: Memory,
    pub job: Option<Job>,
    /// The offset after the newest record of the lane in hand.
    pub lane_end: usize,
    /// The number of the request this slot waits for.
    pub waits: Option<u64>,
    /// Everything below is done, and not yet committed.
    pub done: usize,
}

/// A slot that an instance was stalled with when its partition went away.
#[derive(Debug)]
pub struct Zombie {
    pub slot: Slot,
    pub customer: usize,
}

/// A request under way.
#[derive(Debug)]
pub struct Flight {
    pub number: u64,
    pub step: Step,
    pub customer: usize,
    /// The order of changes at Stripe when it was sent: what changed since did so meanwhile.
    pub sent: u32,
    pub sent_at: i64,
    /// Its sender gave up on it, crashed or lost the partition.
    pub detached: bool,
    pub answer: Option<Result<Answer, ()>>,
}

impl World {
    pub fn assign(&mut self, customer: usize) {
        let partition = &self.partitions[customer];
        let slot = Slot {
            watermark: if self.pipe { usize::MAX } else { partition.log.len() },
            position: partition.committed,
            done: partition.committed,
            ..Slot::default()
        };
        self.slots[customer] = slot;
    }

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

    /// Of the records that wait, the newest version stands for them all.
    fn take_lane(&mut self, customer: usize) -> bool {
        let log = &self.partitions[customer].log;
        let slot = &mut self.slots[customer];
        if slot.position >= log.len() {
            return false;
        }
        // Before the watermark only the newest record of a customer is remembered.
        let read_ahead = if self.pipe { 0 } else { slot.watermark.min(log.len()) };
        let least = (slot.position + 1).max(slot.lane_end).max(read_ahead);
        let end = least + self.rng.below(log.len() - least + 1);
        let start = if slot.position < read_ahead { read_ahead - 1 } else { slot.position };
        slot.lane_end = end;
        let newest = (start..end).max_by_key(|at| (log[*at].data.version, *at)).unwrap_or(start);
        let fresh = !self.pipe && newest >= slot.watermark;
        let change = Change::clone(&log[newest]);
        self.log(|_| format!("mover takes c{customer}@{newest} v{}", change.data.version));
        match Job::new(change, fresh) {
            Some(job) => self.slots[customer].job = Some(job),
            None => self.finish(customer),
        }
        true
    }

    fn step(&mut self, customer: usize) -> bool {
        let now = self.now;
        let slot = &self.slots[customer];
        let Some(job) = &slot.job else { return true };
        match outbound::next(job, &slot.memory, now) {
            Step::Nothing => self.finish(customer),
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
        self.results.push(Rc::new(result));
        if self.rng.chance(self.mix.crash) {
            self.log(|_| format!("crash before the offset of c{customer} is stored"));
            self.crash_mover(customer);
            return;
        }
        self.finish(customer);
    }

    fn finish(&mut self, customer: usize) {
        let slot = &mut self.slots[customer];
        slot.job = None;
        slot.position = slot.lane_end;
        slot.done = slot.lane_end;
    }

    /// Time may heal it: the record comes again, perhaps with newer ones; memory stays.
    fn retry(&mut self, customer: usize) -> bool {
        self.slots[customer].job = None;
        true
    }

    fn commit(&mut self, customer: usize) -> bool {
        let done = self.slots[customer].done;
        let partition = &mut self.partitions[customer];
        let moved = partition.committed < done;
        partition.committed = partition.committed.max(done);
        moved
    }

    fn send(&mut self, customer: usize, step: Step) {
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
        self.slots[customer].waits = Some(number);
        if !self.rng.chance(self.mix.slow) {
            self.land(self.flights.len() - 1);
            self.mover(customer);
        }
    }

    /// A request reaches Stripe, or is lost on the way.
    pub fn land(&mut self, at: usize) {
        if self.flights[at].answer.is_some() {
            return;
        }
        let fate = if self.rng.chance(self.mix.lost) {
            None
        } else if self.rng.chance(self.mix.answer_lost) {
            Some(Fate::AnswerLost)
        } else if self.rng.chance(self.mix.stored_error) {
            Some(Fate::StoredError(self.rng.chance(500)))
        } else {
            Some(Fate::Fine)
        };
        let Some(fate) = fate else {
            self.lose(at);
            return;
        };
        let now = self.now;
        let step = std::mem::replace(&mut self.flights[at].step, Step::Nothing);
        let (answer, effect) = self.stripe.perform(&step, fate, now, &mut self.rng);
        let flight = &mut self.flights[at];
        let (number, detached, sent) = (flight.number, flight.detached, flight.sent);
        let customer = flight.customer;
        self.log(|_| format!("#{number} lands ({fate:?}): {}", show_answer(answer.as_ref())));
        if let Some(effect) = effect {
            let other = |of: &&(usize, u64, Option<String>)| {
                of.0 == customer && of.1 > number && of.2.as_deref() != key_of(&step)
            };
            let overtaken = effect.last > sent || self.asked_for.iter().any(|of| other(&of));
            self.judge_effect(customer, &step, &effect, detached && overtaken);
        }
        self.flights[at].step = step;
        self.flights[at].answer = Some(answer);
        self.drop_if_detached(at);
    }

    pub fn lose(&mut self, at: usize) {
        let number = self.flights[at].number;
        self.log(|_| format!("#{number} is lost"));
        self.flights[at].answer = Some(Err(()));
        self.drop_if_detached(at);
    }

    fn drop_if_detached(&mut self, at: usize) {
        let number = self.flights[at].number;
        let waited = self.zombies.iter().any(|zombie| zombie.slot.waits == Some(number));
        if self.flights[at].detached && !waited {
            self.flights.swap_remove(at);
        }
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

    /// The sender stops waiting for its answer and will try again; the request may still land.
    pub fn give_up(&mut self, at: usize) {
        let (number, customer) = (self.flights[at].number, self.flights[at].customer);
        if self.flights[at].answer.is_some() || self.slots[customer].waits != Some(number) {
            return;
        }
        self.log(|_| format!("c{customer} gives up on #{number}"));
        self.flights[at].detached = true;
        self.slots[customer].waits = None;
        outbound::unanswered(&mut self.slots[customer].memory, &self.flights[at].step);
        self.retry(customer);
    }

    /// The instance that owns this customer dies and is started again: memory is gone.
    pub fn crash_mover(&mut self, customer: usize) {
        let owner = self.partitions[customer].owner;
        for of in 0..self.slots.len() {
            if self.partitions[of].owner == owner {
                self.detach(of);
                self.assign(of);
            }
        }
    }

    fn detach(&mut self, customer: usize) {
        if let Some(number) = self.slots[customer].waits
            && let Some(at) = self.flights.iter().position(|flight| flight.number == number)
        {
            self.flights[at].detached = true;
            if self.flights[at].answer.is_some() {
                self.drop_if_detached(at);
            }
        }
    }

    /// The partition goes to the other instance. The old owner stops, or is stalled and does not
    /// know: its request lands late.
    pub fn rebalance(&mut self, customer: usize) {
        let to = 1 - self.partitions[customer].owner;
        self.log(|_| format!("c{customer} goes to instance {to}"));
        let stalled = self.slots[customer].waits.is_some() && self.rng.chance(500);
        if stalled {
            let slot = std::mem::take(&mut self.slots[customer]);
            if let Some(number) = slot.waits {
                for flight in &mut self.flights {
                    flight.detached |= flight.number == number;
                }
            }
            self.zombies.push(Zombie { slot, customer });
        } else {
            if self.rng.chance(500) {
                self.commit(customer);
            }
            self.detach(customer);
        }
        self.partitions[customer].owner = to;
        self.assign(customer);
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
        let slot = &mut zombie.slot.memory;
        let result = match outbound::answered(job, slot, &flight.step, answer, self.now) {
            Some(result) => Some(result),
            None => match outbound::next(job, slot, self.now) {
                Step::Done(result) => Some(result),
                _ => None,
            },
        };
        if let Some(result) = result {
            let customer = zombie.customer;
            self.log(|_| format!("a stalled instance: c{customer} result v{}", result.version));
            self.results.push(Rc::new(result));
        }
        true
    }
}

fn key_of(step: &Step) -> Option<&str> {
    match step {
        Step::Create { key, .. } | Step::Update { key, .. } => Some(key),
        _ => None,
    }
}

pub fn show(step: &Step) -> String {
    match step {
        Step::Create { customer, fields, without, stamp, key } => format!(
            "create {customer} {} without {without:?} stamp {stamp} key {key}",
            super::show_fields(fields)
        ),
        Step::Update { id, fields, stamp, key, .. } => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(field, value)| format!("{field}={}", super::show_value(value.as_ref())))
                .collect();
            format!("update {id} {} stamp {stamp} key {key}", fields.join(" "))
        }
        other => format!("{other:?}"),
    }
}

fn show_answer(answer: Result<&Answer, &()>) -> String {
    match answer {
        Ok(Answer::Customer { snapshot, replayed }) => {
            format!(
                "{}{}",
                super::show_snapshot(snapshot),
                if *replayed { " replayed" } else { "" }
            )
        }
        Ok(other) => format!("{other:?}"),
        Err(()) => "no answer".into(),
    }
}
