//! What the catalog knows of a customer and of how it stands with each system.

use std::collections::BTreeMap;

use super::rules::Rule;
use super::settle::ForeignEdit;
use crate::in_force::holds;
use crate::record::{Customer, Field, Fields, Millis, Pending, Seconds, Snapshot, Stamp, Value};

/// A customer (perhaps a tombstone) and its state per system.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Entry {
    pub customer: Customer,
    pub systems: BTreeMap<String, SyncState>,
}

/// How one customer stands with one system.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct SyncState {
    /// The link: never changed once set, kept after deletion.
    pub external_id: Option<String>,
    /// The linked customer is known to be deleted there, which nobody can undo.
    pub gone: bool,
    /// The create's body, frozen until the link is known, and when it was first announced.
    pub first: Option<Fields>,
    pub first_at: Option<Millis>,
    /// Their fields as last seen.
    pub shadow: Fields,
    /// The highest stamp seen.
    pub seen: u64,
    /// The newest time a snapshot was taken, by their clock.
    pub remote_at: Seconds,
    /// Counts the snapshots taken in: tells a GET whether anything came in between.
    pub observed: u64,
    /// The newest version the remote is known to have.
    pub acked: u64,
    /// The version of our deletion, which the remote has to follow while it is above `acked`.
    pub deleted_version: Option<u64>,
    /// More of their customers to delete with ours.
    pub delete_ids: Vec<String>,
    /// When this was announced last, and how often in a row without an answer.
    pub announced_at: Millis,
    pub announced_times: u32,
    /// Why the last change was refused as a whole.
    pub error: Option<String>,
    /// Since when it has been unknown what they have, because nobody could be asked.
    pub doubt: Option<Millis>,
    /// What people edited there, as events told that are in doubt.
    pub put_aside: Vec<ForeignEdit>,
    /// Per field, the version of *our* newest change of it; absent when the value is theirs.
    pub own: BTreeMap<Field, u64>,
    /// Per field, why they refuse our value; until somebody changes it.
    pub refused: BTreeMap<Field, Refusal>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Refusal {
    /// The version that was refused.
    pub version: u64,
    /// Their words.
    pub why: String,
}

/// Two edits of one field made without knowing of each other: both values are kept.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Conflict {
    pub field: Field,
    /// Our value, which stays, and the version that set it.
    pub ours: Option<Value>,
    pub ours_version: u64,
    /// Their value, which ours landed on top of or will, and when it was made by their clock.
    pub theirs: Option<Value>,
    pub theirs_at: Seconds,
    /// Which version of ours the person had before them: by it one edit, told in several ways and
    /// lost to several of ours, is known as one.
    pub theirs_stamp: u64,
}

/// What is written of a customer that was deleted there and is kept here.
pub const KEPT: &str = "deleted at Stripe and kept here; no edit reaches it any more";

/// Versions are counted on from this far above the highest known one where the catalog was restored
/// from an older backup: what it had announced since then, and no longer knows, is below.
pub const LEAP: u64 = 1_000_000;

/// The stamp of this customer's remote object; `None` when it was taken off, or when somebody
/// copied another customer's metadata over it: then the version is about that one.
pub fn stamp_for<'a>(snapshot: &'a Snapshot, customer: &str) -> Option<&'a Stamp> {
    let other = snapshot.catalog_id.as_deref().is_some_and(|id| id != customer);
    snapshot.stamp.as_ref().filter(|_| !other || !holds(Rule::CopiedStamp))
}

impl SyncState {
    /// The version of our newest change of the field; 0 when the value is theirs.
    pub fn own(&self, field: &Field) -> u64 {
        self.own.get(field).copied().unwrap_or(0)
    }

    /// The fields they do not have yet: ours, above what they acknowledged, and not refused.
    pub fn pending(&self) -> Pending {
        if self.gone {
            return Pending::new();
        }
        self.own
            .iter()
            .filter(|(field, version)| **version > self.acked && !self.refused.contains_key(*field))
            .map(|(field, version)| (field.clone(), *version))
            .collect()
    }

    /// What they have is known again, or of no interest any more.
    pub(super) fn end_doubt(&mut self) {
        self.doubt = None;
        self.put_aside.clear();
    }

    /// Why a change failed is of no interest once something changed; that it is gone there stays so.
    pub fn forget_error(&mut self) {
        if !self.gone {
            self.error = None;
        }
    }

    /// The deletion they have yet to follow.
    pub fn pending_delete(&self) -> Option<u64> {
        self.deleted_version.filter(|version| *version > self.acked && !self.gone)
    }
}

impl Entry {
    /// Does this system still lack something: a create, a field, the stamp, a delete?
    pub fn wants(&self, system: &str) -> bool {
        let Some(sync) = self.systems.get(system) else { return false };
        if self.customer.deleted {
            return sync.pending_delete().is_some() || !sync.delete_ids.is_empty();
        }
        !sync.gone && (!sync.pending().is_empty() || sync.external_id.is_none())
    }

    /// Somebody at the other end knows a version above ours: the catalog was restored from a backup.
    /// Versions go on where no number means two changes, and what is still owed is sent under a
    /// new one, whatever the other end has. True if something is owed.
    pub(super) fn leap_beyond(&mut self, version: u64, system: &str, now: Millis) -> bool {
        self.customer.version = version + LEAP;
        let Some(sync) = self.systems.get(system) else { return false };
        let owed: Vec<Field> = sync.pending().into_keys().collect();
        if owed.is_empty() || !holds(Rule::RestoredKeepsOwed) {
            return false;
        }
        let version = self.next_version(now);
        if let Some(sync) = self.systems.get_mut(system) {
            sync.own.extend(owed.into_iter().map(|field| (field, version)));
            sync.forget_error();
        }
        true
    }

    /// The next version, given to a change made now.
    pub(super) fn next_version(&mut self, now: Millis) -> u64 {
        self.customer.version += 1;
        self.customer.updated_at = now;
        self.customer.version
    }

    /// Everybody but `origin` has to hear of this field's new value.
    pub(super) fn owe_others(&mut self, field: &Field, version: u64, origin: &str) {
        for (system, sync) in &mut self.systems {
            if system != origin {
                sync.own.insert(field.clone(), version);
                sync.refused.remove(field);
                sync.forget_error();
            }
        }
    }
}
