//! People at Stripe: they make, edit and delete customers, copy metadata, and take the stamp off.

use common::record::snapshot::EventKind;
use common::record::{Fields, Previous};

use super::stripe::Author;
use super::{World, field};
use crate::sync::Deletes;

impl World {
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
        let at = self.rng.below(self.mix.fields);
        let value = self.some_value();
        let author = Author::Person(self.stripe.order + 1);
        self.log(|_| {
            let value = super::show_value(value.as_ref());
            format!("a person sets {} of cus_{object} to {value}", field(at))
        });
        self.stripe.person_set.push((object, at, value.clone(), self.stripe.order + 1));
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
            self.truth[customer].deleted |= self.policy.deletes == Deletes::Mirror;
        }
        true
    }

    pub fn side_effect(&mut self) -> bool {
        let object = self.rng.below(self.stripe.customers.len());
        let Some(made) = self.stripe.customers.get(object) else { return false };
        if made.snapshot.deleted {
            return false;
        }
        let kind = EventKind::Updated;
        let previous = Previous::default();
        self.stripe.event(object, kind, previous, self.now, &mut self.rng);
        true
    }

    pub fn person_copy(&mut self) -> bool {
        let (from, to) = {
            let count = self.stripe.customers.len();
            (self.rng.below(count), self.rng.below(count))
        };
        if from == to || self.stripe.customers[to].snapshot.deleted {
            return false;
        }
        let source = self.stripe.customers[from].snapshot.clone();
        let known = source.catalog_id.as_deref().and_then(|id| self.customer_named(id));
        // Nobody copies in the second before the catalog knows its own customer.
        let is_linked =
            known.is_some_and(|at| super::truth::linked(&self.entries[at]) == Some(from));
        let known = self.entries.iter().zip(&self.lost).filter(|(_, lost)| !**lost);
        let target = known.into_iter().any(|(entry, _)| super::truth::linked(entry) == Some(to));
        if !is_linked || !target {
            return false;
        }
        let with_stamp = self.rng.chance(500);
        self.log(|_| format!("a person copies metadata of cus_{from} to cus_{to}: {with_stamp}"));
        let id = format!("cus_{to}");
        let made_for = self.stripe.customers[to].made_for.clone().unwrap_or(id);
        if let Some(customer) = self.customer_named(&made_for) {
            self.excuse(customer, "a person edited the stamp");
            self.truth[customer].unstamped = true;
        }
        self.stripe.customers[to].snapshot.catalog_id = source.catalog_id;
        let metadata = (field(2), source.fields.get(&field(2)).cloned());
        self.stripe.person_set.push((to, 2, metadata.1.clone(), self.stripe.order + 1));
        let stamp = source.stamp.filter(|_| with_stamp);
        let author = Author::Person(self.stripe.order + 1);
        let now = self.now;
        let events = self.stripe.events.len();
        self.stripe.change(to, &[metadata], author, stamp.as_ref(), now, &mut self.rng);
        if events == self.stripe.events.len() {
            self.stripe.link_changed(to, now, &mut self.rng);
        }
        true
    }

    pub fn person_unstamp(&mut self) -> bool {
        let object = self.rng.below(self.stripe.customers.len());
        let Some(made) = self.stripe.customers.get_mut(object) else { return false };
        let Some(stamp) = made.snapshot.stamp.clone() else { return false };
        let known =
            self.entries.iter().position(|entry| super::truth::linked(entry) == Some(object));
        // Nobody does it in the second before the catalog knows its own customer.
        let Some(customer) = known.filter(|_| !made.snapshot.deleted) else { return false };
        made.snapshot.stamp = None;
        self.excuse(customer, "a person took the stamp off");
        self.truth[customer].unstamped = true;
        let previous = Previous { fields: Vec::new(), stamp: Some(stamp.version) };
        let kind = EventKind::Updated;
        self.stripe.event(object, kind, previous, self.now, &mut self.rng);
        true
    }
}
