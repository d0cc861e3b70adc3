//! `/v1`: each request goes through Stripe's layers in Stripe's order: key, address, rate, form,
//! idempotency, validation, execution. Faults enter where the real thing would fail. It must never
//! answer before what it did is in the journal, and never store what did not begin to execute.

use std::time::Instant;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::auth::{self, Caller};
use crate::errors::ApiError;
use crate::faults::{End, Plan};
use crate::form::Form;
use crate::http::Reply;
use crate::ops::{self, Actor, Write};
use crate::requests::Logged;
use crate::route::{self, Route};
use crate::sim::{Reserved, Sim};
use crate::spec::Rule;
use crate::store::{Kept, Store};
use crate::wire::{Request, Response};
use crate::{list, lock, pretty, search};

const KEY_CHARS_MAX: usize = 255;
const REQUEST_ID_CHARS: usize = 14;

/// What a request ends with.
#[derive(Debug, Default)]
struct Outcome {
    /// `None`: the connection is dropped.
    answer: Option<(u16, String)>,
    applied: bool,
    /// The first request's id, when its answer is given again.
    replay_of: Option<String>,
    should_retry: Option<bool>,
    reason: Option<String>,
    code: Option<String>,
}

/// One request on its way through the layers.
struct Call<'a> {
    sim: &'a Sim,
    request: &'a Request,
    /// `req_…`
    id: String,
    /// Only a POST has one that counts.
    key: Option<String>,
    caller: Option<Caller>,
    form: Form,
}

pub fn handle(sim: &Sim, request: &Request) -> Reply {
    let begun = Instant::now();
    let key = request.header("idempotency-key").filter(|_| request.method == "POST");
    let mut call = Call {
        sim,
        request,
        id: sim.new_id("req_", REQUEST_ID_CHARS, |_| false),
        key: key.map(ToOwned::to_owned),
        caller: None,
        form: Form::default(),
    };
    let outcome = call.run().unwrap_or_else(|error| call.failed(&error));
    call.log(&outcome, begun);
    call.reply(outcome)
}

impl Call<'_> {
    fn run(&mut self) -> Result<Outcome, ApiError> {
        let caller = auth::caller(self.request)?;
        let may_write = caller.may_write;
        self.caller = Some(caller);
        let route = route::route(self.request)?;
        if matches!(route, Route::Write(_)) && !may_write {
            return Err(auth::forbidden());
        }
        route::check_version(self.request)?;
        if !self.sim.within_rate() {
            return Err(ApiError::rate_limited("global-rate"));
        }
        self.form = route::decode(self.request)?;
        let (method, path) = (self.request.method.as_str(), self.request.path.as_str());
        let plan = lock(&self.sim.faults).request(method, path, &self.form.flat);
        match &plan.end {
            Some(End::Timeout(ms)) => {
                self.sim.pause.sleep_ms(plan.latency_ms + ms);
                return Ok(Outcome::default());
            }
            Some(End::Status { rule, status }) if !rule.after && !rule.store => {
                self.sim.pause.sleep_ms(plan.latency_ms);
                return Err(fault(rule, *status));
            }
            Some(End::Status { .. } | End::Lost | End::Refuse { .. }) | None => {}
        }
        match route {
            Route::Write(write) => self.write(&write, &plan),
            Route::List | Route::Search | Route::Retrieve(_) | Route::Events | Route::Event(_) => {
                self.read(&route, &plan)
            }
        }
    }

    fn read(&self, route: &Route, plan: &Plan) -> Result<Outcome, ApiError> {
        refuse(plan)?;
        self.sim.pause.sleep_ms(plan.latency_ms);
        let value = {
            let store = lock(&self.sim.store);
            self.look_up(&store, route)?
        };
        self.sim.pause.sleep_ms(plan.latency_after_ms);
        match &plan.end {
            Some(End::Lost) => Ok(Outcome::default()),
            Some(End::Status { rule, status }) => Err(fault(rule, *status)),
            Some(End::Timeout(_) | End::Refuse { .. }) | None => {
                Ok(Outcome { answer: Some((200, pretty(&value))), ..Outcome::default() })
            }
        }
    }

    fn look_up(&self, store: &Store, route: &Route) -> Result<Value, ApiError> {
        let (form, clock) = (&self.form, &self.sim.clock);
        match route {
            Route::List => list::customers(store, form),
            Route::Search => {
                search::search(store, form, clock.now_ms(), self.sim.config.search_lag_ms)
            }
            Route::Events => list::events(store, form, clock.now_s()),
            Route::Event(id) => list::event_by_id(store, form, id, clock.now_s()),
            Route::Retrieve(id) => {
                form.only(&["expand"])?;
                crate::customer::check_expand(form, "")?;
                match store.customer(id) {
                    None => Err(ApiError::missing(404, "customer", id, "id")),
                    Some(row) if row.deleted => Ok(ops::stub(id)),
                    Some(row) => Ok(list::expanded(&row.json, form, "")),
                }
            }
            Route::Write(_) => Err(ApiError::fault(500)),
        }
    }

    /// A create, update or delete, under its idempotency key if it has one.
    fn write(&self, write: &Write, plan: &Plan) -> Result<Outcome, ApiError> {
        let (reserved, fingerprint) = match &self.key {
            None => (None, String::new()),
            Some(key) => {
                let reserved = self.reserve(key)?;
                let fingerprint = self.fingerprint();
                if let Some(replay) = self.replay(key, &fingerprint)? {
                    drop(reserved);
                    self.sim.pause.sleep_ms(plan.latency_ms + plan.latency_after_ms);
                    let lost = matches!(plan.end, Some(End::Lost));
                    return Ok(if lost { Outcome::default() } else { replay });
                }
                (Some(reserved), fingerprint)
            }
        };
        ops::validate(self.sim, write, &self.form)?;
        refuse(plan)?;
        let locked = self.lock_customer(write, plan)?;
        self.sim.pause.sleep_ms(plan.latency_ms);
        let mut outcome = self.execute(write, plan, fingerprint)?;
        drop((locked, reserved));
        self.sim.pause.sleep_ms(plan.latency_after_ms);
        if matches!(plan.end, Some(End::Lost)) {
            outcome.answer = None;
        }
        Ok(outcome)
    }

    fn reserve(&self, key: &str) -> Result<Reserved<'_>, ApiError> {
        if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
            return Err(ApiError::new(
                400,
                "idempotency_error",
                format!("Idempotency keys must be 1 to {KEY_CHARS_MAX} characters long."),
            ));
        }
        self.sim.reserve_key(key).ok_or_else(|| ApiError::key_in_use(key))
    }

    /// Method, address and parameters: what a key is bound to.
    fn fingerprint(&self) -> String {
        let text = [&self.request.method, &self.request.path, &self.form.canonical()];
        hex::encode(Sha256::digest(text.map(String::as_str).join("\n").as_bytes()))
    }

    fn replay(&self, key: &str, fingerprint: &str) -> Result<Option<Outcome>, ApiError> {
        let store = lock(&self.sim.store);
        let Some(kept) = store.kept(key, self.sim.clock.now_s()) else { return Ok(None) };
        if kept.fingerprint != fingerprint {
            return Err(ApiError::key_reused(key));
        }
        Ok(Some(Outcome {
            answer: Some((kept.status, kept.body.clone())),
            replay_of: Some(kept.request_id.clone()),
            should_retry: Some(false),
            ..Outcome::default()
        }))
    }

    /// Two operations on one customer cannot run at once; they overlap only while one is held up.
    fn lock_customer(&self, write: &Write, plan: &Plan) -> Result<Option<Reserved<'_>>, ApiError> {
        let Some(id) = write.customer() else { return Ok(None) };
        if plan.latency_ms == 0 {
            let locked = self.sim.customer_is_locked(id);
            return if locked { Err(ApiError::lock_timeout()) } else { Ok(None) };
        }
        self.sim.reserve_customer(id).map(Some).ok_or_else(ApiError::lock_timeout)
    }

    /// From here on the first answer is kept for the key, whatever it is.
    fn execute(
        &self,
        write: &Write,
        plan: &Plan,
        fingerprint: String,
    ) -> Result<Outcome, ApiError> {
        let mut store = lock(&self.sim.store);
        let actor = Actor { request_id: Some(self.id.clone()), idempotency_key: self.key.clone() };
        let forced = match &plan.end {
            Some(End::Status { rule, status }) => Some((fault(rule, *status), rule.after)),
            Some(End::Lost | End::Timeout(_) | End::Refuse { .. }) | None => None,
        };
        let result = match &forced {
            Some((error, false)) => Err(error.clone()),
            Some((_, true)) | None => ops::prepare(self.sim, &store, write, &self.form, &actor),
        };
        let mut outcome = Outcome::default();
        let mut entry = match result {
            Ok(prepared) => {
                outcome.applied = prepared.entry.customer.is_some();
                outcome.answer = Some((200, pretty(&prepared.answer)));
                if let Some((error, true)) = &forced {
                    outcome = Outcome { applied: outcome.applied, ..self.failed(error) };
                }
                prepared.entry
            }
            Err(error) => {
                outcome = self.failed(&error);
                crate::store::Entry::default()
            }
        };
        if let (Some(key), Some((status, body))) = (&self.key, &outcome.answer) {
            entry.kept = Some(Kept {
                key: key.clone(),
                fingerprint,
                status: *status,
                body: body.clone(),
                request_id: self.id.clone(),
                at: self.sim.clock.now_s(),
            });
            outcome.should_retry = outcome.should_retry.or(Some(false));
        }
        self.sim.commit(&mut store, entry).map_err(|error| {
            log::error!("{error}");
            ApiError::fault(500)
        })?;
        Ok(outcome)
    }

    fn failed(&self, error: &ApiError) -> Outcome {
        let explicit = match error.status {
            400..=408 | 410..=428 => Some(false),
            503 => Some(true),
            _ => None,
        };
        Outcome {
            answer: Some((error.status, error.body(&self.id))),
            should_retry: error.should_retry.or(explicit),
            reason: error.reason.clone(),
            code: error.code.clone(),
            ..Outcome::default()
        }
    }

    fn log(&self, outcome: &Outcome, begun: Instant) {
        let params: Map<String, Value> = self
            .form
            .flat
            .iter()
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        let status = outcome.answer.as_ref().map(|(status, _)| *status);
        let Request { method, path, .. } = self.request;
        log::debug!("{method} {path}: {status:?}");
        lock(&self.sim.requests).add(Logged {
            n: 0,
            at: self.sim.clock.rfc3339(),
            method: method.clone(),
            path: path.clone(),
            params,
            idempotency_key: self.key.clone(),
            authorization: auth::scheme(self.request),
            key: self.caller.as_ref().map(|caller| caller.name.clone()),
            request_id: self.id.clone(),
            status,
            replayed: outcome.replay_of.is_some(),
            applied: outcome.applied,
            error_code: outcome.code.clone(),
            took_ms: begun.elapsed().as_millis() as u64,
        });
    }

    fn reply(&self, outcome: Outcome) -> Reply {
        let Some((status, body)) = outcome.answer else { return Reply::Drop };
        let mut response = Response::new(status, "application/json", body);
        let version = self.request.header("stripe-version").unwrap_or(&self.sim.config.api_version);
        let mut add = |name, value: String| response.headers.push((name, value));
        add("Date", self.sim.clock.http_date());
        add("Request-Id", self.id.clone());
        add("Stripe-Version", version.to_owned());
        if let Some(key) = &self.key {
            add("Idempotency-Key", key.clone());
            let original = outcome.replay_of.as_ref().unwrap_or(&self.id);
            add("Original-Request", original.clone());
        }
        if outcome.replay_of.is_some() {
            add("Idempotent-Replayed", "true".to_owned());
        }
        if let Some(should_retry) = outcome.should_retry {
            add("Stripe-Should-Retry", should_retry.to_string());
        }
        if let Some(reason) = outcome.reason {
            add("Stripe-Rate-Limited-Reason", reason);
        }
        if status == 401 {
            add("WWW-Authenticate", "Bearer realm=\"Stripe\"".to_owned());
        }
        Reply::Answer(response)
    }
}

/// A refusal by name comes with the validation, so that it is not kept for the key.
fn refuse(plan: &Plan) -> Result<(), ApiError> {
    let Some(End::Refuse { param, code, message }) = &plan.end else { return Ok(()) };
    let mut error = ApiError::invalid(message).param(param);
    error.code.clone_from(code);
    Err(error)
}

/// The error a rule asks for.
fn fault(rule: &Rule, status: u16) -> ApiError {
    let mut error = ApiError::fault(status);
    if let Some(code) = &rule.code {
        error.code = Some(code.clone());
        // Stripe's lock_timeout is a 429 that names no rate.
        error.reason = None;
    }
    if let Some(message) = &rule.message {
        error.message.clone_from(message);
    }
    error.reason = rule.reason.clone().or(error.reason);
    error.should_retry = rule.should_retry.or(error.should_retry);
    error
}
