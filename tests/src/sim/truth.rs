//! The ground truth: who edited what and in which order, and what must hold.

use common::record::{Field, STRIPE};
use common::sync::outbound::Step;
use common::sync::{Entry, Took};

use super::stripe::{Author, Effect, Stripe};
use super::{FIELDS, World, field, show_value};

/// One edit of one field that the API accepted.
#[derive(Debug)]
pub struct Edit {
    pub field: usize,
    pub version: u64,
    /// The order at Stripe when it reached Stripe first.
    pub landed: Option<u32>,
}

/// What is known of one catalog customer.
#[derive(Debug, Default)]
pub struct Truth {
    pub edits: Vec<Edit>,
    /// Per field, the newest person's edit that the catalog took.
    pub taken: [u32; FIELDS],
    /// What nobody can promise happened to it: order at Stripe may have broken for a moment.
    pub excused: bool,
    pub deleted: bool,
    /// A person took the stamp off: a look-up cannot tell it from a copy.
    pub unstamped: bool,
    /// And it was created a second time therefore, or a late write came on top.
    pub beyond: bool,
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
            let Step::Create { without, .. } = step else { return };
            let sent: Vec<_> = (0..FIELDS).filter(|at| !without.contains(&field(*at))).collect();
            self.landed(customer, 1, order, &sent);
            return;
        };
        if let Step::Delete { id } = step {
            if !self.truth[customer].deleted {
                self.fail(|| format!("{id} was deleted though nobody deleted c{customer}"));
            }
            return;
        }
        let Step::Update { fields, stamp, .. } = step else { return };
        let last = before.stamp_version();
        if late {
            // Without the stamp nothing tells a late write from a person's edit.
            self.truth[customer].beyond |= self.truth[customer].unstamped;
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
        let overwrites = |at: usize| match authors[at] {
            Author::Person(order) => {
                let edit = self.newest_edit(customer, at, stamp.version);
                let landed = edit.and_then(|edit| edit.landed);
                sent.contains(&&field(at))
                    && landed.is_some_and(|landed| landed < order)
                    && before.fields.get(&field(at)) != after.fields.get(&field(at))
            }
            Author::Nobody | Author::Ours(_) => false,
        };
        if !self.truth[customer].excused
            && let Some(at) = (0..FIELDS).find(|at| overwrites(*at))
        {
            self.fail(|| format!("a person's edit of {} was reverted by an old one", field(at)));
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

    /// The catalog took values from a snapshot with these authors.
    pub fn judge_taken(&mut self, customer: usize, took: &Took, authors: [Author; FIELDS]) {
        let Some((origin, taken)) = &took.announce else { return };
        if origin != STRIPE {
            return;
        }
        for (at, author) in authors.into_iter().enumerate() {
            if !taken.contains(&field(at)) {
                continue;
            }
            if self.truth[customer].excused {
                self.truth[customer].taken[at] = self.stripe.order;
                continue;
            }
            let name = field(at);
            match author {
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

    /// After faults have stopped and everything was delivered.
    pub fn judge_end(&mut self) {
        for customer in 0..self.entries.len() {
            if self.truth[customer].beyond {
                continue;
            }
            if let Some(why) = self.unequal(customer) {
                self.fail(|| format!("I4: c{customer}: {why}"));
            }
            if let Some(why) = self.lost(customer) {
                self.fail(|| format!("I1: c{customer}: {why}"));
            }
        }
        for object in 0..self.stripe.customers.len() {
            let made = &self.stripe.customers[object];
            let linked = self.entries.iter().any(|entry| linked(entry) == Some(object));
            // One with our stamp that is no link's is a person's copy: noted, nothing changed.
            if !linked && !made.snapshot.deleted && made.snapshot.stamp.is_none() {
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

    fn unequal(&self, customer: usize) -> Option<String> {
        let entry = &self.entries[customer];
        let sync = entry.systems.get(STRIPE)?;
        if entry.customer.deleted != self.truth[customer].deleted {
            return Some(format!("deleted: {}", entry.customer.deleted));
        }
        if entry.customer.deleted && !self.truth[customer].excused {
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
        if made.snapshot.deleted != entry.customer.deleted {
            return Some(format!("deleted at Stripe: {}", made.snapshot.deleted));
        }
        if entry.customer.deleted {
            return None;
        }
        let differing = entry.customer.fields.differing(&made.snapshot.fields);
        let wrong = differing.into_iter().find(|field| !sync.refused.contains_key(field))?;
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
            let edit = self.newest_edit(customer, at, u64::MAX)?;
            let shown = sync.refused.contains_key(&field(at));
            let replaced = self.truth[customer].taken[at] > 0 && edit.replaced(sync);
            (edit.landed.is_none() && !shown && !replaced).then(|| {
                format!("the edit of {} in v{} never reached Stripe", field(at), edit.version)
            })
        })
    }
}

impl Edit {
    /// A refused value gives way to a person's edit: then it is not pending any more either.
    fn replaced(&self, sync: &common::sync::SyncState) -> bool {
        sync.own(&field(self.field)) == 0
    }
}

impl Truth {
    fn versions(&self) -> usize {
        let mut versions: Vec<u64> = self.edits.iter().map(|edit| edit.version).collect();
        versions.dedup();
        versions.len()
    }
}

/// The Stripe customer that this one is linked to.
pub fn linked(entry: &Entry) -> Option<usize> {
    Stripe::index(entry.systems.get(STRIPE)?.external_id.as_deref()?)
}
