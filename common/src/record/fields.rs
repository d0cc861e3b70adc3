//! The mapped fields of a customer and their values. Each metadata key is a field of its own;
//! "", null and absent are one and the same (STRIPE.md 0.12), so a value that is here is not empty.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;

/// The metadata keys that carry the link and the stamp: ours, never a user's.
pub const CATALOG_ID: &str = "catalog_id";
pub const CATALOG_VERSION: &str = "catalog_version";

/// One mapped field. It prints as `name`, `address` or `metadata.KEY`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Field {
    Name,
    Email,
    Phone,
    Description,
    /// All six parts are one field: Stripe may replace the whole of it.
    Address,
    Metadata(String),
    /// Not a field of a customer but our version in the remote object, which can be pending alone.
    Stamp,
}

/// The fields that are plain text and always there, in the order people read them.
pub const TEXT_FIELDS: [Field; 4] = [Field::Name, Field::Email, Field::Phone, Field::Description];

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("name"),
            Self::Email => f.write_str("email"),
            Self::Phone => f.write_str("phone"),
            Self::Description => f.write_str("description"),
            Self::Address => f.write_str("address"),
            Self::Stamp => f.write_str("stamp"),
            Self::Metadata(key) => write!(f, "metadata.{key}"),
        }
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "name" => Self::Name,
            "email" => Self::Email,
            "phone" => Self::Phone,
            "description" => Self::Description,
            "address" => Self::Address,
            "stamp" => Self::Stamp,
            _ => match text.strip_prefix("metadata.") {
                Some(key) if !key.is_empty() => Self::Metadata(key.to_owned()),
                Some(_) | None => return Err(format!("unknown field {text:?}")),
            },
        })
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// An address: six parts, each possibly empty.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Address(pub [String; 6]);

/// The parts' names at Stripe and in the catalog, in the order of [`Address`].
pub const ADDRESS_PARTS: [&str; 6] = ["line1", "line2", "city", "state", "postal_code", "country"];

impl Address {
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(String::is_empty)
    }

    /// Each part with its name; empty parts too.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        ADDRESS_PARTS.into_iter().zip(self.0.iter().map(String::as_str))
    }

    /// Reads the parts it knows of a JSON object; anything but text counts as empty.
    pub fn from_json(json: &Json) -> Self {
        Self(ADDRESS_PARTS.map(|part| text_of(json.get(part)).unwrap_or_default()))
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, part) in self.parts() {
            map.serialize_entry(name, &(!part.is_empty()).then_some(part))?;
        }
        map.end()
    }
}

/// The value of a field; never empty.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Value {
    Text(String),
    Address(Address),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Address(address) => address.serialize(serializer),
        }
    }
}

/// The values of a customer's fields. A field without a value is not in it.
///
/// Its JSON has the members `name`, `email`, `phone`, `description`, `address` and `metadata`,
/// null where empty: the shape a customer has in the catalog and at Stripe alike.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Fields(BTreeMap<Field, Value>);

impl Fields {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn get(&self, field: &Field) -> Option<&Value> {
        self.0.get(field)
    }

    /// The text of a field; `None` for an address and for what is empty.
    pub fn text(&self, field: &Field) -> Option<&str> {
        match self.0.get(field) {
            Some(Value::Text(text)) => Some(text),
            Some(Value::Address(_)) | None => None,
        }
    }

    /// Sets or clears a field; an empty value clears it.
    pub fn set(&mut self, field: Field, value: Option<Value>) {
        let value = value.filter(|value| match value {
            Value::Text(text) => !text.is_empty(),
            Value::Address(address) => !address.is_empty(),
        });
        match value {
            Some(value) => self.0.insert(field, value),
            None => self.0.remove(&field),
        };
    }

    pub fn set_text(&mut self, field: Field, text: &str) {
        self.set(field, Some(Value::Text(text.to_owned())));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Field, &Value)> {
        self.0.iter()
    }

    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(field, value)| match (field, value) {
            (Field::Metadata(key), Value::Text(text)) => Some((key.as_str(), text.as_str())),
            _ => None,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields whose values differ between the two, in order.
    pub fn differing(&self, other: &Self) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        for field in self.0.keys().chain(other.0.keys()) {
            if self.get(field) != other.get(field) {
                fields.push(field.clone());
            }
        }
        fields.sort();
        fields.dedup();
        fields
    }

    /// Reads the mapped fields of a customer as JSON. It forgives: members of other types count
    /// as empty, since what Stripe shows is taken as it is. `catalog_id` and `catalog_version`
    /// are not fields and are left out.
    pub fn from_json(json: &Json) -> Self {
        let mut fields = Self::new();
        for field in TEXT_FIELDS {
            let text = text_of(json.get(field.to_string()));
            fields.set(field, text.map(Value::Text));
        }
        if let Some(address @ Json::Object(_)) = json.get("address") {
            fields.set(Field::Address, Some(Value::Address(Address::from_json(address))));
        }
        if let Some(Json::Object(metadata)) = json.get("metadata") {
            for (key, value) in metadata {
                if key != CATALOG_ID && key != CATALOG_VERSION {
                    let text = text_of(Some(value));
                    fields.set(Field::Metadata(key.clone()), text.map(Value::Text));
                }
            }
        }
        fields
    }
}

/// The text of a JSON member; numbers and booleans as they print, everything else is none.
fn text_of(json: Option<&Json>) -> Option<String> {
    match json? {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

impl FromIterator<(Field, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (Field, Value)>>(pairs: I) -> Self {
        let mut fields = Self::new();
        for (field, value) in pairs {
            fields.set(field, Some(value));
        }
        fields
    }
}

impl Fields {
    /// Writes the six members into a map under way.
    pub(crate) fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for field in TEXT_FIELDS {
            let text = self.text(&field);
            map.serialize_entry(&field, &text)?;
        }
        map.serialize_entry("address", &self.get(&Field::Address))?;
        map.serialize_entry("metadata", &self.metadata().collect::<BTreeMap<_, _>>())
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_into(&mut map)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        if json.is_object() {
            Ok(Self::from_json(&json))
        } else {
            Err(D::Error::custom("not an object"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_null_and_absent_are_equal() {
        let all = [
            json!({"name": "", "address": {"line1": ""}, "metadata": {"a": ""}}),
            json!({"name": null, "address": null, "metadata": null}),
            json!({}),
        ];
        for json in all {
            assert_eq!(Fields::from_json(&json), Fields::new(), "{json}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        let json = json!({"name": "Ada", "email": null, "phone": null, "description": null,
            "address": {"line1": "x", "line2": null, "city": null, "state": null,
                        "postal_code": null, "country": "GB"},
            "metadata": {"a.b": "1", "plan": "pro"}});
        let fields = Fields::from_json(&json);
        assert_eq!(serde_json::to_value(&fields).expect("prints"), json);
        assert_eq!(serde_json::from_value::<Fields>(json).expect("reads"), fields);
    }

    #[test]
    fn the_link_and_the_stamp_are_no_fields() {
        let json = json!({"metadata": {"catalog_id": "c", "catalog_version": "3", "k": "v"}});
        let fields = Fields::from_json(&json);
        assert_eq!(fields.metadata().collect::<Vec<_>>(), [("k", "v")]);
    }

    #[test]
    fn a_field_prints_as_it_reads() {
        for text in ["name", "address", "stamp", "metadata.a.b", "metadata.name"] {
            assert_eq!(text.parse::<Field>().expect(text).to_string(), text);
        }
        assert!("metadata.".parse::<Field>().is_err());
        assert!("fax".parse::<Field>().is_err());
    }
}
