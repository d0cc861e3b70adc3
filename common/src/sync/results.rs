//! What a result (the answer to our own write) does to the catalog. A result is not a snapshot:
//! it leaves `shadow`, `seen` and `remote_at` alone. Taken twice it does what it did once.

use super::inbound::{Took, deleted_there};
use super::policy::Deletes;
use super::rules::Rule;
use super::state::{Entry, Refusal, SyncState};
use crate::in_force::holds;
use crate::record::{API, Millis, Outcome, SyncResult};

pub fn on_result(entry: &mut Entry, result: &SyncResult, deletes: Deletes, now: Millis) -> Took {
    if !entry.systems.contains_key(&result.system) {
        return Took { note: Some("a result of an unknown system"), ..Took::default() };
    }
    let mut took = Took { touched: true, ..Took::default() };
    let is_above = result.version > entry.customer.version && !entry.customer.deleted;
    if is_above && holds(Rule::RestoredByResult) {
        // Announced by a catalog that has been replaced by an older backup since.
        let owes = entry.leap_beyond(result.version, &result.system, now);
        took.announce = owes.then(|| (API.to_owned(), Vec::new()));
    }
    let Some(sync) = entry.systems.get_mut(&result.system) else { return took };
    if let Some(id) = &result.external_id {
        if holds(Rule::LinkByResult) {
            sync.external_id.get_or_insert_with(|| id.clone());
        }
        if sync.external_id.as_ref().is_some_and(|linked| linked != id) {
            took.note = Some("a result about another customer there");
        }
    }
    match result.outcome {
        Outcome::Failed => {
            // What came after it was not refused with it, and is still on its way.
            let is_old = sync.acked > result.version
                || sync.own.values().any(|own| *own > result.version)
                || sync.deleted_version.is_some_and(|version| version > result.version);
            if !sync.gone && !is_old {
                sync.error = Some(result.error.clone().unwrap_or_else(|| "refused".into()));
            }
            return took;
        }
        Outcome::Deleted => {
            let known = sync.external_id.is_some() && sync.external_id == result.external_id;
            if !entry.customer.deleted {
                if known {
                    return deleted_there(entry, &result.system, deletes, now);
                }
                return took;
            }
            if !known && sync.external_id.is_some() && holds(Rule::FoundNothingStaysOwed) {
                // Nothing was found to delete, and then it turned up: the deletion is still owed.
                return took;
            }
            sync.gone |= known;
            if sync.deleted_version.is_some_and(|version| version <= result.version) {
                sync.delete_ids.clear();
            }
        }
        Outcome::Created | Outcome::Updated | Outcome::Skipped => {}
    }
    if holds(Rule::AckedByResult) {
        sync.acked = sync.acked.max(acknowledged(sync, result));
    }
    sync.forget_error();
    for (field, why) in &result.refused {
        let own = sync.own(field);
        if own > 0 && (own <= result.version || !holds(Rule::RefusedIfNotNewer)) {
            let refusal = Refusal { version: own, why: why.clone() };
            sync.refused.insert(field.clone(), refusal);
        }
    }
    took
}

/// What they have now. The result of an edit never says that a deletion was done: it may bear a
/// number that the deletion has too, or a higher one, if the catalog was restored since.
fn acknowledged(sync: &SyncState, result: &SyncResult) -> u64 {
    match (result.outcome, sync.deleted_version) {
        (Outcome::Created | Outcome::Updated | Outcome::Skipped, Some(deletion))
            if holds(Rule::DeletionStaysOwed) =>
        {
            result.version.min(deletion - 1)
        }
        (
            Outcome::Created
            | Outcome::Updated
            | Outcome::Skipped
            | Outcome::Deleted
            | Outcome::Failed,
            _,
        ) => result.version,
    }
}
