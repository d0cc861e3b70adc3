//! What a create, an update and a delete do: the new object, its event, and the entry that holds
//! both. It prepares only; whoever holds the store commits. It must never look at who is asking.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::customer::{self, Call, Object};
use crate::errors::ApiError;
use crate::form::Form;
use crate::list;
use crate::sim::Sim;
use crate::store::{Customer, Entry, Event, Store};

const ID_CHARS: usize = 14;
const EVENT_ID_CHARS: usize = 24;
const PREFIX_CHARS: usize = 8;

#[derive(Clone, Debug)]
pub enum Write {
    Create,
    Update(String),
    Delete(String),
}

/// Whose change it is, as the event's `request` shows it; both null for a person.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    pub request_id: Option<String>,
    pub idempotency_key: Option<String>,
}

/// A change that can be committed, and its answer.
#[derive(Debug)]
pub struct Prepared {
    pub entry: Entry,
    pub answer: Value,
}

impl Write {
    pub fn customer(&self) -> Option<&str> {
        match self {
            Self::Create => None,
            Self::Update(id) | Self::Delete(id) => Some(id),
        }
    }

    fn call(&self, sim: &Sim) -> Call {
        match self {
            Self::Create => Call::Create,
            Self::Update(_) | Self::Delete(_) => {
                Call::Update { address_merges: sim.config.address_merges }
            }
        }
    }
}

/// What can be refused without knowing the customer, before anything begins.
pub fn validate(sim: &Sim, write: &Write, form: &Form) -> Result<(), ApiError> {
    match write {
        Write::Delete(_) => form.only(&[]),
        Write::Create | Write::Update(_) => {
            customer::apply(&mut customer::blank("", 0, ""), form, write.call(sim))
        }
    }
}

pub fn prepare(
    sim: &Sim,
    store: &Store,
    write: &Write,
    form: &Form,
    actor: &Actor,
) -> Result<Prepared, ApiError> {
    let created_s = sim.clock.created_s();
    let (old, mut object, row) = match write {
        Write::Create => {
            let id = sim.new_id("cus_", ID_CHARS, |id| store.customer(id).is_some());
            let prefix = sim.new_id("", PREFIX_CHARS, |_| false).to_ascii_uppercase();
            let object = customer::blank(&id, created_s, &prefix);
            (None, object, Row { seq: store.next_seq(), id, created_s, before: None })
        }
        Write::Update(id) | Write::Delete(id) => {
            let row = store.customer(id).filter(|row| !row.deleted);
            let row = row.ok_or_else(|| ApiError::missing(404, "customer", id, "id"))?;
            let Value::Object(object) = list::parse(&row.json) else {
                return Err(ApiError::fault(500));
            };
            let before = indexed_before(sim, row);
            let kept = Row { seq: row.seq, id: id.clone(), created_s: row.created, before };
            (Some(object.clone()), object, kept)
        }
    };
    let (kind, deleted) = match write {
        Write::Create => ("customer.created", false),
        Write::Update(_) => ("customer.updated", false),
        Write::Delete(_) => ("customer.deleted", true),
    };
    if !deleted {
        customer::apply(&mut object, form, write.call(sim))?;
    }
    let previous = match (&old, write) {
        (Some(old), Write::Update(_)) => Some(customer::previous_attributes(old, &object)),
        (Some(_) | None, _) => None,
    };
    let nothing_changed = previous.as_ref().is_some_and(Object::is_empty);
    let answer = if deleted { stub(&row.id) } else { shown(&object, form) };
    if nothing_changed && !sim.config.noop_events {
        return Ok(Prepared { entry: Entry::default(), answer });
    }
    let seq = if old.is_none() { row.seq + 1 } else { store.next_seq() };
    let event = event(sim, store, kind, &row.id, seq, &object, previous, actor)?;
    let customer = Customer {
        seq: row.seq,
        id: row.id,
        created: row.created_s,
        email: object.get("email").and_then(Value::as_str).map(ToOwned::to_owned),
        deleted,
        changed_ms: sim.clock.now_ms(),
        json: raw(&object)?,
        before: row.before,
    };
    let entry = Entry { customer: Some(customer), event: Some(event), ..Entry::default() };
    Ok(Prepared { entry, answer })
}

struct Row {
    seq: u64,
    id: String,
    created_s: i64,
    before: Option<Box<RawValue>>,
}

/// The answer for a deleted customer.
pub fn stub(id: &str) -> Value {
    json!({ "id": id, "object": "customer", "deleted": true })
}

fn shown(object: &Object, form: &Form) -> Value {
    let mut object = object.clone();
    customer::expand(&mut object, form, "");
    Value::Object(object)
}

/// What the search still shows of a customer that changes now.
fn indexed_before(sim: &Sim, row: &Customer) -> Option<Box<RawValue>> {
    let lag_ms = sim.config.search_lag_ms;
    if lag_ms == 0 {
        return None;
    }
    let visible = sim.clock.now_ms() - row.changed_ms >= lag_ms;
    if visible { Some(row.json.clone()) } else { row.before.clone() }
}

#[allow(clippy::too_many_arguments)] // each is one member of the event
fn event(
    sim: &Sim,
    store: &Store,
    kind: &str,
    subject: &str,
    seq: u64,
    object: &Object,
    previous: Option<Object>,
    actor: &Actor,
) -> Result<Event, ApiError> {
    let id = sim.new_id("evt_", EVENT_ID_CHARS, |id| store.event(id).is_some());
    let created = sim.clock.created_s();
    let pending = sim.config.endpoints_for(kind);
    let mut data = json!({ "object": object });
    if let (Some(previous), Value::Object(data)) = (previous, &mut data) {
        data.insert("previous_attributes".into(), Value::Object(previous));
    }
    let json = json!({
        "id": id,
        "object": "event",
        "api_version": sim.config.api_version,
        "created": created,
        "data": data,
        "livemode": false,
        "pending_webhooks": pending.len(),
        "request": { "id": actor.request_id, "idempotency_key": actor.idempotency_key },
        "type": kind,
    });
    let (kind, subject) = (kind.to_owned(), subject.to_owned());
    Ok(Event { seq, id, kind, subject, created, json: raw(&json)?, pending })
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>, ApiError> {
    to_raw_value(value).map_err(|_| ApiError::fault(500))
}
