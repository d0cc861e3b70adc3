//! The catalog: its API, the relay that publishes what it wrote, repeats, and a backup of it.

use std::collections::VecDeque;
use std::rc::Rc;

use common::record::{API, Change, Field, Fields, STRIPE, Value};

use super::rng::Rng;
use super::stripe::{FATAL_NAME, MADE_EMPTY, MADE_LOWER, REFUSED_PHONE};
use super::truth::{Edit, Truth};
use super::{FIELDS, World, field};
use crate::in_force::holds;
use crate::sync::announce::{self, Envelope};
use crate::sync::rules::Rule;
use crate::sync::state::LEAP;
use crate::sync::{Entry, Owner, repeat, write};

/// A copy of the catalog's file.
#[derive(Clone, Debug)]
pub struct Backup {
    entries: Vec<Entry>,
    lost: Vec<bool>,
    outbox: VecDeque<Rc<Change>>,
    inbox: Vec<bool>,
}

impl World {
    pub(super) fn envelope(&mut self) -> Envelope {
        // Nothing depends on it, and states are told apart by what matters.
        self.next_event += u64::from(matches!(self.rng, Rng::Seeded(_)));
        Envelope { event_id: self.next_event.to_string(), now: self.now }
    }

    fn random_value(&mut self, at: usize) -> Option<Value> {
        if field(at) == Field::Phone && self.rng.fault(self.mix.refused) {
            return Some(Value::Text(REFUSED_PHONE.into()));
        }
        if field(at) == Field::Name && self.rng.fault(self.mix.fatal) {
            return Some(Value::Text(FATAL_NAME.into()));
        }
        if self.rng.fault(self.mix.normalised) {
            let value = [MADE_EMPTY, MADE_LOWER][self.rng.below(2)];
            return Some(Value::Text(value.into()));
        }
        self.some_value()
    }

    /// One of few values, so that they repeat, or none.
    pub(super) fn some_value(&mut self) -> Option<Value> {
        let value = ["a", "b", "", "c"][self.rng.below(self.mix.values)];
        (!value.is_empty()).then(|| Value::Text(value.into()))
    }

    pub fn api_create(&mut self) -> bool {
        if self.entries.len() >= self.customers_max {
            return false;
        }
        let mut fields = Fields::new();
        fields.set_text(field(0), ["a", "b"][self.rng.below(2)]);
        let value = self.random_value(1);
        fields.set(field(1), value);
        for refused in self.policy.owners.refused(None, &fields) {
            fields.set(refused, None);
        }
        let id = format!("c{}", self.entries.len());
        let mut entry = write::create(id, fields, &[STRIPE], self.now);
        let changed: Vec<Field> = entry.customer.fields.iter().map(|(f, _)| f.clone()).collect();
        let envelope = self.envelope();
        let change = announce::change(&mut entry, API, &changed, envelope);
        self.log(|_| {
            let fields = super::show_fields(&entry.customer.fields);
            format!("API creates {} {fields}", entry.customer.id)
        });
        let customer = self.add_entry(entry);
        self.accept(customer, &changed, 1);
        self.outbox.push_back(Rc::new(change));
        true
    }

    pub(super) fn add_entry(&mut self, entry: Entry) -> usize {
        self.entries.push(entry);
        self.lost.push(false);
        self.truth.push(Truth::default());
        self.add_slot();
        self.entries.len() - 1
    }

    fn accept(&mut self, customer: usize, changed: &[Field], version: u64) {
        let fields = &self.entries[customer].customer.fields;
        let truth = &mut self.truth[customer];
        for at in (0..FIELDS).filter(|at| changed.contains(&field(*at))) {
            let knew = truth.known[at];
            let doubtful = version <= truth.unsaid;
            truth.edits.push(Edit {
                field: at,
                value: fields.get(&field(at)).cloned(),
                version,
                landed: None,
                knew,
                lost: false,
                doubtful,
                renumbered: false,
            });
        }
    }

    /// A customer that the API knows.
    fn some_entry(&mut self) -> Option<usize> {
        let customer = self.rng.below(self.entries.len());
        let entry = self.entries.get(customer)?;
        (!entry.customer.deleted && !self.lost[customer]).then_some(customer)
    }

    pub fn api_edit(&mut self) -> bool {
        let Some(customer) = self.some_entry() else { return false };
        let before = self.entries[customer].customer.fields.clone();
        let mut fields = before.clone();
        for _ in 0..=self.rng.below(self.mix.fields_at_once) {
            let at = self.rng.below(self.mix.fields);
            let value = self.random_value(at);
            fields.set(field(at), value);
        }
        for refused in self.policy.owners.refused(Some(&before), &fields) {
            fields.set(refused.clone(), before.get(&refused).cloned());
        }
        let differing = before.differing(&fields);
        let now = self.now;
        let changed = write::edit(&mut self.entries[customer], &fields, now);
        if changed.is_empty() {
            return false;
        }
        let envelope = self.envelope();
        let entry = &mut self.entries[customer];
        let change = announce::change(entry, API, &changed, envelope);
        let version = entry.customer.version;
        self.accept(customer, &differing, version);
        self.log(|w| {
            let fields = super::show_fields(&w.entries[customer].customer.fields);
            format!("API edits c{customer} v{version} to {fields}")
        });
        self.outbox.push_back(Rc::new(change));
        true
    }

    pub fn api_delete(&mut self) -> bool {
        let Some(customer) = self.some_entry() else { return false };
        let (now, deletes) = (self.now, self.api_deletes);
        write::delete(&mut self.entries[customer], deletes, now);
        let envelope = self.envelope();
        let entry = &mut self.entries[customer];
        let change = announce::change(entry, API, &[], envelope);
        self.log(|_| format!("API deletes c{customer} v{}", change.data.version));
        self.truth[customer].deleted = true;
        self.outbox.push_back(Rc::new(change));
        true
    }

    /// The customer of this id, if the catalog knows it.
    pub fn customer_named(&self, id: &str) -> Option<usize> {
        let at = self.entries.iter().position(|entry| entry.customer.id == id)?;
        (!self.lost[at]).then_some(at)
    }

    /// The relay produces the oldest unsent record, and forgets it; a crash in between produces
    /// it again.
    pub fn relay(&mut self) -> bool {
        let Some(change) = self.outbox.get(self.relayed).cloned() else { return false };
        self.produce(&change);
        self.relayed += 1;
        // Rows are deleted in batches, after their delivery reports.
        if self.relayed == self.outbox.len() || self.rng.chance(600) {
            for sent in self.outbox.drain(..self.relayed) {
                if self.mix.stale_relays {
                    self.sent.push(sent);
                }
            }
            self.relayed = 0;
        }
        true
    }

    /// The relay starts again: what it produced and had not forgotten comes again, and says so.
    pub fn relay_crash(&mut self) -> bool {
        if self.relayed == 0 {
            return false;
        }
        self.log(|_| "the relay starts again".into());
        self.relay_starts();
        true
    }

    fn relay_starts(&mut self) {
        for change in &mut self.outbox {
            announce::maybe_before(Rc::make_mut(change));
        }
        self.relayed = 0;
    }

    /// A relay that was stalled produces a record of long ago.
    pub fn stale_relay(&mut self) -> bool {
        if self.sent.is_empty() {
            return false;
        }
        let at = self.rng.below(self.sent.len());
        let change = Rc::clone(&self.sent[at]);
        if let Some(customer) = self.customer_named(&change.subject) {
            self.excuse(customer, "a stalled relay produced an old record again");
            self.truth[customer].stale = true;
        }
        self.produce(&change);
        true
    }

    /// A record that was read before is put back, as the tool for dead letters does it.
    pub fn redrive(&mut self, customer: usize) -> bool {
        let partition = self.partition_of(customer);
        let log = &self.partitions[partition].log;
        let of = log.iter().filter(|(of, _)| *of == customer).map(|(_, change)| change);
        let of: Vec<Rc<Change>> = of.cloned().collect();
        let Some(change) = of.get(self.rng.below(of.len())) else { return false };
        self.log(|_| format!("c{customer} v{} is put back", change.data.version));
        let of = &mut self.partitions[partition];
        of.put_back.push(of.log.len());
        self.produce(change);
        true
    }

    /// Announces again what is due; `all`: whatever is owed, due or not.
    pub fn repeat(&mut self, customer: usize, all: bool) -> bool {
        let Some(entry) = self.entries.get(customer).filter(|_| !self.lost[customer]) else {
            return false;
        };
        let due = repeat::due_at(entry, STRIPE);
        let all = all && entry.wants(STRIPE) && holds(Rule::Repeat);
        if !all && due.is_none_or(|due| due > self.now) {
            return false;
        }
        let envelope = self.envelope();
        let change = announce::again(&mut self.entries[customer], envelope);
        self.log(|_| format!("c{customer} v{} is announced again", change.data.version));
        self.outbox.push_back(Rc::new(change));
        true
    }

    pub fn back_up(&mut self) -> bool {
        if self.backup.is_some() {
            return false;
        }
        self.log(|_| "the catalog is backed up".into());
        for (truth, entry) in self.truth.iter_mut().zip(&self.entries) {
            truth.backed_up = (entry.customer.version, truth.taken, truth.deleted);
        }
        self.backup = Some(Backup {
            entries: self.entries.clone(),
            lost: self.lost.clone(),
            outbox: self.outbox.clone(),
            inbox: self.inbox.clone(),
        });
        true
    }

    /// The catalog's file is replaced by the backup, and its programs start again; topics and
    /// Stripe are as they were. Then its versions leap (or somebody forgot that), and all of
    /// Stripe is read again: its customers, and its events.
    pub fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.take() else { return false };
        let leaps = !self.rng.fault(self.mix.restored_unsaid);
        self.log(|_| format!("the catalog is restored from the backup; it is told: {leaps}"));
        self.hook_crash();
        // One leap for each time, so that none ends where another did.
        self.restores += 1;
        let leap = LEAP * self.restores;
        let known = backup.entries.len();
        for (customer, entry) in backup.entries.into_iter().enumerate() {
            // One that it had lost before gets no leap: it is not in the file.
            let leaps = leaps && !backup.lost[customer];
            self.truth[customer].restored(self.entries[customer].customer.version, leaps);
            self.entries[customer] = entry;
            self.lost[customer] = backup.lost[customer];
            if leaps {
                self.entries[customer].customer.version += leap;
            }
        }
        for customer in known..self.entries.len() {
            self.truth[customer].backed_up = (0, [0; FIELDS], false);
            self.truth[customer].restored(self.entries[customer].customer.version, false);
            self.lost[customer] = true;
        }
        self.outbox = backup.outbox;
        self.relay_starts();
        self.inbox = backup.inbox;
        self.inbox.resize(self.stripe.events.len(), false);
        for object in 0..self.stripe.customers.len() {
            self.list(object);
        }
        for event in &mut self.stripe.events {
            event.delivered = false;
        }
        true
    }

    /// A field's owner, which the programs were told.
    pub fn owner(&self, at: usize) -> Owner {
        self.policy.owners.of(&field(at))
    }
}
