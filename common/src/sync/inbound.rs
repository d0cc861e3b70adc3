//! What a snapshot of a Stripe customer (from an event, a GET or a listing) does to the catalog.
//!
//! The order of the checks is the order of the rules in docs/SYNC.md, and each is there because
//! histories failed without it.

use std::collections::BTreeSet;

use super::state::{Conflict, Entry, Refusal, SyncState, stamp_for};
use super::write;
use crate::record::{Customer, Field, Millis, Previous, Seconds, Snapshot, Stamp};

/// Two snapshots whose times are this close say nothing about their order: Stripe tells whole
/// seconds, and its clocks differ a little.
pub const SAME_TIME_S: Seconds = 3;

/// The time of what a listing showed: nobody knows. Whatever differs from it afterwards, with the
/// same stamp, is in doubt.
const UNKNOWN: Seconds = 0;

/// What is written when Stripe refused a field and only the stamp says so; the result that
/// follows brings Stripe's own words.
pub const REFUSED_BY_STAMP: &str = "refused by Stripe";

/// How a snapshot came to be seen.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// In an event made at this time.
    Event { created: Seconds, previous: &'a Previous },
    /// In the answer to a GET asked for this doubt, at this time by Stripe's `Date` header.
    Read { date: Seconds, doubt: &'a Doubt },
    /// In a listing, which carries no time of its own.
    Listing,
}

/// Why Stripe has to be asked, and what was known when the question arose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Doubt {
    pub observed: u64,
    /// The version that was known to have landed: an answer without a stamp contains it.
    pub landed: u64,
    pub late: Option<LateWrite>,
}

impl Doubt {
    /// Both at once: one answer of Stripe's settles all that was in doubt before it was asked.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let late = match (self.late, other.late) {
            (Some(one), Some(two)) => Some(LateWrite {
                from: one.from.min(two.from),
                to: one.to.max(two.to),
                fields: one.fields.into_iter().chain(two.fields).collect(),
                certain: one.certain || two.certain,
            }),
            (one, two) => one.or(two),
        };
        let landed = self.landed.min(other.landed);
        Self { observed: self.observed.max(other.observed), landed, late }
    }
}

/// A write of ours landed after a newer one: the stamp went back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LateWrite {
    /// The stamp it left behind, and the higher one it replaced.
    pub from: u64,
    pub to: u64,
    /// The fields it changed.
    pub fields: Vec<Field>,
    /// The event said so. Otherwise it is a guess, which counts if the stamp is found to be low.
    pub certain: bool,
}

/// What a snapshot or a result did, and what the edge has to do now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Took {
    /// The state changed and must be stored.
    pub touched: bool,
    /// A new version was made: announce it, with this origin and these fields.
    pub announce: Option<(String, Vec<Field>)>,
    /// Ask Stripe and come back with [`Seen::Read`]; nothing else was done.
    pub doubt: Option<Doubt>,
    pub conflicts: Vec<Conflict>,
    /// Why nothing was done; for people who wonder.
    pub note: Option<&'static str>,
}

impl Took {
    fn nothing(note: &'static str) -> Self {
        Self { note: Some(note), ..Self::default() }
    }

    fn doubt(sync: &SyncState, late: Option<LateWrite>) -> Self {
        let landed = sync.seen.max(sync.acked);
        let doubt = Doubt { observed: sync.observed, landed, late };
        Self { doubt: Some(doubt), ..Self::default() }
    }
}

/// Whose snapshot it is (rule 2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Whose {
    /// Of this catalog customer, by the link or, while it has none, by a stamped `catalog_id`.
    Ours,
    /// Made by us for a customer that is linked elsewhere, or copied by a person: nothing changes.
    Duplicate,
    /// Born at Stripe.
    Born,
}

/// Decides whose it is. `linked`: a catalog customer has this Stripe id. `named`: the customer
/// that `catalog_id` names, if there is one.
pub fn whose(system: &str, snapshot: &Snapshot, linked: bool, named: Option<&Entry>) -> Whose {
    if linked {
        return Whose::Ours;
    }
    let stamped = snapshot.stamp.is_some();
    let unlinked = named
        .and_then(|entry| entry.systems.get(system))
        .is_some_and(|sync| sync.external_id.is_none());
    match (stamped, unlinked) {
        (true, true) => Whose::Ours,
        (true, false) => Whose::Duplicate,
        (false, _) => Whose::Born,
    }
}

/// A customer born at Stripe: its id there is its id here. Born deleted (the deletion arrived
/// first), it is a tombstone at once, so that its late creation revives nothing.
pub fn born(
    system: &str,
    systems: &[&str],
    snapshot: &Snapshot,
    seen: &Seen,
    now: Millis,
) -> Entry {
    let customer = Customer {
        id: snapshot.id.clone(),
        version: 1,
        created_at: now,
        updated_at: now,
        deleted: snapshot.deleted,
        fields: snapshot.fields.clone(),
    };
    let mut entry = Entry { customer, systems: std::collections::BTreeMap::default() };
    for name in systems {
        let mut sync = SyncState { announced_at: now, ..SyncState::default() };
        if *name == system {
            sync.external_id = Some(snapshot.id.clone());
            sync.gone = snapshot.deleted;
            sync.shadow = snapshot.fields.clone();
            sync.observed = 1;
            sync.remote_at = time_of(seen, UNKNOWN);
        } else {
            sync.first = Some(snapshot.fields.clone());
            sync.first_at = Some(now);
            sync.own = snapshot.fields.iter().map(|(field, _)| (field.clone(), 1)).collect();
        }
        entry.systems.insert((*name).to_owned(), sync);
    }
    entry
}

fn time_of(seen: &Seen, listing: Seconds) -> Seconds {
    match seen {
        Seen::Event { created, .. } => *created,
        Seen::Read { date, .. } => *date,
        Seen::Listing => listing,
    }
}

/// Takes in a snapshot of this catalog customer.
pub fn on_snapshot(
    entry: &mut Entry,
    system: &str,
    snapshot: &Snapshot,
    seen: &Seen,
    now: Millis,
) -> Took {
    let Some(sync) = entry.systems.get_mut(system) else {
        return Took::nothing("this customer is not kept in step with that system");
    };
    let linked = sync.external_id.get_or_insert_with(|| snapshot.id.clone());
    if *linked != snapshot.id {
        return Took::nothing("linked to another customer there");
    }
    if snapshot.deleted {
        return deleted_there(entry, system, now);
    }
    if sync.gone {
        return Took::nothing("from before its deletion");
    }
    if entry.customer.deleted {
        return alive_though_deleted(entry, system, now);
    }
    live(entry, system, snapshot, seen, now)
}

/// Rule 7, first half. Nothing revives it later: Stripe never does.
pub(super) fn deleted_there(entry: &mut Entry, system: &str, now: Millis) -> Took {
    let mut took = Took { touched: true, ..Took::default() };
    if let Some(sync) = entry.systems.get_mut(system) {
        if sync.gone && entry.customer.deleted {
            return Took::nothing("known to be deleted");
        }
        sync.gone = true;
        sync.error = None;
        sync.doubt = None;
    }
    if !entry.customer.deleted {
        write::bury(entry, system, now);
        took.announce = Some((system.to_owned(), Vec::new()));
    }
    took
}

/// Rule 7, second half: we deleted it and Stripe still shows it. While the deletion waits to be
/// done it is on its way; once it counted as done (nothing was found to delete) it is made again.
fn alive_though_deleted(entry: &mut Entry, system: &str, now: Millis) -> Took {
    let waiting = entry.systems.get(system).is_some_and(|sync| sync.pending_delete().is_some());
    if waiting {
        // The link may be new: keep it.
        return Took {
            touched: true,
            note: Some("deleted here; its deletion there is on its way"),
            ..Took::default()
        };
    }
    let version = entry.next_version(now);
    if let Some(sync) = entry.systems.get_mut(system) {
        sync.deleted_version = Some(version);
        sync.error = None;
    }
    Took {
        touched: true,
        announce: Some((crate::record::API.to_owned(), Vec::new())),
        ..Took::default()
    }
}

/// Rules 3 to 6 for a live snapshot of a live customer.
fn live(entry: &mut Entry, system: &str, snapshot: &Snapshot, seen: &Seen, now: Millis) -> Took {
    let Some(sync) = entry.systems.get(system) else { return Took::default() };
    let stamp = stamp_for(snapshot, &entry.customer.id);
    // Rule 3: a late write of ours.
    if let (Seen::Event { previous, .. }, Some(stamp)) = (seen, stamp)
        && let Some(before) = stamp_before(sync, previous)
        && before > stamp.version
    {
        let late = LateWrite {
            from: stamp.version,
            to: before,
            fields: previous.fields.clone(),
            certain: previous.stamp == Some(before),
        };
        return Took::doubt(sync, Some(late));
    }
    if let Seen::Read { doubt, .. } = seen
        && doubt.observed != sync.observed
    {
        // Something came in while Stripe was asked, and nobody knows which is newer: ask again.
        let mut took = Took::doubt(sync, doubt.late.clone());
        took.doubt =
            took.doubt.map(|again| Doubt { landed: again.landed.max(doubt.landed), ..again });
        return took;
    }
    let mut took = Took::default();
    if let Seen::Read { doubt, .. } = seen {
        let found_low = stamp.filter(|stamp| stamp.version < sync.seen).map(|stamp| LateWrite {
            from: stamp.version,
            to: sync.seen,
            fields: Vec::new(),
            certain: true,
        });
        if let Some(late) = doubt.late.clone().or(found_low) {
            took = reassert_overwritten(entry, system, snapshot, &late, now);
        }
    }
    let Some(sync) = entry.systems.get(system) else { return took };
    // Rule 4: stale, or in doubt.
    let landed = match seen {
        Seen::Read { doubt, .. } => doubt.landed.max(sync.seen),
        // An event may say that the stamp was taken off, and which one.
        Seen::Event { previous, .. } if snapshot.stamp.is_none() => {
            sync.seen.max(sync.acked).max(previous.stamp.unwrap_or(0))
        }
        Seen::Event { .. } | Seen::Listing => sync.seen.max(sync.acked),
    };
    let copied = snapshot.stamp.is_some() && stamp.is_none();
    let unstamped = stamp.is_none() && (landed > 0 || copied);
    let s = if unstamped { landed } else { stamp.map_or(0, |stamp| stamp.version) };
    let read = matches!(seen, Seen::Read { .. });
    if unstamped && !read {
        let mut took = Took::doubt(sync, None);
        took.doubt = took.doubt.map(|doubt| Doubt { landed, ..doubt });
        return took;
    }
    let at = time_of(seen, sync.remote_at);
    if s < sync.seen || s == sync.seen && at < sync.remote_at - SAME_TIME_S {
        took.note = Some("older than what was seen");
        return took;
    }
    let same_time = sync.remote_at == UNKNOWN || (at - sync.remote_at).abs() <= SAME_TIME_S;
    let differs = s == sync.seen && same_time && snapshot.fields != sync.shadow;
    if !read && differs {
        return Took::doubt(sync, None);
    }
    let is_owed = sync.own(&Field::Stamp) > sync.acked;
    let mut took = settle(entry, system, snapshot, seen, s, now, took);
    if read && unstamped && !is_owed {
        // Somebody took the stamp off, or copied another customer's over it. Only with it does one
        // know what has landed: put it back.
        let stamped = reassert(entry, system, &[Field::Stamp], now);
        took.announce = took.announce.or(stamped.announce);
    }
    took
}

/// The stamp that this write of ours replaced, as far as it can be known: where there was none, it
/// may have been taken off, and any stamp seen before may have been there.
fn stamp_before(sync: &SyncState, previous: &Previous) -> Option<u64> {
    match previous.stamp? {
        0 => Some(sync.seen),
        before => Some(before),
    }
}

/// Rules 5 and 6: field by field, then what was seen.
fn settle(
    entry: &mut Entry,
    system: &str,
    snapshot: &Snapshot,
    seen: &Seen,
    s: u64,
    now: Millis,
    mut took: Took,
) -> Took {
    let at;
    let mut taken = Vec::new();
    {
        let Some(sync) = entry.systems.get_mut(system) else { return took };
        at = time_of(seen, sync.remote_at);
        let stamp = stamp_for(snapshot, &entry.customer.id);
        mark_refused_by_stamp(sync, stamp);
        for field in entry.customer.fields.differing(&snapshot.fields) {
            let foreign = matches!(seen, Seen::Event { previous, .. }
                if previous.is_foreign_edit_of(&field));
            let theirs = snapshot.fields.get(&field);
            let own = sync.own(&field);
            if sync.refused.contains_key(&field) && own <= s {
                // Without a stamp nobody knows whether it came after our try.
                if foreign && (stamp.is_some() || sync.seen == 0) {
                    taken.push(field);
                }
            } else if own > s {
                if foreign {
                    took.conflicts.push(Conflict {
                        ours: entry.customer.fields.get(&field).cloned(),
                        ours_version: own,
                        theirs: theirs.cloned(),
                        theirs_at: at,
                        field,
                    });
                }
            } else if theirs != sync.shadow.get(&field) || sync.seen < own && own <= s {
                taken.push(field);
            }
        }
        for field in &taken {
            sync.own.remove(field);
            sync.refused.remove(field);
        }
        sync.shadow = snapshot.fields.clone();
        sync.remote_at = match seen {
            Seen::Event { .. } if s > sync.seen || sync.remote_at != UNKNOWN => {
                sync.remote_at.max(at)
            }
            Seen::Read { .. } => sync.remote_at.max(at),
            Seen::Listing if s > sync.seen => UNKNOWN,
            Seen::Event { .. } | Seen::Listing => sync.remote_at,
        };
        sync.seen = sync.seen.max(s);
        sync.acked = sync.acked.max(s);
        sync.observed += 1;
        sync.doubt = None;
    }
    took.touched = true;
    if !taken.is_empty() {
        let version = entry.next_version(now);
        for field in &taken {
            entry.customer.fields.set(field.clone(), snapshot.fields.get(field).cloned());
            entry.owe_others(field, version, system);
        }
        took.announce = Some((system.to_owned(), taken));
    }
    took
}

/// The stamp names the fields that Stripe refused when that version was brought.
fn mark_refused_by_stamp(sync: &mut SyncState, stamp: Option<&Stamp>) {
    let Some(stamp) = stamp else { return };
    for field in &stamp.refused {
        let own = sync.own(field);
        if own > 0 && own <= stamp.version {
            sync.refused
                .entry(field.clone())
                .or_insert_with(|| Refusal { version: own, why: REFUSED_BY_STAMP.into() });
        }
    }
}

/// Rule 3: our fields between the two stamps, and those the late write changed, where Stripe
/// differs now, get a new version, and so does the stamp.
fn reassert_overwritten(
    entry: &mut Entry,
    system: &str,
    snapshot: &Snapshot,
    late: &LateWrite,
    now: Millis,
) -> Took {
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
    if overtaken && (fields.is_empty() || !late.certain) {
        return Took::nothing("a late write of ours was overtaken again");
    }
    let fields: Vec<Field> = fields.into_iter().chain([Field::Stamp]).collect();
    reassert(entry, system, &fields, now)
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
    let Some(sync) = entry.systems.get_mut(system) else { return Took::default() };
    sync.doubt.get_or_insert(now);
    let is_owed = sync.own(&Field::Stamp) > sync.acked;
    let mut took = match &doubt.late {
        Some(late) if late.certain => reassert_overwritten(entry, system, snapshot, late, now),
        Some(_) | None if is_owed => Took::nothing("in doubt; the stamp is on its way"),
        Some(_) | None => reassert(entry, system, &[Field::Stamp], now),
    };
    took.touched = true;
    took
}

/// Sends these fields again as a new version, although Stripe has seen the old one.
pub fn reassert(entry: &mut Entry, system: &str, fields: &[Field], now: Millis) -> Took {
    let version = entry.next_version(now);
    if let Some(sync) = entry.systems.get_mut(system) {
        for field in fields {
            sync.own.insert(field.clone(), version);
            sync.refused.remove(field);
        }
        sync.error = None;
    }
    Took {
        touched: true,
        announce: Some((crate::record::API.to_owned(), Vec::new())),
        ..Took::default()
    }
}
