//! The change event on `customer_events`: CloudEvents 1.0, structured JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Customer, Field, Fields};
use crate::error::{Error, Result};

/// The fields a system does not have yet, each with the version that changed it last.
pub type Pending = BTreeMap<Field, u64>;

/// A change event. A sink acts on its own system's part, never on `kind` alone.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Change {
    pub specversion: String,
    /// UUIDv7; another one when the same version is announced again.
    pub id: String,
    pub source: String,
    /// `catalog.customer.created`, `.updated` or `.deleted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The customer's id; also the partition key.
    pub subject: String,
    /// RFC 3339, from the catalog's clock.
    pub time: String,
    pub datacontenttype: String,
    pub partitionkey: String,
    pub data: ChangeData,
}

#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct ChangeData {
    /// Who made the change: `api`, `stripe`, later others.
    pub origin: String,
    pub version: u64,
    /// The fields this version changed.
    #[serde(default)]
    pub changed: Vec<Field>,
    pub customer: Customer,
    #[serde(default)]
    pub systems: BTreeMap<String, SystemPart>,
}

/// What one system still lacks, and how the customer is known there. It is cumulative: the newest
/// record of a customer replaces all older ones (DESIGN 3, Outbound).
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct SystemPart {
    /// The customer's id there, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: Pending,
    /// The newest version the system is known to have.
    #[serde(default)]
    pub acked: u64,
    /// While the id is unknown: the create's body, frozen at version 1, and when it was first
    /// announced (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Fields>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<String>,
    /// This version was announced before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// The version of the deletion the system has yet to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<u64>,
    /// More customers of that system to delete: made by us, linked by nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete_ids: Vec<String>,
}

impl SystemPart {
    /// Does the system still lack something of this customer?
    pub fn wants(&self) -> bool {
        !self.pending.is_empty()
            || self.delete.is_some()
            || !self.delete_ids.is_empty()
            || self.first.is_some() && self.id.is_none()
    }
}

impl Change {
    /// Reads one record. `Reject` names what is wrong.
    pub fn parse(value: &[u8]) -> Result<Self> {
        let bad = |cause: String| Error::reject("read change event", cause);
        let change: Self = serde_json::from_slice(value).map_err(|e| bad(e.to_string()))?;
        if change.specversion != "1.0" {
            return Err(bad(format!("specversion: {:?} is not \"1.0\"", change.specversion)));
        }
        if change.subject.is_empty() || change.subject != change.data.customer.id {
            return Err(bad(format!("subject: {:?} is not the customer's id", change.subject)));
        }
        if change.data.version == 0 {
            return Err(bad("data.version: must be at least 1".into()));
        }
        Ok(change)
    }

    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
