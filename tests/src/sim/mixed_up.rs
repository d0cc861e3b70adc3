//! Customers whose link a restored catalog lost, and whose stamp a person took off or copied over:
//! nobody can tell whose they are.

use common::record::Snapshot;

use super::World;
use super::stripe::Stripe;

impl World {
    /// The catalog lost it or its link, and a person had copied metadata onto it: it looks like a
    /// duplicate. Of what is told of it only news from before the copy may be taken in.
    pub(super) fn passed_over(&mut self, snapshot: &Snapshot) {
        if let Some(customer) = self.whose_truly(snapshot) {
            self.truth[customer].beyond |= self.truth[customer].unstamped;
        }
    }

    /// The customer that it was made for, or that was born of it.
    fn whose_truly(&self, snapshot: &Snapshot) -> Option<usize> {
        let id = Stripe::index(&snapshot.id)
            .and_then(|object| self.stripe.customers[object].made_for.as_ref())
            .unwrap_or(&snapshot.id);
        self.entries.iter().position(|entry| entry.customer.id == *id)
    }

    /// It is this customer's from now on. Or another's, if the catalog lost whose it is, and a person
    /// took its stamp off or copied another's over it: then it is taken for one born at Stripe, or
    /// for that other's, and nobody can tell.
    pub(super) fn belongs_to(&mut self, customer: usize, snapshot: &Snapshot) {
        let own = self.whose_truly(snapshot);
        if let Some(of) = own.filter(|of| *of != customer && self.truth[*of].unstamped) {
            for mixed_up in [of, customer] {
                self.truth[mixed_up].excused = true;
                self.truth[mixed_up].beyond = true;
            }
        }
    }
}
