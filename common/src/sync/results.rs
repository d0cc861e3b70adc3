//! What a result (the answer to our own write) does to the catalog. A result is not a snapshot:
//! it leaves `shadow`, `seen` and `remote_at` alone. Taken twice it does what it did once.

use super::inbound::{REFUSED_BY_STAMP, Took, delete_again, deleted_there};
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
    // Of what came after it, it says nothing: neither that it failed, nor that it did not.
    let is_old = sync.own.values().any(|own| *own > result.version)
        || sync.deleted_version.is_some_and(|version| version > result.version);
    match result.outcome {
        Outcome::Failed => {
            if !sync.gone && !is_old && sync.acked <= result.version {
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
                let waits = is_old || sync.gone || sync.deleted_version.is_none();
                return if waits { took } else { delete_again(entry, &result.system, now) };
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
    if !is_old {
        sync.forget_error();
    }
    mark_refused(sync, result);
    took
}

/// Marks the fields that they refused, in their words if those are known.
fn mark_refused(sync: &mut SyncState, result: &SyncResult) {
    for (field, why) in &result.refused {
        let own = sync.own(field);
        if own == 0 || own > result.version && holds(Rule::RefusedIfNotNewer) {
            continue;
        }
        let is_known = sync.refused.get(field).is_some_and(|refusal| refusal.version == own);
        if !is_known || why != REFUSED_BY_STAMP {
            let refusal = Refusal { version: own, why: why.clone() };
            sync.refused.insert(field.clone(), refusal);
        }
    }
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
