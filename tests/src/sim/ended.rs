//! What must hold once faults have stopped and everything was delivered.

use common::record::{Field, STRIPE, Value};

use super::stripe::{Author, REFUSED_PHONE};
use super::truth::{Edit, Overwritten, Truth, linked};
use super::{FIELDS, World, field, show_value};
use crate::sync::settle::KEPT_OTHERWISE;
use crate::sync::state::stamp_for;
use crate::sync::{Deletes, Owner, SyncState};

impl World {
    /// After faults have stopped and everything was delivered.
    pub fn judge_end(&mut self) {
        for customer in 0..self.entries.len() {
            // What heals late requests are Stripe's events.
            let truth = &self.truth[customer];
            let unhealed = self.mix.one_way && truth.excused;
            // Nobody told that it was restored, and the stamp that would have was taken off.
            let unknowing = truth.untold && truth.unstamped;
            if truth.beyond || self.lost[customer] || unhealed || unknowing {
                continue;
            }
            let sync = self.entries[customer].systems.get(STRIPE);
            if sync.is_some_and(|sync| sync.doubt.is_some() || !sync.put_aside.is_empty()) {
                self.fail(|| format!("c{customer} is still in doubt"));
            }
            if let Some(why) = self.unequal(customer) {
                self.fail(|| format!("I4: c{customer}: {why}"));
            }
            if let Some(why) = self.lost(customer) {
                self.fail(|| format!("I1: c{customer}: {why}"));
            }
            if let Some(why) = self.silently_lost(customer).or(self.wrongly_refused(customer)) {
                self.fail(|| format!("I1: c{customer}: {why}"));
            }
        }
        for object in 0..self.stripe.customers.len() {
            let made = &self.stripe.customers[object];
            let known = self.entries.iter().zip(&self.lost).filter(|(_, lost)| !**lost);
            let linked = known.into_iter().any(|(entry, _)| linked(entry) == Some(object));
            // One with our stamp that is no link's is a person's copy: noted, nothing changed. But
            // one that was made for a customer that the catalog lost is born again.
            let names_lost = made.made_for.is_some()
                && made.made_for == made.snapshot.catalog_id
                && made.made_for.as_deref().is_some_and(|id| self.customer_named(id).is_none());
            let is_known = made.snapshot.stamp.is_some() && !names_lost;
            if !linked && !made.snapshot.deleted && !is_known {
                let id = made.snapshot.id.clone();
                self.fail(|| format!("{id} is at Stripe and not in the catalog"));
            }
        }
        if self.mix.counted {
            let edits: usize = self.truth.iter().map(Truth::versions).sum();
            let (writes, reads) = (self.stripe.writes as usize, self.stripe.reads);
            let versions: u64 = self.entries.iter().map(|entry| entry.customer.version).sum();
            if writes > edits || reads > 0 || self.asked > 0 || versions as usize != edits {
                let asked = self.asked;
                self.fail(|| {
                    format!(
                        "I3: {edits} edits made {writes} writes, {reads} reads, \
                         {versions} versions, {asked} doubts"
                    )
                });
            }
        }
    }

    /// A repeat is for what was lost on the way. Nothing of what arrived waits for it.
    pub(super) fn judge_prompt(&mut self) {
        for customer in 0..self.entries.len() {
            let (entry, truth) = (&self.entries[customer], &self.truth[customer]);
            let failed = entry.systems.get(STRIPE).is_some_and(|sync| sync.error.is_some());
            // What the replaced catalog had heard is not told again.
            let unheard = truth.restored || truth.stale || self.lost[customer];
            let excused = unheard || truth.waits_for_period || failed;
            if entry.wants(STRIPE) && !excused {
                self.fail(|| format!("c{customer} waits for a repeat though nothing was lost"));
            }
        }
    }

    /// A field that is shown as refused, though Stripe would take it, or though a person has
    /// changed it there since.
    fn wrongly_refused(&self, customer: usize) -> Option<String> {
        let (truth, entry) = (&self.truth[customer], &self.entries[customer]);
        let sync = entry.systems.get(STRIPE)?;
        let made = &self.stripe.customers[linked(entry)?];
        if truth.restored || entry.customer.deleted || made.snapshot.deleted {
            return None;
        }
        (0..FIELDS).find_map(|at| {
            let name = field(at);
            let refusal = sync.refused.get(&name)?;
            let value = show_value(entry.customer.fields.get(&name));
            if value != REFUSED_PHONE && refusal.why != KEPT_OTHERWISE {
                return Some(format!(
                    "{value:?} in {name} counts as refused, and nobody refused it"
                ));
            }
            let told = truth.refused[at].filter(|(version, _)| *version == refusal.version);
            let Author::Person(edited) = made.authors[at] else { return None };
            let passed_over = told.is_some_and(|(_, order)| order < edited) && !truth.excused;
            (passed_over && self.owner(at) != Owner::Catalog)
                .then(|| format!("{name} was edited after ours was refused, and not taken"))
        })
    }

    fn unequal(&self, customer: usize) -> Option<String> {
        let entry = &self.entries[customer];
        let sync = entry.systems.get(STRIPE)?;
        let truth = &self.truth[customer];
        if entry.customer.deleted != truth.deleted && !truth.restored {
            return Some(format!("deleted: {}", entry.customer.deleted));
        }
        let kept_there = entry.customer.deleted && self.api_deletes == Deletes::Keep;
        if entry.customer.deleted && !truth.excused && !truth.restored && !kept_there {
            let name = &entry.customer.id;
            let alive = self
                .stripe
                .customers
                .iter()
                .find(|made| made.made_for.as_ref() == Some(name) && !made.snapshot.deleted);
            if let Some(alive) = alive {
                return Some(format!("deleted, and {} lives at Stripe", alive.snapshot.id));
            }
        }
        let Some(object) = linked(entry) else {
            return (!entry.customer.deleted && sync.error.is_none())
                .then(|| "never created at Stripe".to_owned());
        };
        let made = &self.stripe.customers[object];
        let kept_here = made.snapshot.deleted && self.policy.deletes == Deletes::Keep;
        if kept_here && !entry.customer.deleted {
            let says_so = sync.gone && sync.error.is_some() && !entry.wants(STRIPE);
            return (!says_so).then(|| "deleted at Stripe, and it does not say so".to_owned());
        }
        if made.snapshot.deleted != entry.customer.deleted && !kept_there {
            return Some(format!("deleted at Stripe: {}", made.snapshot.deleted));
        }
        if entry.customer.deleted {
            let failed = sync.error.as_ref().filter(|_| self.mix.fatal == 0 && !kept_there);
            return failed.map(|why| format!("deleted, and failed: {why}"));
        }
        let has_failed = sync.error.is_some();
        if has_failed && self.mix.fatal == 0 {
            return Some(format!("failed: {:?}", sync.error));
        }
        let is_stamped = stamp_for(&made.snapshot, &entry.customer.id).is_some();
        if made.stamped && !is_stamped && !has_failed && !truth.restored {
            return Some("the stamp is off".to_owned());
        }
        if has_failed {
            return None;
        }
        // Nobody told that it was restored, and the number of this edit meant another before.
        let taken_for_done = |field: &Field| {
            let own = sync.own(field);
            let newest = truth.edits.iter().rev().find(|e| super::field(e.field) == *field);
            0 < own && own <= sync.acked && newest.is_some_and(Edit::may_be_done)
        };
        let differing = entry.customer.fields.differing(&made.snapshot.fields);
        let wrong = differing
            .into_iter()
            .find(|field| !sync.refused.contains_key(field) && !taken_for_done(field))?;
        Some(format!(
            "{wrong} is {} in the catalog and {} at Stripe",
            show_value(entry.customer.fields.get(&wrong)),
            show_value(made.snapshot.fields.get(&wrong))
        ))
    }

    fn lost(&self, customer: usize) -> Option<String> {
        let entry = &self.entries[customer];
        let sync = entry.systems.get(STRIPE)?;
        if entry.customer.deleted || sync.error.is_some() {
            return None;
        }
        (0..FIELDS).find_map(|at| {
            let edits = self.truth[customer].edits.iter().rev();
            let edit = edits.filter(|edit| edit.field == at).find(|edit| !edit.lost)?;
            if edit.may_be_done() {
                return None;
            }
            let shown = sync.refused.contains_key(&field(at));
            let replaced = self.truth[customer].taken[at] > 0 && edit.replaced(sync);
            (edit.landed.is_none() && !shown && !replaced).then(|| {
                format!("the edit of {} in v{} never reached Stripe", field(at), edit.version)
            })
        })
    }

    /// An edit of a person's that ours replaced unknowingly, that no later one of theirs replaced
    /// in turn, and that no conflict shows.
    fn silently_lost(&self, customer: usize) -> Option<String> {
        let (truth, entry) = (&self.truth[customer], &self.entries[customer]);
        let object = linked(entry)?;
        let is_over = entry.customer.deleted || self.stripe.customers[object].snapshot.deleted;
        if truth.excused || truth.restored || is_over {
            return None;
        }
        let shown = |lost: &&Overwritten| {
            truth
                .conflicts
                .iter()
                .any(|(of, theirs)| *of == field(lost.field) && *theirs == lost.value)
        };
        let replaced = |lost: &&Overwritten| {
            self.stripe
                .person_set
                .iter()
                .any(|(of, at, _, order)| (*of, *at) == (object, lost.field) && *order > lost.order)
        };
        let stands = |lost: &&Overwritten| {
            entry.customer.fields.get(&field(lost.field)) == lost.value.as_ref()
        };
        // Known to whoever made one of ours, or made anew there without knowing.
        let known = |lost: &&Overwritten| {
            truth.edits.iter().filter(|edit| edit.field == lost.field).any(|edit| {
                edit.knew >= lost.order || edit.version > lost.by && edit.value == lost.value
            })
        };
        let silent = |lost: &&Overwritten| {
            !truth.made[lost.field]
                && !shown(lost)
                && !replaced(lost)
                && !stands(lost)
                && !known(lost)
        };
        let lost = truth.overwritten.iter().find(silent)?;
        let (name, value) = (field(lost.field), show_value(lost.value.as_ref()));
        Some(format!("{value:?} in {name} was overwritten, and no conflict says so"))
    }

    /// How many conflicts were noted, and in how many of them nobody had set the value.
    pub fn conflicts_noted(&self) -> (usize, usize) {
        let is_needless = |customer: usize, (of, theirs): &(Field, Option<Value>)| {
            let object = linked(&self.entries[customer]);
            !self.stripe.person_set.iter().any(|(made, at, value, _)| {
                Some(*made) == object && field(*at) == *of && value == theirs
            })
        };
        let (mut noted, mut needless) = (0, 0);
        for (customer, truth) in self.truth.iter().enumerate() {
            noted += truth.conflicts.len();
            needless += truth.conflicts.iter().filter(|c| is_needless(customer, c)).count();
        }
        (noted, needless)
    }
}

impl Edit {
    /// Its number may be that of another change, which counts for this one.
    fn may_be_done(&self) -> bool {
        self.doubtful && !self.renumbered
    }

    /// A refused value gives way to a person's edit: then it is not pending any more either.
    fn replaced(&self, sync: &SyncState) -> bool {
        sync.own(&field(self.field)) == 0
    }
}
