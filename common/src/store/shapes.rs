//! Parts of a sync state as they are stored in columns of JSON.

use serde::{Deserialize, Serialize};

use crate::record::{Address, Field, Seconds, Value};
use crate::sync::Refusal;
use crate::sync::settle::ForeignEdit;

/// Why a field was refused.
#[derive(Deserialize, Serialize)]
pub(super) struct RefusalJson {
    version: u64,
    why: String,
}

impl RefusalJson {
    pub(super) fn of(refusal: &Refusal) -> Self {
        Self { version: refusal.version, why: refusal.why.clone() }
    }

    pub(super) fn into_refusal(self) -> Refusal {
        Refusal { version: self.version, why: self.why }
    }
}

/// An edit that was put aside while in doubt.
#[derive(Deserialize, Serialize)]
pub(super) struct EditJson {
    field: Field,
    value: Option<serde_json::Value>,
    stamp: u64,
    at: Seconds,
}

impl EditJson {
    pub(super) fn of(edit: &ForeignEdit) -> Self {
        let value = edit.value.as_ref().map(|value| serde_json::json!(value));
        Self { field: edit.field.clone(), value, stamp: edit.stamp, at: edit.at }
    }

    pub(super) fn into_edit(self) -> ForeignEdit {
        let value = self.value.map(value_from);
        ForeignEdit { field: self.field, value, stamp: self.stamp, at: self.at }
    }
}

/// A field's value: a text, or an address.
pub(super) fn value_from(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::String(text) => Value::Text(text),
        other => Value::Address(Address::from_json(&other)),
    }
}
