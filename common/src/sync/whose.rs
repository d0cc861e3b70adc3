//! Whose a snapshot is, and customers that the catalog hears of from Stripe first (rule 2).

use std::collections::BTreeMap;

use super::inbound::{Seen, UNKNOWN, time_of};
use super::rules::Rule;
use super::state::{Entry, LEAP, SyncState};
use crate::in_force::holds;
use crate::record::validate::check_id;
use crate::record::{Customer, Field, Millis, Snapshot};

/// Whose snapshot it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Whose {
    /// Of this catalog customer, by the link or, while it has none, by a stamped `catalog_id`.
    Ours,
    /// Made by us for a customer that is linked elsewhere, or copied by a person: nothing changes.
    Duplicate,
    /// To be born with this id: Stripe's or, if it was made by us for a customer that the catalog
    /// lost (it was restored from an older backup), the one it had.
    Born { id: String },
}

/// Decides whose it is. `linked`: a catalog customer has this Stripe id. `named`: the customer
/// that `catalog_id` names, if there is one.
pub fn whose(system: &str, snapshot: &Snapshot, linked: bool, named: Option<&Entry>) -> Whose {
    if linked {
        return Whose::Ours;
    }
    let Some(_) = snapshot.stamp.as_ref().filter(|_| holds(Rule::NamedOnlyIfStamped)) else {
        if !holds(Rule::NamedOnlyIfStamped) && named.is_some() {
            return Whose::Ours;
        }
        return Whose::Born { id: snapshot.id.clone() };
    };
    match (&snapshot.catalog_id, named) {
        (_, Some(entry)) => {
            let sync = entry.systems.get(system);
            let unlinked = sync.is_some_and(|sync| sync.external_id.is_none());
            if unlinked { Whose::Ours } else { Whose::Duplicate }
        }
        (Some(id), None) if could_be_ours(id, snapshot) && holds(Rule::LostAreBornAgain) => {
            Whose::Born { id: id.clone() }
        }
        (_, None) => Whose::Duplicate,
    }
}

/// Ids of the catalog are its callers', or that of the very Stripe customer that was born there.
fn could_be_ours(id: &str, snapshot: &Snapshot) -> bool {
    check_id(id).is_ok() || id == snapshot.id
}

/// A customer that the catalog did not know. Born deleted (the deletion arrived first), it is a
/// tombstone at once, so that its late creation revives nothing.
pub fn born(
    system: &str,
    systems: &[&str],
    id: String,
    snapshot: &Snapshot,
    seen: &Seen,
    now: Millis,
) -> Entry {
    let (stamp, overwritten) = (snapshot.stamp_version(), overwritten(snapshot, seen));
    let highest = stamp.max(overwritten.unwrap_or(0));
    // One that the catalog lost has had versions that nobody knows.
    let version = if highest == 0 { 1 } else { highest + LEAP };
    let customer = Customer {
        id,
        version,
        created_at: now,
        updated_at: now,
        deleted: snapshot.deleted,
        fields: snapshot.fields.clone(),
    };
    let mut entry = Entry { customer, systems: BTreeMap::new() };
    for name in systems {
        let mut sync = SyncState { announced_at: now, ..SyncState::default() };
        if *name == system {
            sync.external_id = Some(snapshot.id.clone());
            sync.gone = snapshot.deleted;
            sync.shadow = snapshot.fields.clone();
            sync.observed = 1;
            (sync.seen, sync.acked) = (highest, highest);
            sync.remote_at = time_of(seen, UNKNOWN);
            sync.own.extend(overwritten.map(|_| (Field::Stamp, version)));
        } else {
            sync.first = Some(snapshot.fields.clone());
            sync.first_at = Some(now);
            let fields = snapshot.fields.iter();
            sync.own = fields.map(|(field, _)| (field.clone(), version)).collect();
        }
        entry.systems.insert((*name).to_owned(), sync);
    }
    entry
}

/// The higher stamp that a late write of ours replaced, if the event that gives birth tells of one.
/// Nobody knows any more what it overwrote, but with the stamp put back what comes next counts.
fn overwritten(snapshot: &Snapshot, seen: &Seen) -> Option<u64> {
    let (Seen::Event { previous, .. }, Some(stamp)) = (seen, &snapshot.stamp) else { return None };
    previous.stamp.filter(|before| *before > stamp.version && holds(Rule::LateWrite))
}
