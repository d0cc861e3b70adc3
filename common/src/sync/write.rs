//! What a write by the API does to a customer. A write that changes nothing makes no version.

use std::collections::BTreeMap;

use super::state::{Entry, SyncState};
use crate::record::{API, Customer, Field, Fields, Millis};

/// A new customer, to be created at each of the systems.
pub fn create(id: String, fields: Fields, systems: &[&str], now: Millis) -> Entry {
    let own: BTreeMap<_, _> = fields.iter().map(|(field, _)| (field.clone(), 1)).collect();
    let sync = SyncState {
        first: Some(fields.clone()),
        first_at: Some(now),
        shadow: fields.clone(),
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
    let changed = entry.customer.fields.differing(fields);
    if !changed.is_empty() {
        let version = entry.next_version(now);
        for field in &changed {
            entry.customer.fields.set(field.clone(), fields.get(field).cloned());
            entry.owe_others(field, version, API);
        }
    }
    changed
}

/// Turns a customer into a tombstone. False if it was one already.
pub fn delete(entry: &mut Entry, now: Millis) -> bool {
    if entry.customer.deleted {
        return false;
    }
    bury(entry, API, now);
    true
}

/// Deleted by `origin`: everybody else has to follow.
pub(super) fn bury(entry: &mut Entry, origin: &str, now: Millis) {
    let version = entry.next_version(now);
    entry.customer.deleted = true;
    for (system, sync) in &mut entry.systems {
        if system != origin && !sync.gone {
            sync.deleted_version = Some(version);
            sync.error = None;
        }
    }
}
