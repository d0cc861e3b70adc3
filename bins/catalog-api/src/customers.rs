//! One customer: made, shown, replaced, patched, deleted. Each write is one transaction of row and
//! change event, durable before the answer; the rules in `common::sync` say what it means.

use common::clock;
use common::error::Result;
use common::http::{Answer, Fault, Problem, Request, Response};
use common::record::validate::{self, Invalid};
use common::record::{API, Field, Fields, STRIPE};
use common::store::Tx;
use common::sync::announce::{self, Envelope};
use common::sync::{Entry, write};
use serde_json::Value as Json;

use crate::api::Api;
use crate::idempotency::Key;
use crate::shown::Shown;

/// The longest body: far more than all fields at their limits take.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The systems that a new customer is to be created at.
const SYSTEMS: [&str; 1] = [STRIPE];

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// `POST /customers`.
pub fn create(api: &Api, request: &mut Request) -> Answer {
    request.only_parameters(&[])?;
    request.expect_content_type(&[JSON])?;
    let key = Key::of(request, BODY_BYTES_MAX)?;
    let json = body(request)?;
    let (id, fields) = validate::new_customer(&json).map_err(invalid)?;
    let id = id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    api.writer.run(move |tx| match key {
        None => insert(tx, id, fields),
        Some(key) => key.once(tx, |tx| insert(tx, id, fields)),
    })?
}

fn insert(tx: &Tx, id: String, fields: Fields) -> Result<Answer> {
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
    request.expect_content_type(&[JSON])?;
    let json = body(request)?;
    let fields = validate::replacement(&id, &json).map_err(invalid)?;
    edit(api, request, id, move |_| Ok(fields))
}

/// `PATCH /customers/{id}`: a JSON Merge Patch (RFC 7396).
pub fn patch(api: &Api, request: &mut Request, id: String) -> Answer {
    request.only_parameters(&[])?;
    request.expect_content_type(&[MERGE_PATCH, JSON])?;
    let json = body(request)?;
    edit(api, request, id, move |entry| {
        let customer = &entry.customer;
        validate::patched(&customer.id, &json, &customer.fields).map_err(invalid)
    })
}

fn edit(
    api: &Api,
    request: &Request,
    id: String,
    fields: impl FnOnce(&Entry) -> std::result::Result<Fields, Problem> + Send + 'static,
) -> Answer {
    let condition = Condition::of(request)?;
    api.writer.run(move |tx| {
        let mut entry = match expected(tx, &id, &condition)? {
            Ok(entry) => entry,
            Err(problem) => return Ok(Err(problem)),
        };
        let fields = match fields(&entry) {
            Ok(fields) => fields,
            Err(problem) => return Ok(Err(problem)),
        };
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
    api.writer.run(move |tx| {
        let mut entry = match expected(tx, &id, &condition)? {
            Ok(entry) => entry,
            Err(problem) => return Ok(Err(problem)),
        };
        let envelope = envelope();
        if write::delete(&mut entry, envelope.now) {
            commit(tx, &mut entry, &[], envelope)?;
        }
        Ok(Ok(Response::empty(204)))
    })?
}

/// `POST /customers/{id}/resync`: what is pending is announced again, also after it failed.
/// Tombstones too, since a deletion may be pending.
pub fn resync(api: &Api, request: &Request, id: String) -> Answer {
    request.only_parameters(&[])?;
    api.writer.run(move |tx| {
        let Some(mut entry) = tx.entry(&id)? else { return Ok(Err(unknown(&id))) };
        for sync in entry.systems.values_mut() {
            sync.error = None;
        }
        if SYSTEMS.iter().any(|system| entry.wants(system)) {
            let change = announce::again(&mut entry, envelope());
            tx.save(&entry)?;
            tx.announce(&change)?;
        } else {
            tx.save(&entry)?;
        }
        Ok(Ok(shown(202, &entry)))
    })?
}

/// Row and event in one transaction.
fn commit(tx: &Tx, entry: &mut Entry, changed: &[Field], envelope: Envelope) -> Result<()> {
    let change = announce::change(entry, API, changed, envelope);
    tx.save(entry)?;
    tx.announce(&change)
}

/// A new event's id and time.
pub fn envelope() -> Envelope {
    Envelope { event_id: uuid::Uuid::now_v7().to_string(), now: clock::now_ms() }
}

/// The live customer that a write is about, if it is as the caller last saw it.
fn expected(
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

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("no customer has the id {id:?}, or it was deleted"))
}

fn shown(status: u16, entry: &Entry) -> Response {
    Response::json(status, &Shown(entry)).header("ETag", etag(entry))
}

fn etag(entry: &Entry) -> String {
    format!("\"{}\"", entry.customer.version)
}

/// The JSON of a body. 400 says where it ceases to be JSON.
fn body(request: &mut Request) -> std::result::Result<Json, Problem> {
    let bytes = request.body(BODY_BYTES_MAX)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(400, "the body is empty; a JSON object is expected"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let cause = text.split(" at line ").next().unwrap_or_default();
        let detail = format!("the body is not JSON: {cause}, in line {line}, column {column}");
        Problem::new(400, detail)
    })
}

fn invalid(faults: Vec<Invalid>) -> Problem {
    let faults =
        faults.into_iter().map(|fault| Fault { field: fault.field, message: fault.message });
    Problem::invalid(faults.collect())
}

/// `If-Match`: the write happens only if the customer still is what the caller saw.
#[derive(Debug)]
enum Condition {
    None,
    /// `*`: it exists.
    Exists,
    /// One of these tags.
    Tags(Vec<String>),
}

impl Condition {
    fn of(request: &Request) -> std::result::Result<Self, Problem> {
        let Some(header) = request.header("If-Match") else { return Ok(Self::None) };
        if header == "*" {
            return Ok(Self::Exists);
        }
        let tags: Vec<_> = header.split(',').map(|tag| tag.trim().to_owned()).collect();
        let quoted = |tag: &String| {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            strong.len() >= 2 && strong.starts_with('"') && strong.ends_with('"')
        };
        if tags.iter().all(quoted) {
            return Ok(Self::Tags(tags));
        }
        Err(Problem::bad_parameter("If-Match", "must be * or an ETag as it was given, as in \"7\""))
    }

    fn check(&self, entry: &Entry) -> std::result::Result<(), Problem> {
        let etag = etag(entry);
        match self {
            Self::None | Self::Exists => Ok(()),
            // A weak tag never matches: If-Match compares strongly.
            Self::Tags(tags) if tags.contains(&etag) => Ok(()),
            Self::Tags(_) => {
                let version = entry.customer.version;
                let detail = format!(
                    "somebody changed this customer in between: it is at version {version}; \
                     read it again and decide anew"
                );
                Err(Problem::new(412, detail).header("ETag", etag))
            }
        }
    }
}
