//! One line of an import: judged, then made or replaced, as `POST` and `PUT` would.

use common::error::Result;
use common::http::Fault;
use common::record::{Field, Fields, validate};
use common::store::Tx;
use common::sync::{Policy, write};
use serde::Serialize;

use crate::body;
use crate::customers::{SYSTEMS, commit, envelope, may_set};

/// A line that reads well.
#[derive(Debug)]
pub struct Upsert {
    line: u64,
    id: Option<String>,
    fields: Fields,
}

/// A line that reads well, or what is wrong with it.
pub type Judged = std::result::Result<Upsert, Outcome>;

/// What became of a line, for the one who sent it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl Outcome {
    pub fn refused(line: u64, status: u16, field: &str, message: impl Into<String>) -> Self {
        Self::invalid(line, None, status, vec![Fault::new(field, message)])
    }

    fn invalid(line: u64, id: Option<String>, status: u16, errors: Vec<Fault>) -> Self {
        Self { line, id, status, version: None, errors }
    }

    fn done(line: u64, status: u16, id: String, version: u64) -> Self {
        Self { line, id: Some(id), status, version: Some(version), errors: Vec::new() }
    }
}

/// Judges what can be judged without the database.
pub fn judge(line: u64, text: &[u8]) -> Judged {
    let json = body::parse(text).map_err(|broken| {
        let message = format!("is not JSON: {}, in column {}", broken.cause, broken.column);
        Outcome::refused(line, 400, "line", message)
    })?;
    match validate::upsert(&json) {
        Ok((id, fields)) => Ok(Upsert { line, id, fields }),
        Err(faults) => {
            let id = json.get("id").and_then(serde_json::Value::as_str).map(str::to_owned);
            let errors = faults.into_iter().map(body::fault).collect();
            Err(Outcome::invalid(line, id, 422, errors))
        }
    }
}

/// Makes or replaces the customer, with its event, in this transaction.
pub fn apply(tx: &Tx, policy: &Policy, upsert: Upsert) -> Result<Outcome> {
    let known = upsert.id.as_deref().map(|id| tx.entry(id)).transpose()?.flatten();
    let Some(mut entry) = known else { return create(tx, policy, upsert) };
    let (line, id) = (upsert.line, entry.customer.id.clone());
    if entry.customer.deleted {
        let message = "is of a customer that was deleted; ids are never used again";
        let errors = vec![Fault::new("id", message)];
        return Ok(Outcome::invalid(line, Some(id), 409, errors));
    }
    if let Err(faults) = may_set(policy, Some(&entry.customer.fields), &upsert.fields) {
        return Ok(Outcome::invalid(line, Some(id), 422, faults));
    }
    let envelope = envelope();
    let changed = write::edit(&mut entry, &upsert.fields, envelope.now);
    if !changed.is_empty() {
        commit(tx, &mut entry, &changed, envelope)?;
    }
    Ok(Outcome::done(line, 200, id, entry.customer.version))
}

fn create(tx: &Tx, policy: &Policy, upsert: Upsert) -> Result<Outcome> {
    let Upsert { line, id, fields } = upsert;
    if let Err(faults) = may_set(policy, None, &fields) {
        return Ok(Outcome::invalid(line, id, 422, faults));
    }
    if let Err(faults) = validate::creatable(id.as_deref(), &fields) {
        let errors = faults.into_iter().map(body::fault).collect();
        return Ok(Outcome::invalid(line, id, 422, errors));
    }
    let id = id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let envelope = envelope();
    let changed: Vec<Field> = fields.iter().map(|(field, _)| field.clone()).collect();
    let mut entry = write::create(id, fields, &SYSTEMS, envelope.now);
    commit(tx, &mut entry, &changed, envelope)?;
    Ok(Outcome::done(line, 201, entry.customer.id, entry.customer.version))
}
