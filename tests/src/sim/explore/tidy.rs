//! Throws away what nothing can come of any more: worlds are small then, and alike.

use super::super::hook::Hooked;
use super::super::requests::key_of;
use super::super::stripe::Stored;
use super::super::{FIELDS, World, field, show_value};
use crate::in_force::holds;
use crate::sync::Seen;
use crate::sync::inbound::{SAME_TIME_S, on_snapshot};
use crate::sync::outbound::Step;
use crate::sync::rules::Rule;
use common::record::{Fields, STRIPE};

/// So many records that the relay published last may come again after a crash.
const AGAIN_MAX: usize = 3;

impl World {
    /// All of it.
    pub(super) fn tidy(&mut self, faults: u32) {
        self.tidy_events();
        self.tidy_log(faults);
        self.tidy_results();
        self.tidy_flights();
        self.tidy_truth();
        self.tidy_keys(faults);
    }

    /// Events that were taken in: the inbox makes them nothing, and none comes without a record.
    /// And those that come too late to do anything (`comes_to_nothing`).
    fn tidy_events(&mut self) {
        for number in 0..self.stripe.events.len() {
            if !self.inbox[number] && self.comes_to_nothing(number) {
                self.inbox[number] = true;
                self.does_nothing(number);
            }
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
        for (number, to) in to.iter_mut().enumerate() {
            let waits = self.hooked.iter().any(|of| matches!(of, Hooked::Event(n) if *n == number))
                || self.questions.iter().any(|question| question.event == Some(number));
            if waits {
                *to = kept;
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
    /// nothing unless it tells of a person's edit or a late write. Whoever takes it in may know
    /// more of Stripe than before, and less is to be noted as a conflict: here it is taken in
    /// last.
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
        let late = event.previous.stamp.is_some_and(|before| before > s);
        sync.external_id.is_some() && stale && s > 0 && !edit && !late
    }

    /// Looks whether that is so.
    fn does_nothing(&mut self, number: usize) {
        let mut entry = self.entries[0].clone();
        let event = &self.stripe.events[number];
        let seen = Seen::Event { created: event.created, previous: &event.previous };
        let took = on_snapshot(&mut entry, STRIPE, &event.snapshot, &seen, &self.policy, self.now);
        let noted = took.doubt.is_some() || took.announce.is_some() || !took.conflicts.is_empty();
        if noted || entry != self.entries[0] {
            self.fail(|| format!("an event that came too late does something: {took:?}"));
        }
    }

    /// Records that nobody reads any more. Whoever starts again before what was read last starts
    /// with the newest one (`World::starts_anew`).
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

    /// A result sets the link, ends an error, and raises `acked`: that tells which changes are
    /// still pending, and what is changed from now on has a higher version. One that does none of
    /// these changes nothing, and so would one that comes again.
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

    pub(super) fn may_come_again(&self, key: &str, step: &Step, faults: u32) -> bool {
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
    pub(super) fn lowest(&self, faults: u32) -> usize {
        let (of, slot) = (&self.partitions[0], &self.slots[0]);
        let repeats = faults > 0 && of.committed < slot.position;
        slot.position - usize::from(repeats)
    }
}
