//! The ground truth: who edited what and in which order, and what must hold.

use crate::sync::outbound::Step;
use crate::sync::state::LEAP;
use crate::sync::{Deletes, Entry, Owner, SyncState, Took};
use common::record::{Field, Outcome, STRIPE, Snapshot, SyncResult, Value};

use super::stripe::{Author, Effect, Stripe};
use super::{FIELDS, World, field};

/// One edit of one field that the API accepted.
#[derive(Clone, Debug, Hash)]
pub struct Edit {
    pub field: usize,
    pub value: Option<Value>,
    pub version: u64,
    /// The order at Stripe when it reached Stripe first.
    pub landed: Option<u32>,
    /// The newest person's edit of this field that the catalog had then.
    pub knew: u32,
    /// Made by a catalog that was replaced by an older backup since.
    pub lost: bool,
    /// Its number may mean another change at Stripe, and nothing had told so when it was made.
    pub doubtful: bool,
    /// It was still owed when something told: it goes out under a new number.
    pub renumbered: bool,
}

/// A value that a person set, and a write of ours replaced although nobody knew of it.
#[derive(Clone, Debug, Hash)]
pub struct Overwritten {
    pub field: usize,
    pub value: Option<Value>,
    pub order: u32,
    /// The version of ours that replaced it.
    pub by: u64,
}

/// What is known of one catalog customer.
#[derive(Clone, Debug, Default, Hash)]
pub struct Truth {
    pub edits: Vec<Edit>,
    /// Per field, the newest person's edit that the catalog took.
    pub taken: [u32; FIELDS],
    /// The newest that it had, taken or because both sides set the same.
    pub known: [u32; FIELDS],
    /// What nobody can promise happened to it: order at Stripe may have broken for a moment.
    pub excused: bool,
    pub deleted: bool,
    /// Version, `taken` and `deleted` when the catalog was backed up.
    pub backed_up: (u64, [u32; FIELDS], bool),
    /// The catalog was restored: history repeats for a while, and a deletion may have been lost.
    pub restored: bool,
    /// Nobody told it, and up to this version it may say again what it said before; 0 once it has
    /// seen a version that it does not know.
    pub unsaid: u64,
    /// Nobody told it, ever.
    pub untold: bool,
    /// Per field, the version of ours that Stripe refused, as a result told first, and when in the
    /// order.
    pub refused: [Option<(u64, u32)>; FIELDS],
    /// Its create was left for a repeat: too late for one period's keys, too early for the next.
    pub waits_for_period: bool,
    pub overwritten: Vec<Overwritten>,
    /// What Stripe made of a value of ours was first seen later, and taken for a person's.
    pub made: [bool; FIELDS],
    pub conflicts: Vec<(Field, Option<Value>)>,
    /// A person took the stamp off: a look-up cannot tell it from a copy.
    pub unstamped: bool,
    /// And it was created a second time therefore, or a late write came on top.
    pub beyond: bool,
    /// A stalled relay produced an old record of it again: what that brings is as a late write.
    pub stale: bool,
}

impl World {
    pub fn fail(&mut self, why: impl FnOnce() -> String) {
        if self.failed.is_none() {
            let why = why();
            self.log(|_| format!("FAILED: {why}"));
            self.failed = Some(why);
        }
    }

    pub fn excuse(&mut self, customer: usize, why: &str) {
        if !self.truth[customer].excused {
            self.log(|_| format!("c{customer} is excused: {why}"));
            self.truth[customer].excused = true;
        }
    }

    /// A request of ours took effect at Stripe.
    pub fn judge_effect(&mut self, customer: usize, step: &Step, effect: &Effect, late: bool) {
        let made = &self.stripe.customers[effect.object];
        let (after, order) = (made.snapshot.clone(), made.changed);
        let Some((before, authors)) = &effect.before else {
            let name = self.entries[customer].customer.id.clone();
            let made = |c: &&super::stripe::Customer| c.made_for.as_deref() == Some(name.as_str());
            let count = self.stripe.customers.iter().filter(made).count();
            if count > 1 && self.truth[customer].unstamped {
                self.truth[customer].beyond = true;
            } else if count > 1 {
                self.fail(|| format!("I2: {count} Stripe customers were made for {name}"));
            }
            if late && self.mix.one_way {
                self.excuse(customer, "it was created late, and no event says so");
            }
            let Step::Create { without, fields, .. } = step else { return };
            self.judge_owned(fields.iter().map(|(field, _)| field));
            let sent: Vec<_> = (0..FIELDS).filter(|at| !without.contains(&field(*at))).collect();
            self.landed(customer, 1, order, &sent);
            return;
        };
        if let Step::Delete { id } = step {
            if self.api_deletes == Deletes::Keep {
                self.fail(|| format!("{id} was deleted though it is to be kept"));
            }
            if !self.truth[customer].deleted && !self.truth[customer].restored {
                self.fail(|| format!("{id} was deleted though nobody deleted c{customer}"));
            }
            return;
        }
        let Step::Update { fields, stamp, .. } = step else { return };
        let last = before.stamp_version();
        let newer = |edit: &Edit| edit.landed.is_some() && edit.version > stamp.version;
        let stale = self.truth[customer].stale && self.truth[customer].edits.iter().any(newer);
        if late || stale {
            self.excuse(customer, "a request landed after its sender gave up on it");
        }
        if !self.truth[customer].excused {
            if after.fields == before.fields && after.stamp == before.stamp {
                self.fail(|| format!("I3: a write to {} carried nothing new", after.id));
            }
            if stamp.version < last {
                self.fail(|| format!("I5: stamp {last} went back to {}", stamp.version));
            }
        }
        let sent: Vec<&Field> = fields.iter().map(|(field, _)| field).collect();
        self.judge_owned(sent.iter().copied());
        for (at, author) in authors.iter().enumerate() {
            let Author::Person(order) = *author else { continue };
            let value = before.fields.get(&field(at));
            if !sent.contains(&&field(at)) || value == after.fields.get(&field(at)) {
                continue;
            }
            let edit = self.newest_edit(customer, at, stamp.version);
            let landed = edit.and_then(|edit| edit.landed);
            let unknown = edit.is_none_or(|edit| edit.knew < order);
            let excused = self.truth[customer].excused || self.owner(at) == Owner::Catalog;
            if landed.is_some_and(|landed| landed < order) && !excused {
                let name = field(at);
                self.fail(|| format!("a person's edit of {name} was reverted by an old one"));
            }
            if unknown {
                let value = value.cloned();
                let by = stamp.version;
                self.truth[customer].overwritten.push(Overwritten { field: at, value, order, by });
            }
        }
        let sent: Vec<usize> = (0..FIELDS).filter(|at| sent.contains(&&field(*at))).collect();
        self.landed(customer, stamp.version, order, &sent);
    }

    fn newest_edit(&self, customer: usize, at: usize, version: u64) -> Option<&Edit> {
        let edits = self.truth[customer].edits.iter().rev();
        edits.filter(|edit| edit.field == at).find(|edit| edit.version <= version)
    }

    fn landed(&mut self, customer: usize, version: u64, order: u32, fields: &[usize]) {
        let edits = &mut self.truth[customer].edits;
        for edit in edits.iter_mut() {
            if fields.contains(&edit.field) && edit.version <= version {
                edit.landed.get_or_insert(order);
            }
        }
    }

    /// We bring nothing of what belongs to Stripe.
    fn judge_owned<'a>(&mut self, mut sent: impl Iterator<Item = &'a Field>) {
        let theirs = |field: &&Field| self.policy.owners.of(field) == Owner::Stripe;
        if let Some(field) = sent.find(theirs).cloned() {
            self.fail(|| format!("{field} belongs to Stripe, and a write of ours brought it"));
        }
    }

    /// What a snapshot or a result made of a catalog customer.
    pub fn judge_kept(&mut self, customer: usize, entry: &Entry, took: &Took) {
        let was = self.entries[customer].customer.clone();
        if was.deleted && !entry.customer.deleted {
            self.fail(|| format!("I5: c{customer} was revived"));
        }
        let known_gone = self.entries[customer].systems.get(STRIPE).is_some_and(|s| s.gone);
        let has_new_version = entry.customer.version != was.version;
        if was.deleted && known_gone && has_new_version {
            self.fail(|| format!("c{customer} is deleted on both sides, and has a new version"));
        }
        let changed = was.fields.differing(&entry.customer.fields);
        let ours = |field: &&Field| self.policy.owners.of(field) == Owner::Catalog;
        if let Some(field) = changed.iter().find(ours).filter(|_| !entry.customer.deleted) {
            self.fail(|| format!("{field} of c{customer} belongs to the catalog, and was taken"));
        }
        let conflicts = took.conflicts.iter();
        let conflicts = conflicts.map(|conflict| (conflict.field.clone(), conflict.theirs.clone()));
        self.truth[customer].conflicts.extend(conflicts);
    }

    /// The catalog is told of a version of its customer: if that is above its own, it was replaced by
    /// an older backup. From here on no number of its is used twice, and what it owes goes out.
    pub fn judge_told(&mut self, customer: usize, version: u64) {
        let entry = &self.entries[customer];
        if version <= entry.customer.version || entry.customer.deleted {
            return;
        }
        let pending = entry.systems.get(STRIPE).map(SyncState::pending).unwrap_or_default();
        let truth = &mut self.truth[customer];
        if version + LEAP < truth.unsaid {
            // Restored more than once: the leap ends where an earlier one did.
            return;
        }
        truth.unsaid = 0;
        for edit in &mut truth.edits {
            let owed = pending.get(&field(edit.field)) == Some(&edit.version);
            edit.renumbered |= owed && !edit.lost;
        }
    }

    /// A result tells which values of ours Stripe refused.
    pub fn judge_result(&mut self, customer: usize, result: &SyncResult) {
        let order = self.stripe.order;
        let Some(sync) = self.entries[customer].systems.get(STRIPE) else { return };
        if result.outcome == Outcome::Failed {
            return;
        }
        for (at, refused) in self.truth[customer].refused.iter_mut().enumerate() {
            let own = sync.own(&field(at));
            let is_first = refused.is_none_or(|(version, _)| version != own);
            if is_first && own <= result.version && result.refused.contains_key(&field(at)) {
                *refused = Some((own, order));
            }
        }
    }

    /// The catalog saw this: what is the same in both it knows.
    pub fn judge_seen(&mut self, customer: usize, snapshot: &Snapshot, authors: [Author; FIELDS]) {
        let fields = &self.entries[customer].customer.fields;
        for (at, author) in authors.into_iter().enumerate() {
            if let Author::Person(order) = author
                && fields.get(&field(at)) == snapshot.fields.get(&field(at))
            {
                let known = &mut self.truth[customer].known[at];
                *known = order.max(*known);
            }
        }
    }

    /// The catalog took values from a snapshot with these authors.
    pub fn judge_taken(
        &mut self,
        customer: usize,
        took: &Took,
        authors: [Author; FIELDS],
        event: Option<&super::stripe::Event>,
    ) {
        for (at, author) in authors.iter().enumerate() {
            let Author::Made(order) = author else { continue };
            let shows_the_write =
                event.is_some_and(|event| event.order == *order && event.previous.stamp.is_some());
            let taken = took.announce.as_ref().is_some_and(|(_, f)| f.contains(&field(at)));
            self.truth[customer].made[at] |= taken && !shows_the_write;
        }
        let Some((origin, taken)) = &took.announce else { return };
        if origin != STRIPE {
            return;
        }
        for (at, author) in authors.into_iter().enumerate() {
            if !taken.contains(&field(at)) {
                continue;
            }
            if self.truth[customer].excused || self.truth[customer].restored {
                self.truth[customer].taken[at] = self.stripe.order;
                continue;
            }
            let name = field(at);
            match author {
                Author::Made(_) => {}
                Author::Nobody | Author::Ours(_) => {
                    self.fail(|| format!("{name} of c{customer}: our own value taken for theirs"));
                }
                Author::Person(order) => {
                    let newest = self.truth[customer].edits.iter().rev();
                    let newest = newest.filter(|edit| edit.field == at).find_map(|e| e.landed);
                    if order < self.truth[customer].taken[at] {
                        self.fail(|| format!("{name} of c{customer}: an older edit taken later"));
                    }
                    if newest.is_some_and(|landed| landed > order) {
                        self.fail(|| format!("{name} of c{customer}: taken though overwritten"));
                    }
                    self.truth[customer].taken[at] = order;
                }
            }
        }
    }
}

impl Truth {
    /// The catalog is as it was when it was backed up. `was`: the version it had reached.
    pub fn restored(&mut self, was: u64, leaps: bool) {
        let (version, taken, deleted) = self.backed_up;
        self.restored = true;
        self.taken = taken;
        self.deleted = deleted;
        for edit in &mut self.edits {
            edit.lost |= edit.version > version;
            edit.renumbered = false;
        }
        if !leaps {
            self.unsaid = self.unsaid.max(was);
            self.untold = true;
            // A number may mean two changes now.
            self.excused = true;
        }
    }

    pub(super) fn versions(&self) -> usize {
        let mut versions: Vec<u64> = self.edits.iter().map(|edit| edit.version).collect();
        versions.dedup();
        versions.len()
    }
}

/// The Stripe customer that this one is linked to.
pub fn linked(entry: &Entry) -> Option<usize> {
    Stripe::index(entry.systems.get(STRIPE)?.external_id.as_deref()?)
}
