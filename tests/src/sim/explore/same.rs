//! When two states are the same: what the future cannot tell apart is thrown away (`tidy`), and what
//! is left is hashed by its relations (`hash`), not by numbers that only count.
//!
//! 64 bits of hash are compared, not states: among N states two different ones are taken for the same
//! with a chance of about N² / 2^65, one in ten thousand at 60 million.

use std::hash::{Hash, Hasher};

use super::super::hook::{Hooked, Question};
use super::super::requests::{Flight, key_of};
use super::super::stripe::{Author, Event, Stored};
use super::super::{FIELDS, World, field, show_value};
use super::Left;
use super::fast::Fast;
use crate::in_force::holds;
use crate::sync::inbound::SAME_TIME_S;
use crate::sync::outbound::{self, Memory, Remote, Step};
use crate::sync::rules::Rule;
use common::record::{Change, Fields, STRIPE};

/// So many records that the relay published last may come again after a crash.
const AGAIN_MAX: usize = 3;

impl World {
    /// Throws away what nothing can come of any more.
    pub(super) fn tidy(&mut self, faults: u32) {
        self.tidy_events();
        self.tidy_log(faults);
        self.tidy_results();
        self.tidy_flights();
        self.tidy_truth();
        self.tidy_keys(faults);
    }

    /// Events that were taken in: the inbox makes them nothing, and none comes without a record. And
    /// those that come too late to do anything (`comes_to_nothing`).
    fn tidy_events(&mut self) {
        for number in 0..self.stripe.events.len() {
            self.inbox[number] |= self.comes_to_nothing(number);
        }
        if holds(Rule::Inbox) {
            let inbox = &self.inbox;
            self.hooked.retain(|record| match record {
                Hooked::Event(number) => !inbox[*number],
                Hooked::Listed(_) => true,
            });
            self.questions.retain(|question| question.event.is_none_or(|number| !inbox[number]));
        }
        let mut to = vec![usize::MAX; self.stripe.events.len()];
        let mut kept = 0;
        for number in 0..to.len() {
            let waits = self.hooked.iter().any(|of| matches!(of, Hooked::Event(n) if *n == number))
                || self.questions.iter().any(|question| question.event == Some(number));
            if waits {
                to[number] = kept;
                self.stripe.events.swap(kept, number);
                self.inbox.swap(kept, number);
                kept += 1;
            }
        }
        self.stripe.events.truncate(kept);
        self.inbox.truncate(kept);
        self.sent_out = kept;
        for record in &mut self.hooked {
            if let Hooked::Event(number) = record {
                *number = to[*number];
            }
        }
        for question in &mut self.questions {
            question.event = question.event.map(|number| to[number]);
        }
    }

    /// A snapshot older by its stamp, or by its time under the same stamp, stays so. Then it does
    /// nothing unless it tells of a person's edit or a late write. Whoever takes it in may know more
    /// of Stripe than before, and less is to be noted as a conflict: here it is taken in last.
    fn comes_to_nothing(&self, number: usize) -> bool {
        let Some(sync) = self.entries[0].systems.get(STRIPE) else { return false };
        if self.questions.iter().any(|question| question.event == Some(number)) {
            return false;
        }
        let event = &self.stripe.events[number];
        let s = event.snapshot.stamp_version();
        let is_older = event.created < sync.remote_at - SAME_TIME_S && holds(Rule::StaleByTime);
        let stale = s < sync.seen && holds(Rule::StaleByStamp) || s == sync.seen && is_older;
        let edit = event.previous.fields.iter().any(|f| event.previous.is_foreign_edit_of(f));
        let late = event.previous.stamp.is_some_and(|before| before > s || before == 0);
        sync.external_id.is_some() && stale && s > 0 && !edit && !late
    }

    /// Records that nobody reads any more. Whoever starts again before what was read last starts with
    /// the newest one (`World::starts_anew`).
    fn tidy_log(&mut self, faults: u32) {
        let lowest = self.lowest(faults);
        let (of, slot) = (&mut self.partitions[0], &mut self.slots[0]);
        of.log.drain(..lowest);
        of.committed = of.committed.saturating_sub(lowest);
        of.watermark = if of.watermark > slot.position { of.watermark - lowest } else { 0 };
        slot.position -= lowest;
        slot.done = slot.position;
        slot.lane_end = slot.lane_end.saturating_sub(lowest);
        if slot.lane_end <= slot.position && slot.job.is_none() {
            slot.lane_end = 0;
        }
        let forgotten =
            if faults > 0 { self.sent.len().saturating_sub(AGAIN_MAX) } else { self.sent.len() };
        self.sent.drain(..forgotten);
    }

    /// A result sets the link, ends an error, and raises `acked`: that tells which changes are still
    /// pending, and what is changed from now on has a higher version. One that does none of these
    /// changes nothing, and so would one that comes again.
    fn tidy_results(&mut self) {
        let Some(sync) = self.entries[0].systems.get(STRIPE) else { return };
        let plain = sync.external_id.is_some() && sync.error.is_none();
        self.results.retain(|result| {
            let tells = |own: &u64| sync.acked < *own && *own <= result.version;
            !plain || sync.own.values().any(tells) || result.error.is_some()
        });
        self.results.sort_by_key(|result| result.version);
        self.results.dedup_by(|a, b| a == b);
    }

    /// Once something else changed or was asked, a flight is late, however long ago it was sent.
    fn tidy_flights(&mut self) {
        let changed = self.stripe.customers.first().map_or(0, |made| made.changed);
        let mut flights = std::mem::take(&mut self.flights);
        for flight in &mut flights {
            if self.is_overtaken(flight, changed) {
                flight.sent = 0;
            }
        }
        let oldest = flights.iter().filter(|flight| flight.sent > 0 || changed == 0);
        let oldest = oldest.map(|flight| flight.number).min().unwrap_or(u64::MAX);
        self.asked_for.retain(|(_, number, _)| *number > oldest);
        self.flights = flights;
    }

    /// What the judge has to know of an edit that was overwritten unknowingly is over once a
    /// conflict shows it, a person replaced it, or somebody knew.
    fn tidy_truth(&mut self) {
        let truth = &mut self.truth[0];
        truth
            .conflicts
            .sort_by_cached_key(|(of, theirs)| (of.clone(), show_value(theirs.as_ref())));
        truth.conflicts.dedup();
        if truth.excused {
            // Nothing is said of order then, nor of conflicts.
            truth.overwritten.clear();
            truth.conflicts.clear();
            truth.known = [0; FIELDS];
            for edit in &mut truth.edits {
                edit.knew = 0;
                edit.landed = edit.landed.map(|_| 1);
            }
            truth.taken = truth.taken.map(|order| order.min(1));
            self.stripe.person_set.clear();
            return;
        }
        let (set, conflicts, edits) = (&self.stripe.person_set, &truth.conflicts, &truth.edits);
        truth.overwritten.retain(|lost| {
            let shown = conflicts
                .iter()
                .any(|(of, theirs)| *of == field(lost.field) && *theirs == lost.value);
            let replaced =
                set.iter().any(|(_, at, _, order)| *at == lost.field && *order > lost.order);
            let known =
                edits.iter().any(|edit| edit.field == lost.field && edit.knew >= lost.order);
            !shown && !replaced && !known
        });
        // What a person sets from now on replaces all that was overwritten before.
        self.stripe.person_set.clear();
    }

    /// Keys of versions that nobody can send any more; of an answer that is stored only the id and
    /// the stamp count.
    fn tidy_keys(&mut self, faults: u32) {
        let mut keys = std::mem::take(&mut self.stripe.keys);
        keys.retain(|(key, _, step, _)| self.may_come_again(key, step, faults));
        for (_, _, _, stored) in &mut keys {
            if let Stored::Answer(snapshot) = stored {
                snapshot.fields = Fields::new();
            }
        }
        self.stripe.keys = keys;
    }

    fn may_come_again(&self, key: &str, step: &Step, faults: u32) -> bool {
        let slot = &self.slots[0];
        let version = match step {
            // Nobody creates who knows the id, and only a fault makes one forget it.
            Step::Create { .. } if faults > 0 || slot.memory.id.is_none() => return true,
            Step::Update { stamp, .. } => stamp.version,
            _ => 0,
        };
        let unread = &self.partitions[0].log[self.lowest(faults)..];
        let sent = self.sent.iter().filter(|_| faults > 0);
        let records = unread.iter().map(|(_, change)| change).chain(sent);
        let mut versions = records.map(|change| change.data.version);
        versions.any(|of| of == version)
            || slot.job.iter().any(|job| job.change.data.version == version)
            || self.flights.iter().any(|flight| key_of(&flight.step) == Some(key))
    }

    /// The first record that somebody may still read.
    fn lowest(&self, faults: u32) -> usize {
        let (of, slot) = (&self.partitions[0], &self.slots[0]);
        let repeats = faults > 0 && of.committed < slot.position;
        slot.position - usize::from(repeats)
    }

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
            (lost.field, &lost.value, ranks.order(lost.field, lost.order)).hash(to);
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
        // `landed` is for snapshots without a stamp.
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
