//! hook-to-catalog: what it does with events, results and answers to its questions. Each function
//! is one transaction, or the work between two.

use std::rc::Rc;

use common::record::{STRIPE, Seconds, Snapshot};

use super::stripe::{Author, Stripe};
use super::{FIELDS, World};
use crate::in_force::holds;
use crate::sync::announce;
use crate::sync::inbound::{self, Whose};
use crate::sync::rules::Rule;
use crate::sync::state::stamp_for;
use crate::sync::{Deletes, Doubt, Entry, Seen, Took, results};

/// A record of the topic `stripe_events`.
#[derive(Clone, Debug, Hash)]
pub enum Hooked {
    /// The event of this number.
    Event(usize),
    /// A customer from a listing, with who set its values.
    Listed(Rc<(Snapshot, [Author; FIELDS])>),
}

/// A doubt about a catalog customer, and the answer once Stripe gave it.
#[derive(Clone, Debug, Hash)]
pub struct Question {
    pub customer: usize,
    pub object: usize,
    pub event: Option<usize>,
    pub doubt: Doubt,
    pub answer: Option<(Snapshot, [Author; FIELDS], Seconds)>,
}

impl World {
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
        let again = self.rng.fault(self.mix.crash);
        let record = if again { self.hooked[at].clone() } else { self.hooked.remove(at) };
        match record {
            Hooked::Event(number) => {
                if self.inbox[number] && holds(Rule::Inbox) {
                    return true;
                }
                let event = &self.stripe.events[number];
                let (snapshot, authors) = (event.snapshot.clone(), event.authors);
                let (created, previous) = (event.created, event.previous.clone());
                let seen = Seen::Event { created, previous: &previous };
                self.log(|_| format!("hook takes evt_{number}"));
                if !holds(Rule::InboxWithEffects) {
                    self.inbox[number] = true;
                    if self.rng.fault(self.mix.crash) {
                        return true;
                    }
                }
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
        let is_linked = |at: &usize| {
            let sync = self.entries[*at].systems.get(STRIPE).filter(|_| !self.lost[*at]);
            sync.is_some_and(|sync| sync.external_id.as_deref() == Some(snapshot.id.as_str()))
        };
        let linked = (0..self.entries.len()).find(is_linked);
        let named = snapshot.catalog_id.as_deref().and_then(|id| self.customer_named(id));
        let named_entry = named.map(|at| &self.entries[at]);
        match inbound::whose(STRIPE, snapshot, linked.is_some(), named_entry) {
            Whose::Ours => {
                if let Some(customer) = linked.or(named) {
                    if linked.is_none() {
                        self.belongs_to(customer, snapshot);
                    }
                    self.take(customer, snapshot, seen, authors, event);
                }
            }
            Whose::Duplicate => {
                self.passed_over(snapshot);
                self.inbox_add(event);
            }
            Whose::Born { id } => {
                if self.customer_named(&id).is_none() {
                    self.bear(id, snapshot, seen, authors);
                }
                self.inbox_add(event);
            }
        }
    }

    fn bear(&mut self, id: String, snapshot: &Snapshot, seen: &Seen, authors: [Author; FIELDS]) {
        let lost = self.entries.iter().position(|entry| entry.customer.id == id);
        let mut entry = inbound::born(STRIPE, &[STRIPE], id, snapshot, seen, self.now);
        self.log(|_| format!("born: {}", super::show_snapshot(snapshot)));
        let envelope = self.envelope();
        let live = !entry.customer.deleted;
        let change = announce::change(&mut entry, STRIPE, &[], envelope);
        let customer = match lost {
            Some(customer) => {
                self.entries[customer] = entry;
                self.lost[customer] = false;
                customer
            }
            None => self.add_entry(entry),
        };
        self.belongs_to(customer, snapshot);
        let is_gone = Stripe::index(&snapshot.id)
            .is_some_and(|at| self.stripe.customers[at].snapshot.deleted);
        let truth = &mut self.truth[customer];
        truth.deleted = match self.policy.deletes {
            Deletes::Mirror => is_gone,
            Deletes::Keep => snapshot.deleted,
        };
        for (at, author) in authors.into_iter().enumerate() {
            if let Author::Person(order) = author {
                (truth.taken[at], truth.known[at]) = (order, order);
            }
        }
        if live {
            self.outbox.push_back(Rc::new(change));
        }
    }

    /// Once an event was taken in it changes nothing any more.
    fn inbox_add(&mut self, event: Option<usize>) {
        let Some(number) = event.filter(|_| holds(Rule::InboxWithEffects)) else { return };
        if std::mem::replace(&mut self.inbox[number], true) {
            self.fail(|| format!("evt_{number} was taken in twice"));
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
        let took = inbound::on_snapshot(&mut entry, STRIPE, snapshot, seen, &self.policy, self.now);
        self.log(|_| {
            let doubt = if took.doubt.is_some() { " in doubt" } else { "" };
            let conflicts = if took.conflicts.is_empty() { "" } else { " conflict" };
            format!(
                "c{customer} sees {}: announces {:?} {}{doubt}{conflicts}",
                super::show_snapshot(snapshot),
                took.announce.as_ref().map(|(_, fields)| fields),
                took.note.unwrap_or_default()
            )
        });
        if let Some(doubt) = took.doubt.as_ref().filter(|_| self.blind) {
            let took = inbound::unasked(&mut entry, STRIPE, snapshot, doubt, self.now);
            self.keep(customer, entry, took);
            self.judge_seen(customer, snapshot, authors);
            self.inbox_add(event);
            return;
        }
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
        self.judge_stamp(customer, snapshot);
        let told = event.filter(|_| matches!(seen, Seen::Event { .. }));
        let told = told.map(|number| self.stripe.events[number].clone());
        self.judge_taken(customer, &took, authors, told.as_ref());
        self.keep(customer, entry, took);
        self.judge_seen(customer, snapshot, authors);
        if let (Seen::Read { .. }, Some(number)) = (seen, event) {
            let event = &self.stripe.events[number];
            let (snapshot, authors) = (event.snapshot.clone(), event.authors);
            self.judge_seen(customer, &snapshot, authors);
        }
        self.inbox_add(event);
    }

    fn judge_stamp(&mut self, customer: usize, snapshot: &Snapshot) {
        let entry = &self.entries[customer];
        let sync = entry.systems.get(STRIPE);
        let is_its_own = sync.is_some_and(|sync| {
            !sync.gone && sync.external_id.as_ref().is_none_or(|linked| *linked == snapshot.id)
        });
        let stamp = stamp_for(snapshot, &entry.customer.id).filter(|_| !snapshot.deleted);
        if let Some(stamp) = stamp.filter(|_| is_its_own) {
            self.judge_told(customer, stamp.version);
        }
    }

    fn keep(&mut self, customer: usize, mut entry: Entry, took: Took) {
        self.judge_kept(customer, &entry, &took);
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
            if self.rng.fault(self.mix.lost) {
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
        if question.event.is_some_and(|number| self.inbox[number] && holds(Rule::Inbox)) {
            return true;
        }
        let seen = Seen::Read { date, doubt: &question.doubt };
        self.take(question.customer, &snapshot, &seen, authors, question.event);
        true
    }

    /// hook-to-catalog dies: what it asked is forgotten, and the records come again.
    pub fn hook_crash(&mut self) -> bool {
        let any = self.hook_rebalance();
        self.questions.clear();
        any
    }

    /// Another instance gets the records in hand, and the one that has them does not know yet.
    pub fn hook_rebalance(&mut self) -> bool {
        for at in 0..self.questions.len() {
            match self.questions[at].event {
                Some(number) => self.hooked.push(Hooked::Event(number)),
                None => self.list(self.questions[at].object),
            }
        }
        !self.questions.is_empty()
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
        let again = self.rng.fault(self.mix.crash);
        let result = if again { Rc::clone(&self.results[at]) } else { self.results.remove(at) };
        let lost = self.rng.fault(self.mix.result_lost);
        let Some(customer) = self.customer_named(&result.customer).filter(|_| !lost) else {
            return true;
        };
        let mut entry = self.entries[customer].clone();
        self.judge_told(customer, result.version);
        let took = results::on_result(&mut entry, &result, self.policy.deletes, self.now);
        self.log(|_| format!("c{customer} takes result v{} {:?}", result.version, result.outcome));
        self.keep(customer, entry, took);
        true
    }
}
