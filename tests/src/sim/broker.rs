//! The topic `customer_events`: partitions, each with the records of several customers, and what
//! an instance of kafka-to-stripe takes of them.

use std::rc::Rc;

use common::record::Change;

use super::World;
use super::mover::{Slot, Zombie};
use crate::in_force::holds;
use crate::sync::outbound::Job;
use crate::sync::rules::Rule;

/// One partition: records with the customers they are about.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    pub log: Vec<(usize, Rc<Change>)>,
    /// Offsets of records that were put back: they are never the newest, and never superseded.
    pub put_back: Vec<usize>,
    /// The offset a new owner starts from.
    pub committed: usize,
    pub owner: usize,
    /// Where it ended when it was assigned.
    pub watermark: usize,
}

impl World {
    pub fn partition_of(&self, customer: usize) -> usize {
        customer % self.partitions.len()
    }

    fn customers_of(&self, partition: usize) -> impl Iterator<Item = usize> + use<> {
        (partition..self.slots.len()).step_by(self.partitions.len())
    }

    pub fn produce(&mut self, change: &Rc<Change>) {
        let Some(customer) = self.entries.iter().position(|e| e.customer.id == change.subject)
        else {
            return;
        };
        let partition = self.partition_of(customer);
        let log = &mut self.partitions[partition].log;
        log.push((customer, Rc::clone(change)));
        let offset = log.len() - 1;
        self.log(|_| format!("relay produces c{customer}@{offset} v{}", change.data.version));
    }

    /// A customer is new: its partition's owner has nothing in hand for it.
    pub fn add_slot(&mut self) {
        let partition = self.partition_of(self.slots.len());
        let done = self.partitions[partition].committed;
        self.slots.push(Slot { position: done, done, ..Slot::default() });
    }

    /// An instance gets a partition: it starts from what was committed, and knows nothing.
    pub fn assign(&mut self, partition: usize) {
        let pipe = self.pipe;
        let of = &mut self.partitions[partition];
        of.watermark = if pipe { usize::MAX } else { of.log.len() };
        let done = of.committed;
        for customer in self.customers_of(partition) {
            self.slots[customer] = Slot { position: done, done, ..Slot::default() };
        }
    }

    /// Of the records of a customer that wait, the highest version stands for them all.
    pub fn take_lane(&mut self, customer: usize) -> bool {
        let partition = &self.partitions[self.partition_of(customer)];
        let (log, slot) = (&partition.log, &self.slots[customer]);
        let mine = |at: &usize| log[*at].0 == customer;
        let Some(first) = (slot.position..log.len()).find(mine) else { return false };
        let ahead = holds(Rule::ReadAhead) && !self.pipe;
        let read_ahead = if ahead { partition.watermark.min(log.len()) } else { 0 };
        let least = (first + 1).max(slot.lane_end).max(read_ahead);
        let end = least + self.rng.below(log.len() - least + 1);
        // Before the watermark only the newest record of a customer is remembered.
        let put_back = |at: &usize| partition.put_back.contains(at);
        let last = (first..read_ahead).rfind(|at| mine(at) && !put_back(at));
        let superseded = |at: &usize| last.is_some_and(|last| *at < last) && !put_back(at);
        let of_version =
            |at: &usize| if holds(Rule::HighestVersion) { log[*at].1.data.version } else { 0 };
        let waits = (first..end).filter(mine).filter(|at| !superseded(at));
        let newest = waits.max_by_key(|at| (of_version(at), *at)).unwrap_or(first);
        let fresh = !self.pipe && newest >= partition.watermark && !put_back(&newest);
        let change = Change::clone(&log[newest].1);
        self.slots[customer].lane_end = end;
        self.log(|_| format!("mover takes c{customer}@{newest} v{}", change.data.version));
        self.truth[customer].waits_for_period = false;
        match Job::new(change, fresh) {
            Some(job) => self.slots[customer].job = Some(job),
            None => self.finish(customer),
        }
        true
    }

    pub fn finish(&mut self, customer: usize) {
        let partition = &self.partitions[self.partition_of(customer)];
        let slot = &mut self.slots[customer];
        let mut waited = partition.log.iter().take(partition.watermark).skip(slot.position);
        if !self.pipe && waited.any(|(of, _)| *of == customer) {
            slot.backlog += 1;
        }
        let is_read_once = slot.backlog < 2;
        slot.job = None;
        slot.position = slot.lane_end;
        slot.done = slot.lane_end;
        if !is_read_once {
            self.fail(|| format!("c{customer}: two records that waited were acted on, not one"));
        }
    }

    /// The offset of the lowest record that is not finished is stored.
    pub fn commit(&mut self, customer: usize) -> bool {
        let partition = self.partition_of(customer);
        let log = &self.partitions[partition].log;
        let unfinished = |of: usize| {
            let done = self.slots[of].done;
            (done..log.len()).find(|at| log[*at].0 == of).unwrap_or(log.len())
        };
        let done = if holds(Rule::LowestUnfinished) {
            self.customers_of(partition).map(unfinished).min()
        } else {
            self.customers_of(partition).map(|of| self.slots[of].done).max()
        };
        let committed = &mut self.partitions[partition].committed;
        let moved = done.is_some_and(|done| *committed < done);
        *committed = done.unwrap_or(0).max(*committed);
        moved
    }

    /// The instance that owns this customer dies and is started again: memory is gone.
    pub fn crash_mover(&mut self, customer: usize) {
        let owner = self.partitions[self.partition_of(customer)].owner;
        for partition in 0..self.partitions.len() {
            if self.partitions[partition].owner == owner {
                for of in self.customers_of(partition) {
                    self.detach(of);
                }
                self.assign(partition);
            }
        }
    }

    /// The partition goes to the other instance. The old owner stops, or is stalled and does not
    /// know: its requests land late.
    pub fn rebalance(&mut self, customer: usize) {
        let partition = self.partition_of(customer);
        let to = 1 - self.partitions[partition].owner;
        self.log(|_| format!("partition {partition}, with c{customer}, goes to instance {to}"));
        let waits = |world: &Self, of: usize| world.slots[of].waits.is_some();
        let stalled = self.customers_of(partition).any(|of| waits(self, of));
        let stalled = stalled && self.rng.chance(500);
        if !stalled && self.rng.chance(500) {
            self.commit(customer);
        }
        for of in self.customers_of(partition) {
            if !stalled || !waits(self, of) {
                self.detach(of);
                continue;
            }
            let slot = std::mem::take(&mut self.slots[of]);
            for flight in &mut self.flights {
                flight.detached |= Some(flight.number) == slot.waits;
            }
            self.zombies.push(Zombie { slot, customer: of });
        }
        self.partitions[partition].owner = to;
        self.assign(partition);
    }
}
