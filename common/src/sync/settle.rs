//! What a snapshot that counts does, field by field (rules 8 and 9), and which edits were lost to
//! one of ours without anybody knowing.

use super::inbound::{News, SAME_TIME_S, Seen, Took, UNKNOWN, time_of};
use super::policy::Owner;
use super::rules::Rule;
use super::state::{Conflict, Entry, Refusal, SyncState, stamp_for};
use crate::in_force::holds;
use crate::record::{API, Field, Fields, Seconds, Snapshot, Stamp, Value};

/// What is written when Stripe refused a field and only the stamp says so; the result that
/// follows brings Stripe's own words.
pub const REFUSED_BY_STAMP: &str = "refused by Stripe";

/// What is written when Stripe keeps another value than we brought, of a field of the catalog's.
pub const KEPT_OTHERWISE: &str = "Stripe keeps it in another form";

/// An edit that a person made at Stripe, as an event told.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ForeignEdit {
    pub field: Field,
    pub value: Option<Value>,
    /// Which of our changes the person had before them.
    pub stamp: u64,
    pub at: Seconds,
}

/// The edits that an event tells of. A GET or a listing tells of none.
pub(super) fn foreign_edits(seen: &Seen, snapshot: &Snapshot, stamp: u64) -> Vec<ForeignEdit> {
    let Seen::Event { created, previous } = seen else { return Vec::new() };
    let edited = previous.fields.iter().filter(|field| previous.is_foreign_edit_of(field));
    let edit_of = |field: &Field| ForeignEdit {
        field: field.clone(),
        value: snapshot.fields.get(field).cloned(),
        stamp,
        at: *created,
    };
    edited.map(edit_of).collect()
}

/// Those of them that ours has overwritten since, or will: whoever made ours did not know them.
pub(super) fn lost_edits(sync: &SyncState, ours: &Fields, edits: &[ForeignEdit]) -> Vec<Conflict> {
    let lost = |edit: &&ForeignEdit| {
        sync.own(&edit.field) > edit.stamp
            && ours.get(&edit.field) != edit.value.as_ref()
            && holds(Rule::ConflictOfStale)
    };
    let conflict = |edit: &ForeignEdit| Conflict {
        ours: ours.get(&edit.field).cloned(),
        ours_version: sync.own(&edit.field),
        theirs: edit.value.clone(),
        theirs_at: edit.at,
        theirs_stamp: edit.stamp,
        field: edit.field.clone(),
    };
    edits.iter().filter(lost).map(conflict).collect()
}

/// The lost ones among those in doubt, when it is settled. What they still show is settled with the
/// rest of it.
pub(super) fn overwritten(
    sync: &SyncState,
    ours: &Fields,
    edits: &[ForeignEdit],
    snapshot: &Snapshot,
) -> Vec<Conflict> {
    let mut lost = lost_edits(sync, ours, edits);
    lost.retain(|lost| lost.theirs.as_ref() != snapshot.fields.get(&lost.field));
    lost
}

/// What becomes of a field in which the two sides differ.
enum Fate {
    Nothing,
    /// Ours stays, and will land on top.
    Keep,
    /// Theirs is the newer.
    Take,
    /// Theirs is what Stripe made of ours.
    TakeForm,
    /// The field is the catalog's: ours is sent again.
    Undo,
    /// It is the catalog's, and Stripe makes something else of what we send.
    KeptOtherwise,
}

/// A snapshot that counts, and how it came to be seen.
pub(super) struct Counted<'a> {
    pub news: &'a News<'a>,
    /// The version that it contains.
    pub s: u64,
}

impl Counted<'_> {
    fn fate(&self, sync: &SyncState, owner: Owner, field: &Field) -> Fate {
        let own = sync.own(field);
        let contained = own <= self.s;
        if !contained && holds(Rule::OwnAbove) {
            return Fate::Keep;
        }
        if sync.refused.contains_key(field) && holds(Rule::RefusedStays) {
            // Only an edit that was made when our try was over.
            let after = |stamp: u64| own <= stamp || !holds(Rule::RefusedUnderStamp);
            if !self.told(sync, field).is_some_and(after) && holds(Rule::RefusedOnlyForeign) {
                return Fate::Nothing;
            }
        }
        // What was refused never came there.
        let brought = self.was_brought(sync, field) && !sync.refused.contains_key(field);
        let is_ours = owner == Owner::Catalog && holds(Rule::CatalogOwned);
        match (is_ours, brought) {
            (true, true) if holds(Rule::KeptOtherwise) => Fate::KeptOtherwise,
            (true, _) => Fate::Undo,
            (false, true) if holds(Rule::FormIsStillOurs) => Fate::TakeForm,
            (false, _) => Fate::Take,
        }
    }

    /// Was this value said to be a person's edit, and under which stamp was it made?
    fn told(&self, sync: &SyncState, field: &Field) -> Option<u64> {
        let theirs = self.news.snapshot.fields.get(field);
        let (now, before): (_, &[ForeignEdit]) = match self.news.seen {
            Seen::Event { previous, .. } => {
                (previous.is_foreign_edit_of(field).then_some(self.s), &[])
            }
            Seen::Read { doubt, .. } => (None, &doubt.edits),
            Seen::Listing => (None, &[]),
        };
        // What was put aside tells of nothing before it is settled: the value may be an older one.
        let put_aside = sync.put_aside.iter().filter(|_| self.settles(sync));
        let edits = before.iter().chain(put_aside);
        let edits = edits.filter(|edit| edit.field == *field && edit.value.as_ref() == theirs);
        edits.map(|edit| edit.stamp).max().max(now)
    }

    /// Is all clear that was in doubt before? What was put aside is, under the stamp sent since.
    fn settles(&self, sync: &SyncState) -> bool {
        let stamped_since = self.s > sync.seen && self.s >= sync.own(&Field::Stamp);
        matches!(self.news.seen, Seen::Read { .. }) || stamped_since
    }

    /// Shows the very write of ours that brought this field: what is there now is what Stripe made
    /// of our value.
    fn was_brought(&self, sync: &SyncState, field: &Field) -> bool {
        let Seen::Event { previous, .. } = self.news.seen else { return false };
        let own = sync.own(field);
        // Where there was no stamp it may have been taken off: any seen before may have been there.
        let before = previous.stamp.map(|before| if before == 0 { sync.seen } else { before });
        before.is_some_and(|before| before < own && own <= self.s)
    }

    /// Did a person set this value, which ours lands on top of? The event of that edit says so. So
    /// does a change under the stamp that was seen before; under a newer stamp it may be an older
    /// value of ours.
    fn is_lost_edit(&self, sync: &SyncState, field: &Field) -> bool {
        let moved = self.news.snapshot.fields.get(field) != sync.shadow.get(field);
        let told = self.told(sync, field).is_some();
        (told || moved && self.s == sync.seen) && holds(Rule::ConflictOfPending)
    }
}

/// Field by field, then what was seen.
pub(super) fn settle(entry: &mut Entry, counted: &Counted, mut took: Took) -> Took {
    let News { system, snapshot, seen, policy, .. } = *counted.news;
    let (mut taken, mut undone) = (Vec::new(), Vec::new());
    let Some(sync) = entry.systems.get_mut(system) else { return took };
    let at = time_of(seen, sync.remote_at);
    let stamp = stamp_for(snapshot, &entry.customer.id);
    mark_refused_by_stamp(sync, stamp);
    if counted.settles(sync) {
        let ours = &entry.customer.fields;
        took.conflicts.extend(overwritten(sync, ours, &sync.put_aside, snapshot));
    }
    for field in entry.customer.fields.differing(&snapshot.fields) {
        let fate = counted.fate(sync, policy.owners.of(&field), &field);
        let is_lost = match fate {
            Fate::Undo => holds(Rule::ConflictOfUndone),
            Fate::Keep => counted.is_lost_edit(sync, &field),
            // Made before our try was refused, which nobody knew.
            Fate::Nothing => {
                counted.told(sync, &field).is_some_and(|stamp| sync.own(&field) > stamp)
            }
            Fate::Take | Fate::TakeForm | Fate::KeptOtherwise => false,
        };
        if is_lost {
            took.conflicts.push(Conflict {
                ours: entry.customer.fields.get(&field).cloned(),
                ours_version: sync.own(&field),
                theirs: snapshot.fields.get(&field).cloned(),
                theirs_at: at,
                theirs_stamp: counted.told(sync, &field).unwrap_or(counted.s),
                field: field.clone(),
            });
        }
        match fate {
            Fate::Nothing | Fate::Keep => {}
            Fate::TakeForm => taken.push(field),
            Fate::Take => {
                if holds(Rule::TakenIsTheirs) {
                    sync.own.remove(&field);
                }
                taken.push(field);
            }
            Fate::Undo => undone.push(field),
            Fate::KeptOtherwise => {
                let version = sync.own(&field);
                let refusal = Refusal { version, why: KEPT_OTHERWISE.into() };
                sync.refused.insert(field, refusal);
            }
        }
    }
    for field in taken.iter().chain(&undone) {
        sync.refused.remove(field);
    }
    remember(sync, counted, at);
    took.touched = true;
    change(entry, counted.news, taken, undone, took)
}

/// One version of what was taken and what is sent again.
fn change(
    entry: &mut Entry,
    news: &News,
    taken: Vec<Field>,
    undone: Vec<Field>,
    mut took: Took,
) -> Took {
    let News { system, snapshot, now, .. } = *news;
    if taken.is_empty() && undone.is_empty() {
        return took;
    }
    let version = entry.next_version(now);
    for field in &taken {
        entry.customer.fields.set(field.clone(), snapshot.fields.get(field).cloned());
        let origin = if holds(Rule::NoEcho) { system } else { API };
        entry.owe_others(field, version, origin);
    }
    if let Some(sync) = entry.systems.get_mut(system)
        && !undone.is_empty()
    {
        sync.own.extend(undone.into_iter().map(|field| (field, version)));
        sync.forget_error();
    }
    let origin = if taken.is_empty() { API } else { system };
    took.announce = Some((origin.to_owned(), taken));
    took
}

/// What was seen, and when.
fn remember(sync: &mut SyncState, counted: &Counted, at: Seconds) {
    let (News { snapshot, seen, .. }, s) = (counted.news, counted.s);
    if counted.settles(sync) {
        sync.end_doubt();
    } else if s == sync.seen {
        // Under the same stamp people have replaced it themselves if something else stands later.
        sync.put_aside.retain(|edit| {
            let is_older = edit.stamp == s && edit.at < at - SAME_TIME_S;
            !is_older || snapshot.fields.get(&edit.field) == edit.value.as_ref()
        });
    }
    if holds(Rule::Shadow) {
        sync.shadow = snapshot.fields.clone();
    }
    sync.remote_at = match seen {
        Seen::Event { .. } if s > sync.seen || sync.remote_at != UNKNOWN => sync.remote_at.max(at),
        Seen::Read { .. } => sync.remote_at.max(at),
        Seen::Listing if s > sync.seen && holds(Rule::ListingHasNoTime) => UNKNOWN,
        Seen::Event { .. } | Seen::Listing => sync.remote_at,
    };
    sync.seen = sync.seen.max(s);
    if holds(Rule::AckedBySnapshot) {
        sync.acked = sync.acked.max(s);
    }
    sync.observed += 1;
}

/// The stamp names the fields that Stripe refused when that version was brought.
fn mark_refused_by_stamp(sync: &mut SyncState, stamp: Option<&Stamp>) {
    let Some(stamp) = stamp.filter(|_| holds(Rule::StampNamesRefused)) else { return };
    for field in &stamp.refused {
        let own = sync.own(field);
        if own > 0 && own <= stamp.version {
            sync.refused
                .entry(field.clone())
                .or_insert_with(|| Refusal { version: own, why: REFUSED_BY_STAMP.into() });
        }
    }
}
