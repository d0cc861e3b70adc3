//! What the catalog takes in through its API: strictly, with Stripe's limits (STRIPE.md 1.2, 1.3),
//! so that Stripe accepts what the catalog accepts. All that is wrong with a body is told at once.
//!
//! What comes from Stripe is not judged here: it is there already.

use serde_json::{Map, Value as Json};

use super::fields::{ADDRESS_PARTS, CATALOG_ID, CATALOG_VERSION, TEXT_FIELDS};
use super::{Address, Field, Fields, Value};

/// Stripe's limits, in characters.
pub const NAME_CHARS_MAX: usize = 256;
pub const EMAIL_CHARS_MAX: usize = 512;
pub const PHONE_CHARS_MAX: usize = 20;
pub const DESCRIPTION_CHARS_MAX: usize = 5000;
pub const ADDRESS_PART_CHARS_MAX: usize = 5000;
pub const METADATA_KEY_CHARS_MAX: usize = 40;
pub const METADATA_VALUE_CHARS_MAX: usize = 500;
/// Stripe takes 50 keys; two are ours: the link and the stamp.
pub const METADATA_KEYS_MAX: usize = 48;
/// A caller's own id for a customer.
pub const ID_CHARS_MAX: usize = 100;
/// Ids with this prefix are of customers that were born at Stripe.
const STRIPE_ID_PREFIX: &str = "cus_";

/// What is wrong with one member, as the caller wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid {
    pub field: String,
    pub message: String,
}

type Checked<T> = Result<T, Vec<Invalid>>;

/// The members that the catalog adds when it shows a customer. `PUT` takes and ignores them, so
/// that what was got can be put back.
const READ_ONLY: [&str; 4] = ["version", "created_at", "updated_at", "sync"];

/// A `POST`'s body: the caller's id, if any, and the fields. It needs a name or an email.
pub fn new_customer(json: &Json) -> Checked<(Option<String>, Fields)> {
    let mut check = Check::default();
    let mut fields = Fields::new();
    let mut id = None;
    if let Some(members) = check.object("body", json) {
        check.members(members, &["id"], false);
        id = check.id(members.get("id"));
        check.fields(members, &mut fields);
        if check.faults.is_empty() {
            check.name_or_email(&fields);
        }
    }
    check.done((id, fields))
}

/// A `PUT`'s body: the fields, all of them; what is absent becomes empty.
pub fn replacement(id: &str, json: &Json) -> Checked<Fields> {
    let mut check = Check::default();
    let mut fields = Fields::new();
    if let Some(members) = check.object("body", json) {
        check.members(members, &["id"], true);
        check.same_id(members.get("id"), id);
        check.fields(members, &mut fields);
    }
    check.done(fields)
}

/// A JSON Merge Patch (RFC 7396): the fields after it.
pub fn patched(id: &str, patch: &Json, before: &Fields) -> Checked<Fields> {
    let mut check = Check::default();
    let mut fields = before.clone();
    if let Some(members) = check.object("body", patch) {
        check.members(members, &["id"], false);
        check.same_id(members.get("id"), id);
        check.fields(members, &mut fields);
    }
    check.done(fields)
}

/// A line of an import: the customer's id, if it has one, and the fields. It is to replace the
/// customer of that id, or to make it: then [`creatable`] has the last word.
pub fn upsert(json: &Json) -> Checked<(Option<String>, Fields)> {
    let mut check = Check::default();
    let (mut id, mut fields) = (None, Fields::new());
    if let Some(members) = check.object("line", json) {
        check.members(members, &["id"], true);
        match members.get("id") {
            None | Some(Json::Null) => {}
            Some(Json::String(text)) => id = Some(text.clone()),
            Some(other) => {
                check.fault("id", format!("must be a string, but is {}", kind(other)));
            }
        }
        check.fields(members, &mut fields);
    }
    check.done((id, fields))
}

/// May a customer be made of this?
pub fn creatable(id: Option<&str>, fields: &Fields) -> Checked<()> {
    let mut check = Check::default();
    if let Some(Err(why)) = id.map(check_id) {
        check.fault("id", why);
    }
    check.name_or_email(fields);
    check.done(())
}

/// A caller's id, or why it does not do.
pub fn check_id(id: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if id.is_empty() || id.chars().count() > ID_CHARS_MAX || !id.chars().all(allowed) {
        return Err(format!("must be 1 to {ID_CHARS_MAX} of the characters A-Z a-z 0-9 . _ -"));
    }
    if matches!(id, "." | "..") {
        return Err("must not be . or .., which no URL can name".to_owned());
    }
    if id.starts_with(STRIPE_ID_PREFIX) {
        let why = "such ids are of customers that were created at Stripe";
        return Err(format!("must not begin with {STRIPE_ID_PREFIX}: {why}"));
    }
    Ok(())
}

#[derive(Default)]
struct Check {
    faults: Vec<Invalid>,
}

impl Check {
    fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Invalid { field: field.into(), message: message.into() });
    }

    fn done<T>(self, value: T) -> Checked<T> {
        if self.faults.is_empty() { Ok(value) } else { Err(self.faults) }
    }

    fn object<'a>(&mut self, field: &str, json: &'a Json) -> Option<&'a Map<String, Json>> {
        let members = json.as_object();
        if members.is_none() {
            self.fault(field, format!("must be a JSON object, but is {}", kind(json)));
        }
        members
    }

    fn name_or_email(&mut self, fields: &Fields) {
        if fields.get(&Field::Name).is_none() && fields.get(&Field::Email).is_none() {
            self.fault("name", "a customer needs a name or an email");
        }
    }

    fn members(&mut self, members: &Map<String, Json>, more: &[&str], round_trip: bool) {
        for name in members.keys() {
            let name = name.as_str();
            if READ_ONLY.contains(&name) {
                if !round_trip {
                    self.fault(name, "is set by the catalog and cannot be given");
                }
            } else if !more.contains(&name) && !is_field(name) {
                let known = "id, name, email, phone, description, address, metadata";
                self.fault(name, format!("unknown member; known are {known}"));
            }
        }
    }

    fn id(&mut self, json: Option<&Json>) -> Option<String> {
        match json? {
            Json::Null => None,
            Json::String(id) => {
                if let Err(why) = check_id(id) {
                    self.fault("id", why);
                }
                Some(id.clone())
            }
            other => {
                self.fault("id", format!("must be a string, but is {}", kind(other)));
                None
            }
        }
    }

    fn same_id(&mut self, json: Option<&Json>, id: &str) {
        if let Some(json) = json
            && json.as_str() != Some(id)
        {
            self.fault("id", "an id never changes: leave it out, or give the one of the path");
        }
    }

    /// Sets each field that the body has a member for: absent members leave `fields` as it is.
    fn fields(&mut self, members: &Map<String, Json>, fields: &mut Fields) {
        for field in TEXT_FIELDS {
            let name = field.to_string();
            if let Some(json) = members.get(&name) {
                let text = self.text(&name, json, chars_max(&field)).unwrap_or_default();
                self.plain_text(&field, &text);
                fields.set(field, Some(Value::Text(text)));
            }
        }
        if let Some(json) = members.get("address") {
            let before = match fields.get(&Field::Address) {
                Some(Value::Address(address)) => address.clone(),
                Some(Value::Text(_)) | None => Address::default(),
            };
            let address = self.address(json, before);
            fields.set(Field::Address, Some(Value::Address(address)));
        }
        if let Some(json) = members.get("metadata") {
            self.metadata(json, fields);
        }
    }

    /// The text of a string or null, checked for its length in characters.
    fn text(&mut self, name: &str, json: &Json, chars_max: usize) -> Option<String> {
        let text = match json {
            Json::Null => return None,
            Json::String(text) => text,
            Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                self.fault(name, format!("must be a string or null, but is {}", kind(json)));
                return None;
            }
        };
        let chars = text.chars().count();
        if chars > chars_max {
            let message = format!("must be at most {chars_max} characters, but has {chars}");
            self.fault(name, message);
        }
        if text.contains('\0') {
            self.fault(name, "must not contain the character NUL");
        }
        Some(text.clone())
    }

    fn plain_text(&mut self, field: &Field, text: &str) {
        if !text.is_empty() && text.trim().is_empty() {
            self.fault(field.to_string(), "must not be only white space; null or \"\" empties it");
        } else if *field == Field::Email && !text.is_empty() && !looks_like_email(text) {
            self.fault("email", "must look like local@domain, without white space");
        }
    }

    /// Country is any text: Stripe documents two letters, and keeps what else it is given too.
    fn address(&mut self, json: &Json, before: Address) -> Address {
        if json.is_null() {
            return Address::default();
        }
        let Some(members) = self.object("address", json) else { return before };
        for name in members.keys() {
            if !ADDRESS_PARTS.contains(&name.as_str()) {
                let known = ADDRESS_PARTS.join(", ");
                self.fault(format!("address.{name}"), format!("unknown part; known are {known}"));
            }
        }
        let mut address = before;
        for (part, name) in address.0.iter_mut().zip(ADDRESS_PARTS) {
            if let Some(json) = members.get(name) {
                let name = format!("address.{name}");
                *part = self.text(&name, json, ADDRESS_PART_CHARS_MAX).unwrap_or_default();
            }
        }
        address
    }

    fn metadata(&mut self, json: &Json, fields: &mut Fields) {
        if json.is_null() {
            let keys: Vec<_> = fields.metadata().map(|(key, _)| key.to_owned()).collect();
            for key in keys {
                fields.set(Field::Metadata(key), None);
            }
            return;
        }
        let Some(members) = self.object("metadata", json) else { return };
        for (key, json) in members {
            let name = format!("metadata.{key}");
            self.metadata_key(&name, key);
            let text = self.text(&name, json, METADATA_VALUE_CHARS_MAX).unwrap_or_default();
            fields.set(Field::Metadata(key.clone()), Some(Value::Text(text)));
        }
        let count = fields.metadata().count();
        if count > METADATA_KEYS_MAX {
            let message = format!("must have at most {METADATA_KEYS_MAX} keys, but has {count}");
            self.fault("metadata", message);
        }
    }

    fn metadata_key(&mut self, name: &str, key: &str) {
        let chars = key.chars().count();
        if key == CATALOG_ID || key == CATALOG_VERSION {
            self.fault(name, "this key is reserved: it ties the customer to its Stripe customer");
        } else if key.is_empty() {
            self.fault(name, "a key must not be empty");
        } else if chars > METADATA_KEY_CHARS_MAX {
            let limit = METADATA_KEY_CHARS_MAX;
            let message = format!("a key must be at most {limit} characters, but has {chars}");
            self.fault(name, message);
        }
        if key.contains(['[', ']', '\0']) {
            self.fault(name, "a key must not contain [ or ] or the character NUL");
        }
    }
}

fn chars_max(field: &Field) -> usize {
    match field {
        Field::Name => NAME_CHARS_MAX,
        Field::Email => EMAIL_CHARS_MAX,
        Field::Phone => PHONE_CHARS_MAX,
        Field::Description => DESCRIPTION_CHARS_MAX,
        Field::Address => ADDRESS_PART_CHARS_MAX,
        Field::Metadata(_) | Field::Stamp => METADATA_VALUE_CHARS_MAX,
    }
}

fn is_field(name: &str) -> bool {
    matches!(name, "name" | "email" | "phone" | "description" | "address" | "metadata")
}

/// Something before and something after the last `@`, one `@` outside quotes, no white space.
/// What is a mailbox only a mail server can say.
fn looks_like_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let quoted = local.len() > 1 && local.starts_with('"') && local.ends_with('"');
    !local.is_empty()
        && !domain.is_empty()
        && (quoted || !local.contains('@'))
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// What a JSON value is, in words.
fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
