//! What a result (the answer to our own write) does to the catalog. A result is not a snapshot:
//! it leaves `shadow`, `seen` and `remote_at` alone. Taken twice it does what it did once.

use super::inbound::{Took, deleted_there};
use super::state::{Entry, Refusal};
use crate::record::{Millis, Outcome, SyncResult};

pub fn on_result(entry: &mut Entry, result: &SyncResult, now: Millis) -> Took {
    let Some(sync) = entry.systems.get_mut(&result.system) else {
        return Took { note: Some("a result of an unknown system"), ..Took::default() };
    };
    let mut took = Took { touched: true, ..Took::default() };
    if let Some(id) = &result.external_id {
        let linked = sync.external_id.get_or_insert_with(|| id.clone());
        if linked != id {
            took.note = Some("a result about another customer there");
        }
    }
    match result.outcome {
        Outcome::Failed => {
            sync.error = Some(result.error.clone().unwrap_or_else(|| "refused".into()));
            return took;
        }
        Outcome::Deleted => {
            let known = sync.external_id.is_some() && sync.external_id == result.external_id;
            if !entry.customer.deleted {
                return if known { deleted_there(entry, &result.system, now) } else { took };
            }
            if !known && sync.external_id.is_some() {
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
    sync.acked = sync.acked.max(result.version);
    sync.error = None;
    for (field, why) in &result.refused {
        let own = sync.own(field);
        if own > 0 && own <= result.version {
            let refusal = Refusal { version: own, why: why.clone() };
            sync.refused.insert(field.clone(), refusal);
        }
    }
    took
}
