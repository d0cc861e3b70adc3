//! The change event of a customer as it stands. It is cumulative: whoever reads only the newest
//! one of a customer knows all that is still to be done.

use std::collections::BTreeMap;

use super::rules::Rule;
use super::state::{Entry, SyncState};
use crate::clock;
use crate::in_force::holds;
use crate::record::change::ChangeData;
use crate::record::{Change, Customer, Field, Millis, SystemPart};

/// What only the edge knows.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// UUIDv7, new for every event.
    pub event_id: String,
    pub now: Millis,
}

/// Announces the change just made: its origin and the fields it changed.
pub fn change(entry: &mut Entry, origin: &str, changed: &[Field], envelope: Envelope) -> Change {
    for sync in entry.systems.values_mut() {
        sync.announced_at = envelope.now;
        sync.announced_times = 0;
    }
    build(entry, origin, changed, false, envelope)
}

/// Announces the same version again, for what stays pending.
pub fn again(entry: &mut Entry, envelope: Envelope) -> Change {
    for sync in entry.systems.values_mut() {
        sync.announced_at = envelope.now;
        sync.announced_times = sync.announced_times.saturating_add(1);
    }
    build(entry, "catalog", &[], true, envelope)
}

/// Marks a change that may have been produced before: by a relay that died before it could forget
/// it, or that got no delivery report. It may come after newer ones then, and whoever reads it
/// must not take it for new.
pub fn maybe_before(change: &mut Change) {
    for part in change.data.systems.values_mut() {
        part.again |= holds(Rule::MaybeBefore);
    }
}

/// The same for a change as it stands in the outbox.
pub fn maybe_before_line(line: Vec<u8>) -> Vec<u8> {
    match Change::parse(&line) {
        Ok(mut change) => {
            maybe_before(&mut change);
            change.to_line()
        }
        // Whoever reads it says what is wrong with it.
        Err(_unreadable) => line,
    }
}

fn build(
    entry: &Entry,
    origin: &str,
    changed: &[Field],
    again: bool,
    envelope: Envelope,
) -> Change {
    let customer = &entry.customer;
    let kind = match (customer.deleted, customer.version) {
        (true, _) => "catalog.customer.deleted",
        (false, 1) => "catalog.customer.created",
        (false, _) => "catalog.customer.updated",
    };
    let systems: BTreeMap<_, _> = entry
        .systems
        .iter()
        .map(|(system, sync)| (system.clone(), part(sync, customer, again)))
        .collect();
    Change {
        specversion: "1.0".into(),
        id: envelope.event_id,
        source: "/catalog".into(),
        kind: kind.into(),
        subject: customer.id.clone(),
        time: clock::rfc3339(envelope.now),
        datacontenttype: "application/json".into(),
        partitionkey: customer.id.clone(),
        data: ChangeData {
            origin: origin.into(),
            version: customer.version,
            changed: changed.to_vec(),
            customer: customer.clone(),
            systems,
        },
    }
}

fn part(sync: &SyncState, customer: &Customer, again: bool) -> SystemPart {
    let unlinked = sync.external_id.is_none();
    let deleted = customer.deleted;
    let mut pending = if deleted { BTreeMap::new() } else { sync.pending() };
    if !holds(Rule::Cumulative) && !again {
        pending.retain(|_, version| *version == customer.version);
    }
    let first = if holds(Rule::FirstFrozen) {
        sync.first.clone()
    } else {
        sync.first.as_ref().map(|_| customer.fields.clone())
    };
    SystemPart {
        id: sync.external_id.clone(),
        pending,
        acked: sync.acked,
        first: first.filter(|_| unlinked && !deleted),
        first_at: sync.first_at.filter(|_| unlinked).map(clock::rfc3339),
        again,
        delete: sync.pending_delete().filter(|_| deleted),
        delete_ids: sync.delete_ids.clone(),
    }
}
