//! What a write by the API does to a customer. A write that changes nothing makes no version.

use std::collections::BTreeMap;

use super::policy::Deletes;
use super::rules::Rule;
use super::state::{Entry, SyncState};
use crate::in_force::holds;
use crate::record::{API, Customer, Field, Fields, Millis};

/// A new customer, to be created at each of the systems.
pub fn create(id: String, fields: Fields, systems: &[&str], now: Millis) -> Entry {
    let own: BTreeMap<_, _> = fields.iter().map(|(field, _)| (field.clone(), 1)).collect();
    let sync = SyncState {
        first: Some(fields.clone()),
        first_at: Some(now),
        own,
        announced_at: now,
        ..SyncState::default()
    };
    Entry {
        customer: Customer {
            id,
            version: 1,
            created_at: now,
            updated_at: now,
            deleted: false,
            fields,
        },
        systems: systems.iter().map(|system| ((*system).to_owned(), sync.clone())).collect(),
    }
}

/// Gives a live customer these fields. Returns those that changed; none, and nothing happened.
pub fn edit(entry: &mut Entry, fields: &Fields, now: Millis) -> Vec<Field> {
    let changed = if holds(Rule::OnlyWhatChanged) {
        entry.customer.fields.differing(fields)
    } else {
        entry.customer.fields.iter().chain(fields.iter()).map(|(field, _)| field.clone()).collect()
    };
    if !changed.is_empty() {
        let version = entry.next_version(now);
        for field in &changed {
            entry.customer.fields.set(field.clone(), fields.get(field).cloned());
            entry.owe_others(field, version, API);
        }
    }
    changed
}

/// Turns a customer into a tombstone, to be deleted at the systems too or kept there. False if it
/// was one already.
pub fn delete(entry: &mut Entry, deletes: Deletes, now: Millis) -> bool {
    if entry.customer.deleted {
        return false;
    }
    bury(entry, API, deletes, now);
    true
}

/// Deleted by `origin`: everybody else has to follow, unless they keep it. A tombstone that they
/// owe no deletion for and that is not gone there is one that was kept.
pub(super) fn bury(entry: &mut Entry, origin: &str, deletes: Deletes, now: Millis) {
    let version = entry.next_version(now);
    entry.customer.deleted = true;
    let mirrored = deletes == Deletes::Mirror || !holds(Rule::KeepAtStripe);
    for (system, sync) in &mut entry.systems {
        sync.error = None;
        sync.end_doubt();
        if system != origin && !sync.gone && mirrored {
            sync.deleted_version = Some(version);
        }
    }
}
