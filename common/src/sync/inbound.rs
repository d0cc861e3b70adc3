//! What a snapshot of a Stripe customer (from an event, a GET or a listing) does to the catalog.
//!
//! The order of the checks is the order of the rules in docs/SYNC.md, and each is there because
//! histories failed without it.

use super::late::{self, LateWrite};
use super::policy::{Deletes, Policy};
use super::rules::Rule;
use super::settle::{Counted, ForeignEdit, foreign_edits, lost_edits, overwritten, settle};
use super::state::{Conflict, Entry, KEPT, SyncState, stamp_for};
use super::write;
use crate::in_force::holds;
use crate::record::{API, Field, Fields, Millis, Previous, Seconds, Snapshot};

pub use super::late::{reassert, unasked};
pub use super::settle::REFUSED_BY_STAMP;
pub use super::whose::{Whose, born, whose};

/// Two snapshots whose times are this close say nothing about their order: Stripe tells whole
/// seconds, and its clocks differ a little.
pub const SAME_TIME_S: Seconds = 3;

/// The time of what a listing showed: nobody knows. Whatever differs from it afterwards, with the
/// same stamp, is in doubt.
pub(super) const UNKNOWN: Seconds = 0;

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
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Doubt {
    pub observed: u64,
    /// The version that was known to have landed when it was raised: an answer without a stamp
    /// contains it.
    pub landed: u64,
    /// The stamp that stood there before it was taken off, as an event told; 0 if none told.
    pub stood: u64,
    pub late: Option<LateWrite>,
    /// What people edited, as the events in doubt told: the answer may show ours on top already.
    pub edits: Vec<ForeignEdit>,
}

impl Doubt {
    /// Both at once: one answer of Stripe's settles all that was in doubt before it was asked.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let late = match (self.late, other.late) {
            (Some(one), Some(two)) => Some(one.and(two)),
            (one, two) => one.or(two),
        };
        let landed = self.landed.max(other.landed);
        let stood = self.stood.max(other.stood);
        let edits = self.edits.into_iter().chain(other.edits).collect();
        Self { observed: self.observed.max(other.observed), landed, stood, late, edits }
    }
}

/// What a snapshot or a result did, and what the edge has to do now.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
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
    pub(super) fn nothing(note: &'static str) -> Self {
        Self { note: Some(note), ..Self::default() }
    }

    fn doubt(sync: &SyncState, landed: u64, late: Option<LateWrite>) -> Self {
        let observed = sync.observed;
        let doubt = Doubt { observed, landed, stood: 0, late, edits: Vec::new() };
        Self { doubt: Some(doubt), ..Self::default() }
    }

    fn about(mut self, edits: Vec<ForeignEdit>) -> Self {
        if let Some(doubt) = &mut self.doubt {
            doubt.edits.extend(edits);
        }
        self
    }

    fn stood(mut self, stamp: u64) -> Self {
        if let Some(doubt) = &mut self.doubt {
            doubt.stood = stamp;
        }
        self
    }
}

pub(super) fn time_of(seen: &Seen, listing: Seconds) -> Seconds {
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
    policy: &Policy,
    now: Millis,
) -> Took {
    let Some(sync) = entry.systems.get_mut(system) else {
        return Took::nothing("this customer is not kept in step with that system");
    };
    let linked = sync.external_id.get_or_insert_with(|| snapshot.id.clone());
    if *linked != snapshot.id {
        return Took::nothing("linked to another customer there");
    }
    if snapshot.deleted && holds(Rule::DeletedThere) {
        return deleted_there(entry, system, policy.deletes, now);
    }
    if sync.gone && holds(Rule::GoneStays) {
        return Took::nothing("from before its deletion");
    }
    if entry.customer.deleted && holds(Rule::DeletedHereStays) {
        return alive_though_deleted(entry, system, now);
    }
    live(entry, &News { system, snapshot, seen, policy, now })
}

/// A snapshot of one customer, and what it is judged by.
pub(super) struct News<'a> {
    pub system: &'a str,
    pub snapshot: &'a Snapshot,
    pub seen: &'a Seen<'a>,
    pub policy: &'a Policy,
    pub now: Millis,
}

/// Rule 3, first half. Nothing revives it later: Stripe never does.
pub(super) fn deleted_there(
    entry: &mut Entry,
    system: &str,
    deletes: Deletes,
    now: Millis,
) -> Took {
    let kept = deletes == Deletes::Keep && holds(Rule::KeepHere);
    let mut took = Took { touched: true, ..Took::default() };
    let customer = &entry.customer;
    if let Some(sync) = entry.systems.get_mut(system) {
        if sync.gone && (customer.deleted || kept) {
            return Took::nothing("known to be deleted");
        }
        sync.gone = true;
        sync.error = (kept && !customer.deleted).then(|| KEPT.to_owned());
        if kept {
            // Ours lives on without what was edited there.
            took.conflicts = lost_edits(sync, &customer.fields, &sync.put_aside);
        }
        sync.end_doubt();
    }
    if !entry.customer.deleted && !kept {
        write::bury(entry, system, Deletes::Mirror, now);
        took.announce = Some((system.to_owned(), Vec::new()));
    }
    took
}

/// Rule 3, second half: we deleted it and Stripe still shows it. It was kept there; or, while the
/// deletion waits to be done, it is on its way; or, once it counted as done (nothing was found to
/// delete), it is made again.
fn alive_though_deleted(entry: &mut Entry, system: &str, now: Millis) -> Took {
    let Some(sync) = entry.systems.get_mut(system) else { return Took::default() };
    let note = match sync.deleted_version {
        None => "deleted here and kept there",
        Some(_) if sync.pending_delete().is_some() || !holds(Rule::AliveThoughDeleted) => {
            "deleted here; its deletion there is on its way"
        }
        Some(_) => return delete_again(entry, system, now),
    };
    // The link may be new: keep it.
    Took { touched: true, note: Some(note), ..Took::default() }
}

/// Our deletion counted as done, or nearly: a new version of it.
pub(super) fn delete_again(entry: &mut Entry, system: &str, now: Millis) -> Took {
    let version = entry.next_version(now);
    if let Some(sync) = entry.systems.get_mut(system) {
        sync.deleted_version = Some(version);
        sync.error = None;
    }
    Took { touched: true, announce: Some((API.to_owned(), Vec::new())), ..Took::default() }
}

/// Rules 4 to 9 for a live snapshot of a live customer.
fn live(entry: &mut Entry, news: &News) -> Took {
    let News { system, snapshot, seen, now, .. } = *news;
    let stamp = stamp_for(snapshot, &entry.customer.id);
    let mut took = Took::default();
    let told = match seen {
        Seen::Read { doubt, .. } => doubt.stood,
        Seen::Event { .. } | Seen::Listing => 0,
    };
    let highest = stamp.map_or(0, |stamp| stamp.version).max(told);
    if highest > entry.customer.version && holds(Rule::RestoredByStamp) {
        let owes = entry.leap_beyond(highest, system, now);
        took.announce = owes.then(|| (API.to_owned(), Vec::new()));
    }
    let Some(sync) = entry.systems.get(system) else { return took };
    let landed = sync.seen.max(sync.acked);
    if let Some(late) = late::told_by(seen, stamp) {
        return Took::doubt(sync, landed, Some(late));
    }
    if let Seen::Read { doubt, .. } = seen {
        if doubt.observed != sync.observed && holds(Rule::NothingObserved) {
            // Something came in while Stripe was asked, and nobody knows which is newer: ask again.
            return Took::doubt(sync, landed.max(doubt.landed), doubt.late.clone())
                .about(doubt.edits.clone())
                .stood(doubt.stood);
        }
        took.conflicts = overwritten(sync, &entry.customer.fields, &doubt.edits, snapshot);
    }
    let late = match seen {
        Seen::Read { doubt, .. } => {
            let stood = sync.seen.max(doubt.stood);
            doubt.late.clone().or_else(|| late::found_low(stood, stamp))
        }
        Seen::Event { .. } | Seen::Listing => late::told_later(seen, sync, stamp),
    };
    if let Some(late) = late {
        let reasserted = late::reassert_overwritten(entry, system, snapshot, &late, now);
        took.touched |= reasserted.touched;
        (took.announce, took.note) = (reasserted.announce.or(took.announce), reasserted.note);
    }
    counts(entry, news, took)
}

/// Rules 5 to 7: is it stale, or in doubt, or does it count?
fn counts(entry: &mut Entry, news: &News, mut took: Took) -> Took {
    let News { system, snapshot, seen, now, .. } = *news;
    let Some(sync) = entry.systems.get(system) else { return took };
    let stamp = stamp_for(snapshot, &entry.customer.id);
    let read = matches!(seen, Seen::Read { .. });
    let stood = stamp_before(entry, news);
    // Another customer's link was copied over ours, with a stamp, or one was taken off later.
    let copied = snapshot.catalog_id.as_ref().is_some_and(|id| *id != entry.customer.id);
    let landed = match seen {
        // What has landed since it was asked for need not be in the answer.
        Seen::Read { doubt, .. } => doubt.landed.max(sync.seen),
        Seen::Event { .. } | Seen::Listing => {
            // One that was another's, copied over ours before, would say nothing of that.
            sync.seen.max(sync.acked).max(if copied { 0 } else { stood })
        }
    };
    let unstamped = stamp.is_none() && (landed > 0 || copied && holds(Rule::CopiedLink));
    let s = if unstamped { landed } else { stamp.map_or(0, |stamp| stamp.version) };
    // Without a stamp nobody knows which of our changes the person had before them.
    let edits = foreign_edits(seen, snapshot, if unstamped { 0 } else { s });
    if unstamped && !read && holds(Rule::UnstampedIsInDoubt) {
        return Took::doubt(sync, landed, None).about(edits).stood(stood);
    }
    let at = time_of(seen, sync.remote_at);
    let is_older = at < sync.remote_at - SAME_TIME_S && holds(Rule::StaleByTime);
    if s < sync.seen && holds(Rule::StaleByStamp) || s == sync.seen && is_older {
        // Under the same stamp people have replaced it themselves if something else was seen since.
        let stood = |edit: &ForeignEdit| {
            s < sync.seen || sync.shadow.get(&edit.field) == edit.value.as_ref()
        };
        let edits: Vec<ForeignEdit> = edits.into_iter().filter(stood).collect();
        if edits.iter().any(|edit| stands_refused(sync, &entry.customer.fields, edit)) {
            return Took::doubt(sync, landed, None).about(edits);
        }
        took.conflicts.extend(lost_edits(sync, &entry.customer.fields, &edits));
        took.note = Some("older than what was seen");
        return took;
    }
    let same_time = sync.remote_at == UNKNOWN || (at - sync.remote_at).abs() <= SAME_TIME_S;
    let differs = s == sync.seen && same_time && snapshot.fields != sync.shadow;
    if !read && differs && holds(Rule::SameTimeIsInDoubt) {
        return Took::doubt(sync, landed, None).about(edits);
    }
    let mut took = settle(entry, &Counted { news, s }, took);
    if read && unstamped && holds(Rule::StampPutBack) {
        // Somebody took the stamp off, or copied another customer's over it. Only with it does one
        // know what has landed: put it back. One that is on its way may have landed before.
        let stamped = late::reassert(entry, system, &[Field::Stamp], now);
        took.announce = took.announce.or(stamped.announce);
    }
    took
}

/// The stamp of ours that was taken off or copied over, as far as it is known: 0 if it is there, or
/// nobody told.
fn stamp_before(entry: &Entry, news: &News) -> u64 {
    let snapshot = news.snapshot;
    match news.seen {
        Seen::Read { doubt, .. } => doubt.stood,
        Seen::Event { previous, .. } if stamp_for(snapshot, &entry.customer.id).is_none() => {
            // A higher one was another's, copied over ours before, unless the link is still ours.
            let before = previous.stamp.unwrap_or(0);
            let named = snapshot.catalog_id.as_ref() == Some(&entry.customer.id);
            if named || before <= entry.customer.version { before } else { 0 }
        }
        Seen::Event { .. } | Seen::Listing => 0,
    }
}

/// An edit of a field whose value of ours was refused before, and which still stands as far as
/// anybody knows: later snapshots said nothing of it, since none told that it was an edit.
fn stands_refused(sync: &SyncState, ours: &Fields, edit: &ForeignEdit) -> bool {
    sync.refused.contains_key(&edit.field)
        && sync.own(&edit.field) <= edit.stamp
        && sync.shadow.get(&edit.field) == edit.value.as_ref()
        && ours.get(&edit.field) != edit.value.as_ref()
        && holds(Rule::RefusedEditToldLate)
}
