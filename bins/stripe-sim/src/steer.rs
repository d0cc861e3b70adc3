//! `/_sim`: what tests and people use to steer the simulator and to look inside. It must never be
//! part of what the programs under test call.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::{Clock, UNIX_S_MAX};
use crate::errors::ApiError;
use crate::form::Form;
use crate::ops::{self, Actor, Write};
use crate::sim::Sim;
use crate::spec::Spec;
use crate::store::Entry;
use crate::wire::{Request, Response};
use crate::{list, lock, pretty};

const NDJSON: &str = "application/x-ndjson";

/// What `POST /_sim/clock` takes: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    advance_s: Option<i64>,
    set: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resend {
    id: String,
}

pub fn handle(sim: &Sim, request: &Request) -> Response {
    answer(sim, request).unwrap_or_else(|error| {
        Response::new(error.status, "application/json", error.body("req_none"))
    })
}

fn answer(sim: &Sim, request: &Request) -> Result<Response, ApiError> {
    let mut form = Form::default();
    form.add(request.query.as_bytes())?;
    let path = request.path.strip_prefix("/_sim/").unwrap_or_default();
    let (what, rest) = path.split_once('/').unwrap_or((path, ""));
    match (request.method.as_str(), what, rest) {
        ("GET", "requests", "") => {
            let since = form.text("since")?.unwrap_or("0");
            let since = since.parse().map_err(|_| ApiError::integer("since", since))?;
            Ok(Response::new(200, NDJSON, lock(&sim.requests).since(since)))
        }
        ("DELETE", "requests", "") => {
            lock(&sim.requests).clear();
            Ok(done(&json!({ "ok": true })))
        }
        ("GET", "faults", "") => Ok(shown(lock(&sim.faults).spec())),
        ("POST", "faults", "") => add_faults(sim, &request.body),
        ("DELETE", "faults", "") => {
            lock(&sim.faults).clear();
            sim.clock.freeze(false);
            Ok(done(&json!({ "ok": true })))
        }
        ("GET", "clock", "") => Ok(clock_shown(sim)),
        ("POST", "clock", "") => move_clock(sim, &request.body),
        ("POST", "reset", "") => reset(sim),
        ("GET", "events", "") => {
            let store = lock(&sim.store);
            Ok(lines(store.events.values().map(list::event)))
        }
        ("GET", "customers", "") => customers(sim, &form),
        ("POST", "customers", "") => edit(sim, request, form, &Write::Create),
        ("POST", "customers", id) => edit(sim, request, form, &Write::Update(id.to_owned())),
        ("DELETE", "customers", id) => edit(sim, request, form, &Write::Delete(id.to_owned())),
        ("GET", "webhooks", "") => Ok(shown(&sim.queue.counts())),
        ("POST", "webhooks", "resend") => resend(sim, &request.body),
        (method, _, _) => Err(ApiError::unknown_url(method, &request.path)),
    }
}

fn add_faults(sim: &Sim, body: &[u8]) -> Result<Response, ApiError> {
    let text = std::str::from_utf8(body).map_err(ApiError::from_text)?;
    let spec = Spec::parse(text).map_err(ApiError::from_text)?;
    let mut faults = lock(&sim.faults);
    faults.add(spec).map_err(ApiError::from_text)?;
    sim.clock.freeze(faults.spec().same_second.unwrap_or(false));
    Ok(shown(faults.spec()))
}

fn move_clock(sim: &Sim, body: &[u8]) -> Result<Response, ApiError> {
    let asked: Move = serde_json::from_slice(body).map_err(ApiError::from_text)?;
    let unix_s = match (asked.advance_s, asked.set) {
        (Some(seconds), None) => sim.clock.now_s().checked_add(seconds),
        (None, Some(unix_s)) => Some(unix_s),
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::invalid("give advance_s or set"));
        }
    };
    let unix_s = unix_s.filter(|unix_s| (0..=UNIX_S_MAX).contains(unix_s));
    let Some(unix_s) = unix_s else { return Err(ApiError::invalid("out of range")) };
    let offset_ms = match asked.advance_s {
        Some(seconds) => sim.clock.offset_ms() + seconds * 1000,
        None => Clock::offset_for(unix_s),
    };
    let entry = Entry { clock_offset_ms: Some(offset_ms), ..Entry::default() };
    lock(&sim.store).commit(entry).map_err(ApiError::from_text)?;
    sim.clock.set_offset_ms(offset_ms);
    Ok(clock_shown(sim))
}

fn clock_shown(sim: &Sim) -> Response {
    done(&json!({ "now": sim.clock.now_s(), "at": sim.clock.rfc3339() }))
}

fn reset(sim: &Sim) -> Result<Response, ApiError> {
    let mut store = lock(&sim.store);
    store.reset().map_err(ApiError::from_text)?;
    sim.queue.clear();
    lock(&sim.faults).clear();
    lock(&sim.requests).clear();
    sim.clock.freeze(false);
    sim.clock.set_offset_ms(0);
    Ok(done(&json!({ "ok": true })))
}

fn customers(sim: &Sim, form: &Form) -> Result<Response, ApiError> {
    let deleted = form.text("deleted")? == Some("true");
    let store = lock(&sim.store);
    let rows = store.customers.values().filter(|row| deleted || !row.deleted);
    Ok(lines(rows.map(|row| if row.deleted { ops::stub(&row.id) } else { list::parse(&row.json) })))
}

/// An edit by a person at Stripe's Dashboard: the same rules, no key, `request` without id.
fn edit(sim: &Sim, request: &Request, mut form: Form, write: &Write) -> Result<Response, ApiError> {
    form.add(&request.body)?;
    ops::validate(sim, write, &form)?;
    if write.customer().is_some_and(|id| sim.customer_is_locked(id)) {
        return Err(ApiError::lock_timeout());
    }
    let mut store = lock(&sim.store);
    let prepared = ops::prepare(sim, &store, write, &form, &Actor::default())?;
    sim.commit(&mut store, prepared.entry).map_err(ApiError::from_text)?;
    Ok(done(&prepared.answer))
}

fn resend(sim: &Sim, body: &[u8]) -> Result<Response, ApiError> {
    let asked: Resend = serde_json::from_slice(body).map_err(ApiError::from_text)?;
    let store = lock(&sim.store);
    let event = store.event(&asked.id);
    let event = event.ok_or_else(|| ApiError::missing(404, "event", &asked.id, "id"))?;
    sim.queue.resend(event);
    Ok(done(&json!({ "ok": true })))
}

fn done(value: &Value) -> Response {
    Response::new(200, "application/json", pretty(value))
}

fn shown(value: &impl serde::Serialize) -> Response {
    done(&serde_json::to_value(value).unwrap_or(Value::Null))
}

fn lines(values: impl Iterator<Item = Value>) -> Response {
    let mut out = String::new();
    for value in values {
        out.push_str(&value.to_string());
        out.push('\n');
    }
    Response::new(200, NDJSON, out)
}

impl ApiError {
    /// What is wrong with a steering request, in the words of whoever found it.
    fn from_text(cause: impl std::fmt::Display) -> Self {
        Self::invalid(cause.to_string())
    }
}
