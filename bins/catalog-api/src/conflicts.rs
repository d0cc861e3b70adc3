//! Conflicts: shown, put right, dismissed. Ours counts until somebody restores theirs, which is an
//! edit like any other.

use std::sync::Arc;

use common::clock;
use common::http::{Answer, Fault, Problem, Request, Response};
use common::record::validate::METADATA_KEYS_MAX;
use common::record::{Field, Value};
use common::store::{ConflictQuery, NotedConflict};
use common::sync::write;
use serde::Serialize;

use crate::api::Api;
use crate::condition::Condition;
use crate::customers::{commit, envelope, expected, may_set, shown, unknown};
use crate::pages::{self, Array};

#[derive(Serialize)]
struct ShownConflict<'a> {
    id: i64,
    customer: &'a str,
    system: &'a str,
    field: &'a Field,
    ours: Ours<'a>,
    theirs: Theirs<'a>,
    /// Whose value counts as long as nobody decides otherwise.
    winner: &'static str,
    noted_at: String,
    settled_at: Option<String>,
}

#[derive(Serialize)]
struct Ours<'a> {
    value: Option<&'a Value>,
    version: u64,
    at: Option<String>,
}

#[derive(Serialize)]
struct Theirs<'a> {
    value: Option<&'a Value>,
    at: String,
}

fn shown_conflict(noted: &NotedConflict) -> ShownConflict<'_> {
    let conflict = &noted.conflict;
    ShownConflict {
        id: noted.id,
        customer: &noted.customer,
        system: &noted.system,
        field: &conflict.field,
        ours: Ours {
            value: conflict.ours.as_ref(),
            version: conflict.ours_version,
            at: noted.ours_at.map(clock::rfc3339),
        },
        theirs: Theirs {
            value: conflict.theirs.as_ref(),
            at: clock::rfc3339(conflict.theirs_at.saturating_mul(1000)),
        },
        winner: "ours",
        noted_at: clock::rfc3339(noted.noted_at),
        settled_at: noted.settled_at.map(clock::rfc3339),
    }
}

/// `GET /conflicts`, and `GET /customers/{id}/conflicts`: of one customer, tombstones too.
pub fn list(api: &Api, request: &Request, customer: Option<String>) -> Answer {
    request.only_parameters(&["limit", "cursor", "settled"])?;
    let limit = pages::limit(request)?;
    let query = query(request, customer)?;
    if let Some(id) = &query.customer
        && api.readers.read(|store| store.entry(id))?.is_none()
    {
        return Err(unknown(id));
    }
    if pages::wants_ndjson(request) {
        let (readers, mut query) = (Arc::clone(&api.readers), query);
        return Ok(pages::stream(limit, move |out, max| {
            query.limit = max;
            let conflicts = readers.read(|store| store.conflicts(&query))?;
            for noted in &conflicts {
                pages::line(out, &shown_conflict(noted));
            }
            query.after = conflicts.last().map_or(query.after, |last| last.id);
            Ok((conflicts.len(), conflicts.len() == max))
        }));
    }
    let limit = limit.unwrap_or(pages::LIMIT);
    // One more than asked for tells whether there is a next page.
    let query = ConflictQuery { limit: limit + 1, ..query };
    let mut conflicts = api.readers.read(|store| store.conflicts(&query))?;
    let more = conflicts.len() > limit;
    conflicts.truncate(limit);
    let last = conflicts.last().filter(|_| more);
    let next = last.map(|last| ("cursor", last.id.to_string()));
    Ok(pages::page(request, Array::of(conflicts.iter().map(shown_conflict)), next))
}

fn query(request: &Request, customer: Option<String>) -> Result<ConflictQuery, Problem> {
    let after = match request.parameter("cursor")? {
        None => 0,
        Some(text) => text.parse::<u32>().map(i64::from).map_err(|_| {
            Problem::bad_parameter("cursor", "is not one that this catalog gave out")
        })?,
    };
    let settled = match request.parameter("settled")? {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(_) => return Err(Problem::bad_parameter("settled", "must be true or false")),
    };
    Ok(ConflictQuery { customer, settled, after, limit: 0 })
}

/// `POST /customers/{id}/conflicts/{n}/restore`: their value is set as an edit of ours, and the
/// conflict is settled with it.
pub fn restore(api: &Api, request: &Request, id: String, number: &str) -> Answer {
    request.only_parameters(&[])?;
    let condition = Condition::of(request)?;
    let number = parsed(number)?;
    let policy = Arc::clone(&api.policy);
    api.writer.run(move |tx| {
        let mut entry = match expected(tx, &id, &condition)? {
            Ok(entry) => entry,
            Err(problem) => return Ok(Err(problem)),
        };
        let conflict = match open(tx.conflict(&id, number)?, number) {
            Ok(noted) => noted.conflict,
            Err(problem) => return Ok(Err(problem)),
        };
        let mut fields = entry.customer.fields.clone();
        let before = fields.metadata().count();
        fields.set(conflict.field, conflict.theirs);
        let keys = fields.metadata().count();
        // A customer of Stripe's may have more; only one more of them is refused.
        if keys > before && keys > METADATA_KEYS_MAX {
            let message =
                format!("would have {keys} keys; at most {METADATA_KEYS_MAX} are allowed");
            return Ok(Err(Problem::invalid(vec![Fault::new("metadata", message)])));
        }
        if let Err(faults) = may_set(&policy, Some(&entry.customer.fields), &fields) {
            return Ok(Err(Problem::invalid(faults)));
        }
        let envelope = envelope();
        let now = envelope.now;
        let changed = write::edit(&mut entry, &fields, now);
        if !changed.is_empty() {
            commit(tx, &mut entry, &changed, envelope)?;
        }
        tx.conflict_settle(number, now)?;
        Ok(Ok(shown(200, &entry)))
    })?
}

/// `POST /customers/{id}/conflicts/{n}/dismiss`: ours it is.
pub fn dismiss(api: &Api, request: &Request, id: String, number: &str) -> Answer {
    request.only_parameters(&[])?;
    let number = parsed(number)?;
    api.writer.run(move |tx| {
        if let Err(problem) = open(tx.conflict(&id, number)?, number) {
            return Ok(Err(problem));
        }
        tx.conflict_settle(number, clock::now_ms())?;
        Ok(Ok(Response::empty(204)))
    })?
}

/// The conflict, if there still is something to decide.
fn open(noted: Option<NotedConflict>, number: i64) -> Result<NotedConflict, Problem> {
    let noted = noted.ok_or_else(|| no_such(&number.to_string()))?;
    match noted.settled_at {
        None => Ok(noted),
        Some(at) => {
            let at = clock::rfc3339(at);
            let detail =
                format!("conflict {number} was settled at {at}; an edit can still be made");
            Err(Problem::new(409, detail))
        }
    }
}

fn parsed(number: &str) -> Result<i64, Problem> {
    number.parse::<u32>().map(i64::from).map_err(|_| no_such(number))
}

fn no_such(number: &str) -> Problem {
    Problem::not_found(format!("this customer has no conflict {number:?}"))
}
