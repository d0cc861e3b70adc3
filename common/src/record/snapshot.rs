//! What Stripe says of a customer: its events, and the customers in them or in answers.

use std::fmt;
use std::str::FromStr;

use serde_json::Value as Json;

use super::fields::{CATALOG_ID, CATALOG_VERSION};
use super::{Field, Fields, Seconds};
use crate::error::{Error, Result};

/// Our version as it stands in `metadata[catalog_version]`: the newest of our changes that the
/// remote object contains, less the fields Stripe refused (`7 -phone`).
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Stamp {
    pub version: u64,
    pub refused: Vec<Field>,
}

/// Stripe's limit on a metadata value, in characters.
pub const STAMP_CHARS_MAX: usize = 500;

/// Versions stay where every JSON reader tells two of them apart; a higher stamp was typed by hand
/// and is none.
const STAMP_VERSION_MAX: u64 = 1 << 52;

impl fmt::Display for Stamp {
    /// Leaves out the refused fields that no longer fit: the result names them all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.version.to_string();
        for field in &self.refused {
            // Spaces separate, and a metadata key may hold some.
            let item = format!(" -{}", field.to_string().replace('%', "%25").replace(' ', "%20"));
            if text.chars().count() + item.chars().count() <= STAMP_CHARS_MAX {
                text.push_str(&item);
            }
        }
        f.write_str(&text)
    }
}

impl FromStr for Stamp {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let mut words = text.split(' ');
        let version = words.next().and_then(|word| word.parse().ok()).ok_or(())?;
        if version > STAMP_VERSION_MAX {
            return Err(());
        }
        let refused = words
            .filter_map(|word| word.strip_prefix('-'))
            .filter_map(|word| word.replace("%20", " ").replace("%25", "%").parse().ok())
            .collect();
        Ok(Self { version, refused })
    }
}

/// A customer as Stripe showed it once.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Snapshot {
    pub id: String,
    /// `metadata[catalog_id]`, which people copy: a hint, not a link.
    pub catalog_id: Option<String>,
    /// `None` when it was never ours, or when somebody took the stamp off.
    pub stamp: Option<Stamp>,
    pub fields: Fields,
    pub deleted: bool,
}

impl Snapshot {
    /// Reads a customer, live or a deleted stub. `None` when it is no customer.
    pub fn from_json(json: &Json) -> Option<Self> {
        if json.get("object").and_then(Json::as_str) != Some("customer") {
            return None;
        }
        let metadata = |key: &str| json.get("metadata")?.get(key)?.as_str();
        Some(Self {
            id: json.get("id")?.as_str()?.to_owned(),
            catalog_id: metadata(CATALOG_ID).map(str::to_owned),
            stamp: metadata(CATALOG_VERSION).and_then(|text| text.parse().ok()),
            fields: Fields::from_json(json),
            deleted: json.get("deleted").and_then(Json::as_bool).unwrap_or(false),
        })
    }

    /// The version of the stamp; 0 without one.
    pub fn stamp_version(&self) -> u64 {
        self.stamp.as_ref().map_or(0, |stamp| stamp.version)
    }
}

/// What `previous_attributes` says: which mapped fields changed, and the stamp before.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Previous {
    pub fields: Vec<Field>,
    /// Whether the stamp is among what changed, and the version it had (0: none).
    pub stamp: Option<u64>,
}

impl Previous {
    fn from_json(json: &Json) -> Self {
        let mut previous = Self::default();
        let Some(members) = json.as_object() else { return previous };
        for (name, value) in members {
            if let ("metadata", Some(keys)) = (name.as_str(), value.as_object()) {
                for (key, old) in keys {
                    if key == CATALOG_VERSION {
                        let stamp = old.as_str().and_then(|text| text.parse::<Stamp>().ok());
                        previous.stamp = Some(stamp.map_or(0, |stamp| stamp.version));
                    } else if key != CATALOG_ID {
                        previous.fields.push(Field::Metadata(key.clone()));
                    }
                }
            } else if let Ok(field) = name.parse::<Field>()
                && field != Field::Stamp
            {
                previous.fields.push(field);
            }
        }
        previous
    }

    /// Somebody else's edit of this field: it changed, and our stamp did not.
    pub fn is_foreign_edit_of(&self, field: &Field) -> bool {
        self.stamp.is_none() && self.fields.contains(field)
    }
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EventKind {
    Created,
    Updated,
    Deleted,
}

/// A Stripe event about a customer, or one to be passed over.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum StripeEvent {
    Customer {
        id: String,
        kind: EventKind,
        created: Seconds,
        snapshot: Snapshot,
        previous: Previous,
        /// The idempotency key of the request that caused it: ours tells an echo, as a hint only.
        idempotency_key: Option<String>,
    },
    /// A known shape that says nothing of a customer's fields (another object, an unknown type).
    Other { id: String, kind: String },
}

impl StripeEvent {
    /// Reads one event. Unknown types are no error; `Reject` names what is wrong.
    pub fn parse(value: &[u8]) -> Result<Self> {
        let json: Json =
            serde_json::from_slice(value).map_err(|e| Error::reject("read Stripe event", e))?;
        Self::from_json(&json)
    }

    pub fn from_json(json: &Json) -> Result<Self> {
        let bad = |cause: &str| Error::reject("read Stripe event", cause);
        let text = |member: &str| json.get(member).and_then(Json::as_str);
        if text("object") != Some("event") {
            return Err(bad("object: not \"event\""));
        }
        let id = text("id").ok_or_else(|| bad("id: missing"))?.to_owned();
        let name = text("type").ok_or_else(|| bad("type: missing"))?;
        let kind = match name {
            "customer.created" => EventKind::Created,
            "customer.updated" => EventKind::Updated,
            "customer.deleted" => EventKind::Deleted,
            _ => return Ok(Self::Other { id, kind: name.to_owned() }),
        };
        let data = json.get("data").ok_or_else(|| bad("data: missing"))?;
        let object = data.get("object").ok_or_else(|| bad("data.object: missing"))?;
        let mut snapshot = Snapshot::from_json(object)
            .ok_or_else(|| bad("data.object: not a customer with an id"))?;
        snapshot.deleted |= kind == EventKind::Deleted;
        let created = json.get("created").and_then(Json::as_i64);
        let request = json.get("request");
        Ok(Self::Customer {
            id,
            kind,
            created: created.ok_or_else(|| bad("created: not a whole number"))?,
            snapshot,
            previous: data.get("previous_attributes").map(Previous::from_json).unwrap_or_default(),
            idempotency_key: request
                .and_then(|request| request.get("idempotency_key"))
                .and_then(Json::as_str)
                .map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stamp_prints_as_it_reads() {
        for text in ["7", "7 -phone", "12 -phone -metadata.a%20b"] {
            assert_eq!(text.parse::<Stamp>().expect(text).to_string(), text);
        }
        for text in ["", "x", "-1", "7x"] {
            assert!(text.parse::<Stamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_stamp_never_outgrows_a_metadata_value() {
        let refused = (0..40).map(|n| Field::Metadata(format!("{n:0>40}"))).collect();
        let text = Stamp { version: STAMP_VERSION_MAX, refused }.to_string();
        assert!(text.len() <= STAMP_CHARS_MAX);
        assert!(text.parse::<Stamp>().is_ok());
    }

    #[test]
    fn an_edit_is_foreign_when_it_leaves_the_stamp_alone() {
        let theirs = Previous::from_json(&json!({"name": "a", "metadata": {"k": null}}));
        assert!(theirs.is_foreign_edit_of(&Field::Name));
        assert!(theirs.is_foreign_edit_of(&Field::Metadata("k".into())));
        assert!(!theirs.is_foreign_edit_of(&Field::Email));
        let ours = Previous::from_json(&json!({"name": "a", "metadata": {"catalog_version": "3"}}));
        assert!(!ours.is_foreign_edit_of(&Field::Name));
        assert_eq!(ours.stamp, Some(3));
    }

    #[test]
    fn a_deleted_event_means_deleted_whatever_its_object_says() {
        let event = json!({"id": "evt_1", "object": "event", "type": "customer.deleted",
            "created": 5, "data": {"object": {"id": "cus_1", "object": "customer"}}});
        let StripeEvent::Customer { snapshot, .. } = StripeEvent::from_json(&event).expect("reads")
        else {
            panic!("not a customer's event")
        };
        assert!(snapshot.deleted);
    }
}
