//! The catalog's side: the API, the relay, what hook-to-catalog does with events and results, and
//! repeats. Each function is one transaction, or the work between two.

use std::rc::Rc;

use common::record::{Change, Field, Fields, STRIPE, Seconds, Snapshot, Value};
use common::sync::announce::{self, Envelope};
use common::sync::inbound::{self, Whose};
use common::sync::{Doubt, Entry, Seen, Took, repeat, results, write};

use super::mover::Partition;
use super::stripe::{Author, REFUSED_PHONE, Stripe};
use super::truth::{Edit, Truth};
use super::{FIELDS, World, field};

/// A record of the topic `stripe_events`.
#[derive(Clone, Debug)]
pub enum Hooked {
    /// The event of this number.
    Event(usize),
    /// A customer from a listing, with who set its values.
    Listed(Rc<(Snapshot, [Author; FIELDS])>),
}

/// A doubt about a catalog customer, and the answer once Stripe gave it.
#[derive(Debug)]
pub struct Question {
    pub customer: usize,
    pub object: usize,
    pub event: Option<usize>,
    pub doubt: Doubt,
    pub answer: Option<(Snapshot, [Author; FIELDS], Seconds)>,
}

impl World {
    fn envelope(&mut self) -> Envelope {
        self.next_event += 1;
        Envelope { event_id: self.next_event.to_string(), now: self.now }
    }

    fn random_value(&mut self, at: usize) -> Option<Value> {
        if field(at) == Field::Phone && self.rng.chance(self.mix.refused) {
            return Some(Value::Text(REFUSED_PHONE.into()));
        }
        let value = ["", "a", "b", "c"][self.rng.below(4)];
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
        let id = format!("c{}", self.entries.len());
        let mut entry = write::create(id, fields, &[STRIPE], self.now);
        let changed: Vec<Field> = entry.customer.fields.iter().map(|(f, _)| f.clone()).collect();
        let envelope = self.envelope();
        let change = announce::change(&mut entry, common::record::API, &changed, envelope);
        self.log(|_| {
            let fields = super::show_fields(&entry.customer.fields);
            format!("API creates {} {fields}", entry.customer.id)
        });
        let customer = self.add_entry(entry);
        self.accept(customer, &changed, 1);
        self.outbox.push_back(Rc::new(change));
        true
    }

    fn add_entry(&mut self, entry: Entry) -> usize {
        self.entries.push(entry);
        self.truth.push(Truth::default());
        let owner = if self.two { self.rng.below(2) } else { 0 };
        self.partitions.push(Partition { owner, ..Partition::default() });
        self.slots.push(super::mover::Slot::default());
        self.assign(self.entries.len() - 1);
        self.entries.len() - 1
    }

    fn accept(&mut self, customer: usize, changed: &[Field], version: u64) {
        for at in (0..FIELDS).filter(|at| changed.contains(&field(*at))) {
            self.truth[customer].edits.push(Edit { field: at, version, landed: None });
        }
    }

    pub fn api_edit(&mut self) -> bool {
        let customer = self.rng.below(self.entries.len());
        let Some(entry) = self.entries.get(customer) else { return false };
        if entry.customer.deleted {
            return false;
        }
        let mut fields = entry.customer.fields.clone();
        for _ in 0..=self.rng.below(2) {
            let at = self.rng.below(FIELDS);
            let value = self.random_value(at);
            fields.set(field(at), value);
        }
        let now = self.now;
        let changed = write::edit(&mut self.entries[customer], &fields, now);
        if changed.is_empty() {
            return false;
        }
        let envelope = self.envelope();
        let entry = &mut self.entries[customer];
        let change = announce::change(entry, common::record::API, &changed, envelope);
        let version = entry.customer.version;
        self.accept(customer, &changed, version);
        self.log(|w| {
            let fields = super::show_fields(&w.entries[customer].customer.fields);
            format!("API edits c{customer} v{version} to {fields}")
        });
        self.outbox.push_back(Rc::new(change));
        true
    }

    pub fn api_delete(&mut self) -> bool {
        let customer = self.rng.below(self.entries.len());
        let now = self.now;
        let Some(entry) = self.entries.get_mut(customer) else { return false };
        if !write::delete(entry, now) {
            return false;
        }
        let envelope = self.envelope();
        let entry = &mut self.entries[customer];
        let change = announce::change(entry, common::record::API, &[], envelope);
        self.log(|_| format!("API deletes c{customer} v{}", change.data.version));
        self.truth[customer].deleted = true;
        self.outbox.push_back(Rc::new(change));
        true
    }

    pub fn customer_named(&self, id: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.customer.id == id)
    }

    /// The relay produces the oldest unsent record, and forgets it; a crash in between produces
    /// it again.
    pub fn relay(&mut self) -> bool {
        let Some(change) = self.outbox.get(self.relayed).cloned() else { return false };
        self.produce(&change);
        self.relayed += 1;
        // Rows are deleted in batches, after their delivery reports.
        if self.rng.chance(600) || self.relayed == self.outbox.len() {
            for sent in self.outbox.drain(..self.relayed) {
                if self.mix.stale_relays {
                    self.sent.push(sent);
                }
            }
            self.relayed = 0;
        }
        true
    }

    pub fn produce(&mut self, change: &Rc<Change>) {
        let Some(customer) = self.customer_named(&change.subject) else { return };
        let partition = &mut self.partitions[customer];
        partition.log.push(Rc::clone(change));
        let offset = partition.log.len() - 1;
        self.log(|_| format!("relay produces c{customer}@{offset} v{}", change.data.version));
    }

    /// The relay starts again: what it produced and had not forgotten comes again, and says so.
    pub fn relay_crash(&mut self) -> bool {
        if self.relayed == 0 {
            return false;
        }
        self.log(|_| "the relay starts again".into());
        for change in &mut self.outbox {
            announce::maybe_before(Rc::make_mut(change));
        }
        self.relayed = 0;
        true
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
        }
        self.produce(&change);
        true
    }

    /// The next record of one partition of `stripe_events`; a crash after its transaction brings
    /// it again.
    pub fn hook(&mut self) -> bool {
        if !self.questions.is_empty() && self.rng.chance(500) {
            return self.question();
        }
        if self.hooked.is_empty() {
            return !self.questions.is_empty() && self.question();
        }
        let at = self.rng.below(self.hooked.len());
        let again = self.rng.chance(self.mix.crash);
        let record = if again { self.hooked[at].clone() } else { self.hooked.remove(at) };
        match record {
            Hooked::Event(number) => {
                if self.inbox[number] {
                    return true;
                }
                let event = &self.stripe.events[number];
                let (snapshot, authors) = (event.snapshot.clone(), event.authors);
                let (created, previous) = (event.created, event.previous.clone());
                let seen = Seen::Event { created, previous: &previous };
                self.log(|_| format!("hook takes evt_{number}"));
                self.snapshot(&snapshot, &seen, authors, Some(number));
            }
            Hooked::Listed(listed) => {
                self.log(|_| format!("hook takes a listed {}", listed.0.id));
                self.snapshot(&listed.0, &Seen::Listing, listed.1, None);
            }
        }
        true
    }

    fn snapshot(
        &mut self,
        snapshot: &Snapshot,
        seen: &Seen,
        authors: [Author; FIELDS],
        event: Option<usize>,
    ) {
        let is_linked = |entry: &Entry| {
            let sync = entry.systems.get(STRIPE);
            sync.is_some_and(|sync| sync.external_id.as_deref() == Some(snapshot.id.as_str()))
        };
        let linked = self.entries.iter().position(is_linked);
        let named = snapshot.catalog_id.as_deref().and_then(|id| self.customer_named(id));
        let named_entry = named.map(|at| &self.entries[at]);
        match inbound::whose(STRIPE, snapshot, linked.is_some(), named_entry) {
            Whose::Ours => {
                if let Some(customer) = linked.or(named) {
                    self.take(customer, snapshot, seen, authors, event);
                }
            }
            Whose::Duplicate => self.inbox_add(event),
            Whose::Born => {
                let now = self.now;
                if self.customer_named(&snapshot.id).is_none() {
                    let mut entry = inbound::born(STRIPE, &[STRIPE], snapshot, seen, now);
                    self.log(|_| format!("born: {}", super::show_snapshot(snapshot)));
                    let envelope = self.envelope();
                    let live = !entry.customer.deleted;
                    let change = announce::change(&mut entry, STRIPE, &[], envelope);
                    let customer = self.add_entry(entry);
                    let truth = &mut self.truth[customer];
                    truth.deleted = Stripe::index(&snapshot.id)
                        .is_some_and(|at| self.stripe.customers[at].snapshot.deleted);
                    for (taken, author) in truth.taken.iter_mut().zip(authors) {
                        if let Author::Person(order) = author {
                            *taken = order;
                        }
                    }
                    if live {
                        self.outbox.push_back(Rc::new(change));
                    }
                }
                self.inbox_add(event);
            }
        }
    }

    fn inbox_add(&mut self, event: Option<usize>) {
        if let Some(number) = event {
            self.inbox[number] = true;
        }
    }

    /// Applies a snapshot in one transaction, with the inbox row; or asks Stripe first.
    fn take(
        &mut self,
        customer: usize,
        snapshot: &Snapshot,
        seen: &Seen,
        authors: [Author; FIELDS],
        event: Option<usize>,
    ) {
        let mut entry = self.entries[customer].clone();
        let took = inbound::on_snapshot(&mut entry, STRIPE, snapshot, seen, self.now);
        self.log(|_| {
            let doubt = if took.doubt.is_some() { " in doubt" } else { "" };
            format!(
                "c{customer} sees {}: announces {:?} {}{doubt}",
                super::show_snapshot(snapshot),
                took.announce.as_ref().map(|(_, fields)| fields),
                took.note.unwrap_or_default()
            )
        });
        if let Some(doubt) = took.doubt {
            let object = Stripe::index(&snapshot.id).unwrap_or(0);
            self.asked += 1;
            self.questions.push(Question { customer, object, event, doubt, answer: None });
            if !self.rng.chance(self.mix.slow) {
                self.question();
                self.question();
            }
            return;
        }
        self.judge_taken(customer, &took, authors);
        self.keep(customer, entry, took);
        self.inbox_add(event);
    }

    fn keep(&mut self, customer: usize, mut entry: Entry, took: Took) {
        let was = &self.entries[customer].customer;
        if was.deleted && !entry.customer.deleted {
            self.fail(|| format!("I5: c{customer} was revived"));
        }
        let change = took.announce.map(|(origin, changed)| {
            let envelope = self.envelope();
            announce::change(&mut entry, &origin, &changed, envelope)
        });
        if took.touched || change.is_some() {
            self.entries[customer] = entry;
        }
        if let Some(change) = change {
            self.outbox.push_back(Rc::new(change));
        }
    }

    /// Asks Stripe about a doubt, or takes its answer in.
    pub fn question(&mut self) -> bool {
        let Some(at) = self.questions.len().checked_sub(1) else { return false };
        let at = self.rng.below(at + 1);
        if self.questions[at].answer.is_none() {
            if self.rng.chance(self.mix.lost) {
                return true;
            }
            let customer = self.questions[at].customer;
            let observed = self.entries[customer].systems.get(STRIPE).map_or(0, |s| s.observed);
            let date = self.stripe.seconds(self.now, &mut self.rng);
            let question = &mut self.questions[at];
            question.doubt.observed = observed;
            let made = &self.stripe.customers[question.object];
            question.answer = Some((made.shown(), made.authors, date));
            return true;
        }
        let question = self.questions.swap_remove(at);
        let Some((snapshot, authors, date)) = question.answer else { return true };
        if question.event.is_some_and(|number| self.inbox[number]) {
            return true;
        }
        let seen = Seen::Read { date, doubt: &question.doubt };
        self.take(question.customer, &snapshot, &seen, authors, question.event);
        true
    }

    /// hook-to-catalog dies: what it asked is forgotten, and the records come again.
    pub fn hook_crash(&mut self) -> bool {
        let any = !self.questions.is_empty();
        for question in std::mem::take(&mut self.questions) {
            match question.event {
                Some(number) => self.hooked.push(Hooked::Event(number)),
                None => self.list(question.object),
            }
        }
        any
    }

    pub fn list(&mut self, object: usize) {
        let made = &self.stripe.customers[object];
        if !made.snapshot.deleted {
            self.hooked.push(Hooked::Listed(Rc::new((made.snapshot.clone(), made.authors))));
        }
    }

    pub fn result(&mut self) -> bool {
        if self.results.is_empty() {
            return false;
        }
        let at = self.rng.below(self.results.len().min(3));
        let again = self.rng.chance(self.mix.crash);
        let result = if again { Rc::clone(&self.results[at]) } else { self.results.remove(at) };
        let Some(customer) = self.customer_named(&result.customer) else { return true };
        let mut entry = self.entries[customer].clone();
        let took = results::on_result(&mut entry, &result, self.now);
        self.log(|_| format!("c{customer} takes result v{} {:?}", result.version, result.outcome));
        self.keep(customer, entry, took);
        true
    }

    /// Announces again what is due; `all`: whatever is owed, due or not.
    pub fn repeat(&mut self, customer: usize, all: bool) -> bool {
        let Some(entry) = self.entries.get(customer) else { return false };
        let due = repeat::due_at(entry, STRIPE);
        if !(all && entry.wants(STRIPE) || due.is_some_and(|due| due <= self.now)) {
            return false;
        }
        let envelope = self.envelope();
        let change = announce::again(&mut self.entries[customer], envelope);
        self.log(|_| format!("c{customer} v{} is announced again", change.data.version));
        self.outbox.push_back(Rc::new(change));
        true
    }

    pub fn person_create(&mut self) -> bool {
        if self.stripe.customers.len() > self.customers_max {
            return false;
        }
        let mut fields = Fields::new();
        fields.set_text(field(0), ["a", "b", "c"][self.rng.below(3)]);
        let (now, order) = (self.now, self.stripe.order + 1);
        let author = Author::Person(order);
        let object = self.stripe.born(fields, author, now, &mut self.rng, |_| {});
        self.log(|_| format!("a person creates cus_{object}"));
        true
    }

    /// A live customer at Stripe.
    fn some_object(&mut self) -> Option<usize> {
        let object = self.rng.below(self.stripe.customers.len());
        (!self.stripe.customers.get(object)?.snapshot.deleted).then_some(object)
    }

    pub fn person_edit(&mut self) -> bool {
        let Some(object) = self.some_object() else { return false };
        let at = self.rng.below(FIELDS);
        let value = ["", "a", "b", "c"][self.rng.below(4)];
        let value = (!value.is_empty()).then(|| Value::Text(value.into()));
        let author = Author::Person(self.stripe.order + 1);
        self.log(|_| {
            let value = super::show_value(value.as_ref());
            format!("a person sets {} of cus_{object} to {value}", field(at))
        });
        let edit = [(field(at), value)];
        self.stripe.change(object, &edit, author, None, self.now, &mut self.rng);
        true
    }

    pub fn person_delete(&mut self) -> bool {
        let Some(object) = self.some_object() else { return false };
        self.log(|_| format!("a person deletes cus_{object}"));
        self.stripe.delete(object, self.now, &mut self.rng);
        let made_for = self.stripe.customers[object].made_for.clone();
        let id = made_for.unwrap_or_else(|| format!("cus_{object}"));
        if let Some(customer) = self.customer_named(&id) {
            self.truth[customer].deleted = true;
        }
        true
    }
}
