//! When the order of the two sides does not matter: what hook-to-catalog can still do by itself
//! tells nobody anything, so what is left to happen at Stripe may as well come first.
//!
//! The catalog is *quiet* if there are no edits left and nothing that waits for it can make it
//! announce something or ask Stripe, in whatever order it is taken in. Its acts then change only
//! the catalog, and those of the mover and of Stripe only themselves and what waits for the
//! catalog: each of the one kind can change places with each of the other. As long as there is
//! work on that side, only that side is gone on with; what it brings may well end the quiet.
//!
//! The ground truth is the same in both orders: an act of a quiet catalog takes nothing, and
//! whether an effect at Stripe was right depends on edits made before.
//!
//! Whether it really was quiet is looked at whenever it does something (`broke_quiet`).

use super::super::World;
use super::super::hook::Hooked;
use super::super::stripe::Event;
use super::Left;
use common::record::STRIPE;

impl World {
    pub(super) fn is_quiet(&self, left: Left) -> bool {
        let Some(sync) = self.entries[0].systems.get(STRIPE) else { return false };
        if left.edits > 0 || !self.questions.is_empty() {
            return false;
        }
        let fields = &self.entries[0].customer.fields;
        let waits = || {
            self.hooked.iter().filter_map(|record| match record {
                Hooked::Event(number) => Some(&self.stripe.events[*number]),
                Hooked::Listed(_) => None,
            })
        };
        let stamp = |event: &Event| event.snapshot.stamp_version();
        waits().all(|event| {
            let s = stamp(event);
            let is_late =
                event.previous.stamp.is_some_and(|before| before > s || before < sync.seen);
            let keeps =
                || fields.differing(&event.snapshot.fields).iter().all(|field| sync.own(field) > s);
            // Only what looks otherwise under the same stamp puts it in doubt; times do not help,
            // since a GET may have been later than what waits.
            let seen_alike = sync.seen != s || sync.shadow == event.snapshot.fields;
            let waits_alike = || {
                waits().all(|other| {
                    stamp(other) != s || other.snapshot.fields == event.snapshot.fields
                })
            };
            s > 0 && !is_late && seen_alike && keeps() && waits_alike()
        })
    }

    /// Did this come of an act of a catalog that was taken for quiet, and was not?
    pub(super) fn broke_quiet(&self, before: &Self) -> bool {
        self.entries[0].customer.version != before.entries[0].customer.version
            || !self.questions.is_empty()
    }
}
