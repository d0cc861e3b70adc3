//! What a system did with one change event: the record on `stripe_results`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Field;
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Created,
    Updated,
    Deleted,
    /// Nothing was to be done: the system had it already, or the customer is gone there.
    Skipped,
    /// Refused for good; `error` says why.
    Failed,
}

#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct SyncResult {
    /// The id of the change event.
    pub event: String,
    pub customer: String,
    /// The version the system has now, or that it refused.
    pub version: u64,
    pub system: String,
    pub outcome: Outcome,
    pub external_id: Option<String>,
    /// Fields the system refuses, and its words.
    #[serde(default)]
    pub refused: BTreeMap<Field, String>,
    pub error: Option<String>,
    /// RFC 3339, from the sender's clock; for people.
    pub at: String,
}

impl SyncResult {
    /// Reads one record. `Reject` names what is wrong.
    pub fn parse(value: &[u8]) -> Result<Self> {
        serde_json::from_slice(value).map_err(|e| Error::reject("read result", e))
    }

    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
