//! When two states are the same: what the future depends on is hashed by its relations, not by
//! numbers that only count.
//!
//! - Requests, events and records have no numbers; records count from the first that is still
//!   read.
//! - Stripe's times, and the order of its changes, are ranks among those they are ever compared
//!   with: orders of changes with the persons' edits of the same field whose values are still
//!   somewhere.
//! - Of a record it matters what a mover reads, of a stored answer the id, of a stalled instance
//!   the result that may come of it, of what is acknowledged only what is pending.
//! - What waits is in no order: any of it may be the next.
//!
//! 64 bits of hash are compared, not states: among N states two different ones are taken for the
//! same with a chance of about N² / 2^65, one in ten thousand at 60 million.

use std::hash::{Hash, Hasher};

use super::super::hook::{Hooked, Question};
use super::super::requests::Flight;
use super::super::stripe::{Author, Event, Stored};
use super::super::{FIELDS, World};
use super::Left;
use super::fast::Fast;
use crate::sync::outbound::{self, Memory, Remote, Step};
use common::record::{Change, STRIPE};

impl World {
    /// What the future depends on.
    pub(super) fn hash(&self, left: Left) -> u64 {
        let mut to = Fast::default();
        (left.edits, left.faults, left.used).hash(&mut to);
        let ranks = Ranks::of(self);
        self.hash_catalog(&ranks, &mut to);
        self.hash_stripe(&ranks, left.faults, &mut to);
        self.hash_mover(left.faults, &mut to);
        self.hash_truth(&ranks, &mut to);
        // In which order they came does not matter: any may be the next.
        let mut waiting: Vec<u64> = Vec::with_capacity(8);
        for record in &self.hooked {
            let mut to = Fast::default();
            if let Hooked::Event(number) = record {
                ranks.event(&self.stripe.events[*number], &mut to);
            }
            waiting.push(to.finish());
        }
        for question in &self.questions {
            let mut to = Fast::default();
            1_u8.hash(&mut to);
            self.hash_question(question, &ranks, &mut to);
            waiting.push(to.finish());
        }
        waiting.sort_unstable();
        waiting.hash(&mut to);
        to.finish()
    }

    fn hash_catalog(&self, ranks: &Ranks, to: &mut Fast) {
        let entry = &self.entries[0];
        (entry.customer.version, &entry.customer.fields, entry.customer.deleted).hash(to);
        let Some(sync) = entry.systems.get(STRIPE) else { return };
        (&sync.external_id, sync.gone, &sync.first, &sync.shadow, sync.seen).hash(to);
        (ranks.time(sync.remote_at), sync.pending(), &sync.own, &sync.refused, &sync.error)
            .hash(to);
        (sync.doubt.is_some(), sync.deleted_version, &sync.delete_ids).hash(to);
        for result in &self.results {
            (result.version, result.outcome, &result.external_id, &result.error).hash(to);
            result.refused.hash(to);
        }
    }

    fn hash_stripe(&self, ranks: &Ranks, faults: u32, to: &mut Fast) {
        for made in &self.stripe.customers {
            (&made.snapshot, ranks.authors(made.authors), made.stamped).hash(to);
            made.made_for.is_some().hash(to);
        }
        let again = |(key, _, step, _): &&(String, i64, Step, Stored)| {
            self.may_come_again(key, step, faults)
        };
        for (key, _, step, stored) in self.stripe.keys.iter().filter(again) {
            // A replayed answer tells the id only.
            let kind = match stored {
                Stored::Answer(_) => 0_u8,
                Stored::Error => 1,
            };
            (key, step, kind).hash(to);
        }
    }

    fn hash_mover(&self, faults: u32, to: &mut Fast) {
        let (of, slot) = (&self.partitions[0], &self.slots[0]);
        let lowest = self.lowest(faults);
        let above = |at: usize| at.saturating_sub(lowest);
        (above(slot.position), above(of.watermark), above(slot.lane_end)).hash(to);
        (slot.backlog > 0 && slot.position < of.watermark).hash(to);
        for (_, change) in &of.log[lowest..] {
            hash_record(change, to);
        }
        // What may come again does so by a fault.
        for change in self.sent.iter().filter(|_| faults > 0) {
            hash_record(change, to);
        }
        hash_memory(&slot.memory, to);
        if let Some(job) = &slot.job {
            // What it does from now on; what else it knows comes from the record.
            hash_record(&job.change, to);
            outbound::next(job, &slot.memory, self.now).hash(to);
        }
        let changed = self.stripe.customers.first().map_or(0, |made| made.changed);
        let mut flights: Vec<u64> = Vec::new();
        for flight in &self.flights {
            let mut to = Fast::default();
            (&flight.step, self.is_late(flight, changed)).hash(&mut to);
            let zombie = self.zombies.iter().find(|z| z.slot.waits == Some(flight.number));
            if let Some(zombie) = zombie {
                // It sends nothing more: of its answer a result may come.
                (1_u8, zombie.slot.memory.id.is_some()).hash(&mut to);
                if let Some(job) = &zombie.slot.job {
                    hash_record(&job.change, &mut to);
                }
            }
            flights.push(to.finish());
        }
        flights.sort_unstable();
        flights.hash(to);
    }

    fn is_late(&self, flight: &Flight, changed: u32) -> bool {
        flight.sent == 0 && changed > 0 || self.is_overtaken(flight, changed)
    }

    fn hash_truth(&self, ranks: &Ranks, to: &mut Fast) {
        let truth = &self.truth[0];
        for edit in &truth.edits {
            let landed = edit.landed.map(|order| ranks.order(edit.field, order));
            (edit.field, edit.version, landed, ranks.order(edit.field, edit.knew)).hash(to);
        }
        for at in 0..FIELDS {
            (ranks.order(at, truth.taken[at]), ranks.order(at, truth.known[at])).hash(to);
            (truth.taken[at] > 0).hash(to);
        }
        (truth.excused, truth.deleted, truth.beyond, truth.stale, truth.unstamped).hash(to);
        for lost in &truth.overwritten {
            (lost.field, &lost.value, ranks.order(lost.field, lost.order), lost.by).hash(to);
        }
        if !truth.overwritten.is_empty() {
            // One of ours may have brought back what was lost.
            truth.edits.iter().for_each(|edit| edit.value.hash(to));
        }
        truth.conflicts.hash(to);
    }

    fn hash_question(&self, question: &Question, ranks: &Ranks, to: &mut Fast) {
        if let Some(number) = question.event {
            ranks.event(&self.stripe.events[number], to);
        }
        let doubt = &question.doubt;
        doubt.late.hash(to);
        for edit in &doubt.edits {
            (&edit.field, &edit.value, edit.stamp).hash(to);
        }
        // `landed` and `stood` are for snapshots without a stamp.
    }
}

/// What a mover reads of a record.
fn hash_record(change: &Change, to: &mut Fast) {
    change.data.version.hash(to);
    let Some(part) = change.data.systems.get(STRIPE) else { return };
    (part.again, part.id.is_some(), &part.first).hash(to);
    for (field, version) in &part.pending {
        (field, version, change.data.customer.fields.get(field)).hash(to);
    }
}

fn hash_memory(memory: &Memory, to: &mut Fast) {
    let stamp = match &memory.remote {
        Remote::Unknown => None,
        Remote::Live(stamp) => Some(stamp),
        Remote::Gone => None,
    };
    (memory.id.is_some(), stamp, memory.attempts, memory.must_look).hash(to);
}

/// Orders and times by their rank among those that they are ever compared with.
struct Ranks {
    /// Per field, the persons' edits whose values are still somewhere.
    orders: [Vec<u32>; 2],
    times: Vec<i64>,
}

impl Ranks {
    fn of(w: &World) -> Self {
        let mut orders: [Vec<u32>; 2] = Default::default();
        let mut times: Vec<i64> = Vec::with_capacity(8);
        let mut add = |authors: &[Author; FIELDS]| {
            for (at, orders) in orders.iter_mut().enumerate() {
                if let Author::Person(order) = authors[at] {
                    orders.push(order);
                }
            }
        };
        for made in &w.stripe.customers {
            add(&made.authors);
        }
        for event in &w.stripe.events {
            add(&event.authors);
            times.push(event.created);
        }
        for lost in &w.truth[0].overwritten {
            orders[lost.field].push(lost.order);
        }
        for orders in &mut orders {
            orders.sort_unstable();
            orders.dedup();
        }
        times.push((w.now + w.stripe.skew_ms) / 1000);
        times.extend(w.entries[0].systems.get(STRIPE).map(|sync| sync.remote_at));
        times.sort_unstable();
        times.dedup();
        Self { orders, times }
    }

    /// All other orders are only compared with those.
    fn order(&self, at: usize, order: u32) -> usize {
        self.orders.get(at).map_or(0, |orders| orders.partition_point(|one| *one <= order))
    }

    /// 0 is a time that is not known.
    fn time(&self, at: i64) -> usize {
        if at == 0 { 0 } else { 1 + self.times.partition_point(|one| *one < at) }
    }

    fn authors(&self, authors: [Author; FIELDS]) -> [(u8, u64); FIELDS] {
        let mut at = 0;
        authors.map(|author| {
            let ranked = match author {
                Author::Nobody => (0, 0),
                Author::Ours(_) => (1, 0),
                Author::Person(order) => (2, self.order(at, order) as u64),
                Author::Made(order) => (3, u64::from(order)),
            };
            at += 1;
            ranked
        })
    }

    fn event(&self, event: &Event, to: &mut Fast) {
        (event.kind, self.time(event.created), &event.snapshot, &event.previous).hash(to);
        self.authors(event.authors).hash(to);
    }
}
