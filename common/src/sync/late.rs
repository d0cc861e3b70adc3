//! A write of ours that landed after a newer one (rule 4), and sending our own again.

use std::collections::BTreeSet;

use super::inbound::{Doubt, Seen, Took};
use super::rules::Rule;
use super::settle::ForeignEdit;
use super::state::{Entry, SyncState, stamp_for};
use crate::in_force::holds;
use crate::record::{API, Field, Millis, Snapshot, Stamp};

/// So many edits of one customer are remembered while it is in doubt; the oldest make room.
const PUT_ASIDE_MAX: usize = 100;

/// The stamp went back.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct LateWrite {
    /// The stamp it left behind, and the higher one it replaced.
    pub from: u64,
    pub to: u64,
    /// The fields it changed.
    pub fields: Vec<Field>,
}

impl LateWrite {
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            fields: self.fields.into_iter().chain(other.fields).collect(),
        }
    }
}

/// The late write that an event tells of.
pub(super) fn told_by(seen: &Seen, stamp: Option<&Stamp>) -> Option<LateWrite> {
    let (Seen::Event { previous, .. }, Some(stamp)) = (seen, stamp) else { return None };
    let before = previous.stamp?;
    let late = LateWrite { from: stamp.version, to: before, fields: previous.fields.clone() };
    (before > stamp.version && holds(Rule::LateWrite)).then_some(late)
}

/// The late write that the event of a newer one of ours tells of: the stamp that this one replaced
/// is below one that was seen before. What it left is in the event.
pub(super) fn told_later(
    seen: &Seen,
    sync: &SyncState,
    stamp: Option<&Stamp>,
) -> Option<LateWrite> {
    let (Seen::Event { previous, .. }, Some(stamp)) = (seen, stamp) else { return None };
    let from = previous.stamp.filter(|from| 0 < *from && *from < sync.seen)?;
    let is_newer = sync.seen < stamp.version && holds(Rule::LateWrite);
    is_newer.then(|| LateWrite { from, to: sync.seen, fields: Vec::new() })
}

/// The late write that a GET found, nothing having been observed meanwhile: its stamp is below one
/// that is known to have stood there.
pub(super) fn found_low(stood: u64, stamp: Option<&Stamp>) -> Option<LateWrite> {
    let stamp = stamp.filter(|stamp| stamp.version < stood && holds(Rule::FoundLow))?;
    Some(LateWrite { from: stamp.version, to: stood, fields: Vec::new() })
}

/// Our fields between the two stamps, and those the late write changed, where Stripe differs now,
/// get a new version, and so does the stamp.
pub(super) fn reassert_overwritten(
    entry: &mut Entry,
    system: &str,
    snapshot: &Snapshot,
    late: &LateWrite,
    now: Millis,
) -> Took {
    // The stamp that it replaced may say, like any, that the catalog was restored.
    let is_above = late.to > entry.customer.version;
    let owes = is_above && holds(Rule::RestoredByStamp) && entry.leap_beyond(late.to, system, now);
    let differing = entry.customer.fields.differing(&snapshot.fields);
    let Some(sync) = entry.systems.get(system) else { return Took::default() };
    let fields: BTreeSet<Field> = differing
        .into_iter()
        .filter(|field| !sync.refused.contains_key(field))
        .filter(|field| {
            let own = sync.own(field);
            late.from < own && own <= late.to || late.fields.contains(field)
        })
        .collect();
    let stamp = stamp_for(snapshot, &entry.customer.id);
    let overtaken = stamp.is_some_and(|stamp| stamp.version >= late.to);
    if overtaken && fields.is_empty() {
        let announce = owes.then(|| (API.to_owned(), Vec::new()));
        let note = Some("a late write of ours was overtaken again");
        return Took { touched: owes, announce, note, ..Took::default() };
    }
    let stamp = [Field::Stamp].into_iter().filter(|_| holds(Rule::LateWriteStamp));
    let fields: Vec<Field> = fields.into_iter().chain(stamp).collect();
    reassert(entry, system, &fields, now)
}

/// Sends these fields again as a new version, although Stripe has seen the old one.
pub fn reassert(entry: &mut Entry, system: &str, fields: &[Field], now: Millis) -> Took {
    let version = entry.next_version(now);
    if let Some(sync) = entry.systems.get_mut(system) {
        for field in fields {
            sync.own.insert(field.clone(), version);
            sync.refused.remove(field);
        }
        sync.forget_error();
    }
    Took { touched: true, announce: Some((API.to_owned(), Vec::new())), ..Took::default() }
}

/// The doubt that a snapshot raised, when nobody may ask Stripe: the snapshot is put aside and the
/// stamp is sent again, if it is not on its way already. What then comes back is stamped higher
/// than all that was seen, and settles the doubt. Of a late write's victims nothing would be left
/// by then: they go with the stamp.
pub fn unasked(
    entry: &mut Entry,
    system: &str,
    snapshot: &Snapshot,
    doubt: &Doubt,
    now: Millis,
) -> Took {
    let was_restored = doubt.stood > entry.customer.version && holds(Rule::RestoredByStamp);
    if was_restored {
        entry.leap_beyond(doubt.stood, system, now);
    }
    let Some(sync) = entry.systems.get_mut(system) else { return Took::default() };
    sync.doubt.get_or_insert(now);
    // One that stood there and was taken off is on its way no more, though no result says so yet.
    let is_owed = sync.own(&Field::Stamp) > sync.acked.max(doubt.stood);
    put_aside(sync, &doubt.edits);
    let mut took = match &doubt.late {
        Some(late) => reassert_overwritten(entry, system, snapshot, late, now),
        None if is_owed => Took::nothing("in doubt; the stamp is on its way"),
        None => reassert(entry, system, &[Field::Stamp], now),
    };
    took.touched = true;
    took
}

/// What people edited is not forgotten with the snapshot: whether it stands or was lost is seen when
/// the doubt is settled.
fn put_aside(sync: &mut SyncState, edits: &[ForeignEdit]) {
    for edit in edits {
        if !sync.put_aside.contains(edit) {
            sync.put_aside.push(edit.clone());
        }
    }
    let too_many = sync.put_aside.len().saturating_sub(PUT_ASIDE_MAX);
    sync.put_aside.drain(..too_many);
}
