//! One customer: made, shown, replaced, patched, deleted. Each write is one transaction of row and
//! change event, durable before the answer; the rules in `common::sync` say what it means.

use std::collections::BTreeSet;
use std::sync::Arc;

use common::clock;
use common::error::Result;
use common::http::{Answer, Fault, Problem, Request, Response};
use common::record::validate;
use common::record::{API, Field, Fields, STRIPE, fields::TEXT_FIELDS};
use common::store::Tx;
use common::sync::announce::{self, Envelope};
use common::sync::{Entry, Owner, Policy, inbound, write};

use crate::api::Api;
use crate::body::{BODY_BYTES_MAX, invalid, json};
use crate::condition::{Condition, etag};
use crate::idempotency::Key;
use crate::shown::Shown;

/// The systems that a new customer is to be created at.
pub const SYSTEMS: [&str; 1] = [STRIPE];

/// `POST /customers`.
pub fn create(api: &Api, request: &mut Request) -> Answer {
    request.only_parameters(&[])?;
    let key = Key::of(request, BODY_BYTES_MAX)?;
    let json = json(request)?;
    let (id, fields) = validate::new_customer(&json).map_err(invalid)?;
    let id = id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    // A retry is answered as the first try was, whatever was decided since.
    let policy = Arc::clone(&api.policy);
    api.writer.run(move |tx| match key {
        None => insert(tx, &policy, id, fields),
        Some(key) => key.once(tx, |tx| insert(tx, &policy, id, fields)),
    })?
}

fn insert(tx: &Tx, policy: &Policy, id: String, fields: Fields) -> Result<Answer> {
    if let Err(faults) = may_set(policy, None, &fields) {
        return Ok(Err(Problem::invalid(faults)));
    }
    if let Some(existing) = tx.entry(&id)? {
        let detail = if existing.customer.deleted {
            format!("a customer with the id {id} existed; ids are never used again")
        } else {
            format!("a customer with the id {id} exists")
        };
        return Ok(Err(Problem {
            errors: vec![Fault::new("id", "is taken; leave it out to be given a new one")],
            ..Problem::new(409, detail)
        }));
    }
    let envelope = envelope();
    let mut entry = write::create(id, fields, &SYSTEMS, envelope.now);
    let changed: Vec<Field> =
        entry.customer.fields.iter().map(|(field, _)| field.clone()).collect();
    commit(tx, &mut entry, &changed, envelope)?;
    let location = format!("/customers/{}", entry.customer.id);
    Ok(Ok(shown(201, &entry).header("Location", location)))
}

/// `GET /customers/{id}`.
pub fn get(api: &Api, request: &Request, id: &str) -> Answer {
    request.only_parameters(&[])?;
    let entry = api.readers.read(|store| store.entry(id))?;
    Ok(shown(200, live(entry.as_ref(), id)?))
}

/// `PUT /customers/{id}`: all mapped fields are replaced.
pub fn put(api: &Api, request: &mut Request, id: String) -> Answer {
    request.only_parameters(&[])?;
    let condition = Condition::of(request)?;
    let json = json(request)?;
    let fields = validate::replacement(&id, &json).map_err(invalid)?;
    edit(api, condition, id, move |_| Ok(fields))
}

/// `PATCH /customers/{id}`: a JSON Merge Patch (RFC 7396).
pub fn patch(api: &Api, request: &mut Request, id: String) -> Answer {
    request.only_parameters(&[])?;
    let condition = Condition::of(request)?;
    let json = json(request)?;
    edit(api, condition, id, move |entry| {
        let customer = &entry.customer;
        validate::patched(&customer.id, &json, &customer.fields).map_err(invalid)
    })
}

fn edit(
    api: &Api,
    condition: Condition,
    id: String,
    fields: impl FnOnce(&Entry) -> std::result::Result<Fields, Problem> + Send + 'static,
) -> Answer {
    let policy = Arc::clone(&api.policy);
    api.writer.run(move |tx| {
        let mut entry = match expected(tx, &id, &condition)? {
            Ok(entry) => entry,
            Err(problem) => return Ok(Err(problem)),
        };
        let fields = match fields(&entry) {
            Ok(fields) => fields,
            Err(problem) => return Ok(Err(problem)),
        };
        if let Err(faults) = may_set(&policy, Some(&entry.customer.fields), &fields) {
            return Ok(Err(Problem::invalid(faults)));
        }
        let envelope = envelope();
        let changed = write::edit(&mut entry, &fields, envelope.now);
        if !changed.is_empty() {
            commit(tx, &mut entry, &changed, envelope)?;
        }
        Ok(Ok(shown(200, &entry)))
    })?
}

/// `DELETE /customers/{id}`.
pub fn delete(api: &Api, request: &Request, id: String) -> Answer {
    request.only_parameters(&[])?;
    let condition = Condition::of(request)?;
    let deletes = api.policy.deletes;
    api.writer.run(move |tx| {
        let mut entry = match expected(tx, &id, &condition)? {
            Ok(entry) => entry,
            Err(problem) => return Ok(Err(problem)),
        };
        let envelope = envelope();
        if write::delete(&mut entry, deletes, envelope.now) {
            commit(tx, &mut entry, &[], envelope)?;
        }
        Ok(Ok(Response::empty(204)))
    })?
}

/// `POST /customers/{id}/resync`: what is pending is announced again, also after it failed.
/// Tombstones too, since a deletion may be pending. With `?all` every field is sent anew, whatever
/// the other side is thought to have.
pub fn resync(api: &Api, request: &Request, id: String) -> Answer {
    request.only_parameters(&["all"])?;
    let all = match request.parameter("all")? {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(_) => return Err(Problem::bad_parameter("all", "must be true or false")),
    };
    let policy = Arc::clone(&api.policy);
    api.writer.run(move |tx| {
        let Some(mut entry) = tx.entry(&id)? else { return Ok(Err(unknown(&id))) };
        for sync in entry.systems.values_mut() {
            sync.forget_error();
        }
        if all && !entry.customer.deleted {
            for system in SYSTEMS {
                let mut fields = all_fields(&entry, system);
                fields.retain(|field| policy.owners.of(field) != Owner::Stripe);
                let envelope = envelope();
                inbound::reassert(&mut entry, system, &fields, envelope.now);
                commit(tx, &mut entry, &[], envelope)?;
            }
        } else if SYSTEMS.iter().any(|system| entry.wants(system)) {
            let change = announce::again(&mut entry, envelope());
            tx.save(&entry)?;
            tx.announce(&change)?;
        } else {
            tx.save(&entry)?;
        }
        Ok(Ok(shown(202, &entry)))
    })?
}

/// Every field that has, or may have, a value here or there.
fn all_fields(entry: &Entry, system: &str) -> Vec<Field> {
    let shadow = entry.systems.get(system).map(|sync| &sync.shadow);
    let known = entry.customer.fields.iter().chain(shadow.into_iter().flat_map(Fields::iter));
    let always = TEXT_FIELDS.into_iter().chain([Field::Address]);
    let fields: BTreeSet<_> = known.map(|(field, _)| field.clone()).chain(always).collect();
    fields.into_iter().collect()
}

/// The fields that belong to Stripe and would change.
pub fn may_set(
    policy: &Policy,
    before: Option<&Fields>,
    wanted: &Fields,
) -> std::result::Result<(), Vec<Fault>> {
    let why = "belongs to Stripe and is changed there only";
    let refused = policy.owners.refused(before, wanted);
    let faults: Vec<_> = refused.iter().map(|f| Fault::new(f.to_string(), why)).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Row and event in one transaction.
pub fn commit(tx: &Tx, entry: &mut Entry, changed: &[Field], envelope: Envelope) -> Result<()> {
    let change = announce::change(entry, API, changed, envelope);
    tx.save(entry)?;
    tx.announce(&change)
}

/// A new event's id and time.
pub fn envelope() -> Envelope {
    Envelope { event_id: uuid::Uuid::now_v7().to_string(), now: clock::now_ms() }
}

/// The live customer that a write is about, if it is as the caller last saw it.
pub fn expected(
    tx: &Tx,
    id: &str,
    condition: &Condition,
) -> Result<std::result::Result<Entry, Problem>> {
    let Some(entry) = tx.entry(id)?.filter(|entry| !entry.customer.deleted) else {
        return Ok(Err(unknown(id)));
    };
    Ok(condition.check(&entry).map(|()| entry))
}

fn live<'a>(entry: Option<&'a Entry>, id: &str) -> std::result::Result<&'a Entry, Problem> {
    entry.filter(|entry| !entry.customer.deleted).ok_or_else(|| unknown(id))
}

pub fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("no customer has the id {id:?}, or it was deleted"))
}

pub fn shown(status: u16, entry: &Entry) -> Response {
    Response::json(status, &Shown(entry)).header("ETag", etag(entry))
}
