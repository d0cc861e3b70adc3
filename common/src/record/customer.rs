//! A customer of the catalog, as it stands in change events and in the API's answers.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;

use super::{Fields, Millis};

/// A customer after its change number `version`. A deleted one is kept as a tombstone.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Customer {
    /// UUIDv7, or the caller's, or the Stripe id of one born there.
    pub id: String,
    /// Counts this customer's changes from 1, without gaps.
    pub version: u64,
    pub created_at: Millis,
    pub updated_at: Millis,
    pub deleted: bool,
    pub fields: Fields,
}

impl Customer {
    /// Writes the members of a customer into a map under way (the API adds `sync` to them).
    pub fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("id", &self.id)?;
        self.fields.serialize_into(map)?;
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("created_at", &crate::clock::rfc3339(self.created_at))?;
        map.serialize_entry("updated_at", &crate::clock::rfc3339(self.updated_at))?;
        if self.deleted {
            map.serialize_entry("deleted", &true)?;
        }
        Ok(())
    }
}

impl Serialize for Customer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_into(&mut map)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Customer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let time = |member: &str| {
            json.get(member)
                .and_then(Json::as_str)
                .and_then(crate::clock::parse_rfc3339)
                .ok_or_else(|| D::Error::custom(format!("customer.{member}: not an RFC 3339 time")))
        };
        Ok(Self {
            id: json
                .get("id")
                .and_then(Json::as_str)
                .ok_or_else(|| D::Error::custom("customer.id: missing"))?
                .to_owned(),
            version: json
                .get("version")
                .and_then(Json::as_u64)
                .ok_or_else(|| D::Error::custom("customer.version: missing"))?,
            created_at: time("created_at")?,
            updated_at: time("updated_at")?,
            deleted: json.get("deleted").and_then(Json::as_bool).unwrap_or(false),
            fields: Fields::from_json(&json),
        })
    }
}
