//! A customer object: how parameters change it, and what an update changed. Pure: no clock, no
//! state. It must never keep what Stripe would refuse.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::errors::ApiError;
use crate::form::{Form, Node, only};

pub type Object = Map<String, Value>;

/// Plain texts that '' sets to null, and their longest length in characters.
const TEXTS: [(&str, usize); 4] =
    [("name", 256), ("email", 512), ("description", 5000), ("phone", 20)];
/// Texts that are absent from the object until they are set.
const NAMES: [&str; 2] = ["business_name", "individual_name"];
const NAME_CHARS_MAX: usize = 150;
const ADDRESS_PARTS: [&str; 6] = ["line1", "line2", "city", "state", "postal_code", "country"];
/// What a text without a limit of its own may have.
const TEXT_CHARS_MAX: usize = 5000;
const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 40;
const METADATA_VALUE_CHARS_MAX: usize = 500;
const PREFIX_CHARS_MAX: usize = 12;
const CUSTOM_FIELDS_MAX: usize = 4;

/// Taken by create and update.
const PARAMS: [&str; 20] = [
    "address",
    "balance",
    "business_name",
    "cash_balance",
    "description",
    "email",
    "expand",
    "individual_name",
    "invoice_prefix",
    "invoice_settings",
    "metadata",
    "name",
    "next_invoice_sequence",
    "phone",
    "preferred_locales",
    "shipping",
    "source",
    "tax",
    "tax_exempt",
    "validate",
];
const PARAMS_CREATE: [&str; 3] = ["payment_method", "tax_id_data", "test_clock"];
const PARAMS_UPDATE: [&str; 1] = ["default_source"];

/// Expandable members: the first ones are shown only when asked for.
const EXPAND: [&str; 8] = [
    "cash_balance",
    "sources",
    "subscriptions",
    "tax",
    "tax_ids",
    "default_source",
    "test_clock",
    "invoice_settings.default_payment_method",
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Call {
    Create,
    Update {
        /// Parts of `address` that are not sent stay. Stripe's own rule is not documented, so
        /// that both can be tried.
        address_merges: bool,
    },
}

/// A customer as it is before any parameter is applied.
pub fn blank(id: &str, created_s: i64, invoice_prefix: &str) -> Object {
    let object = json!({
        "id": id,
        "object": "customer",
        "address": null,
        "balance": 0,
        "created": created_s,
        "currency": null,
        "default_source": null,
        "delinquent": false,
        "description": null,
        "discount": null,
        "email": null,
        "invoice_prefix": invoice_prefix,
        "invoice_settings": {
            "custom_fields": null,
            "default_payment_method": null,
            "footer": null,
            "rendering_options": null,
        },
        "livemode": false,
        "metadata": {},
        "name": null,
        "next_invoice_sequence": 1,
        "phone": null,
        "preferred_locales": [],
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": null,
    });
    match object {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// Applies a request's parameters, or says which one Stripe refuses.
pub fn apply(object: &mut Object, form: &Form, call: Call) -> Result<(), ApiError> {
    let own: &[&str] = if call == Call::Create { &PARAMS_CREATE } else { &PARAMS_UPDATE };
    form.only(&[&PARAMS[..], own].concat())?;
    check_expand(form, "")?;
    let merges = matches!(call, Call::Update { address_merges: true });
    for (param, node) in &form.root {
        match param.as_str() {
            "email" => {
                let email = text(node, param, 512)?;
                if !email.is_empty() && !is_email(email) {
                    return Err(ApiError::invalid(format!("Invalid email address: {email}"))
                        .code("email_invalid")
                        .param(param));
                }
                set(object, param, nullable(email));
            }
            "address" if node.is_empty_text() => set(object, param, Value::Null),
            "address" => {
                let old = object.get("address").filter(|_| merges).cloned();
                set(object, param, address(node, "address", old)?);
            }
            "shipping" if node.is_empty_text() => set(object, param, Value::Null),
            "shipping" => set(object, param, shipping(node)?),
            "metadata" => metadata(object, node)?,
            "balance" => set(object, param, json!(integer(node, param)?)),
            "next_invoice_sequence" => {
                let value = integer(node, param)?;
                if value < 1 {
                    return Err(ApiError::integer(param, &value.to_string()));
                }
                set(object, param, json!(value));
            }
            "invoice_prefix" => set(object, param, json!(invoice_prefix(node)?)),
            "tax_exempt" => {
                let value = one_of(node, param, &["", "none", "exempt", "reverse"])?;
                set(object, param, json!(if value.is_empty() { "none" } else { value }));
            }
            "preferred_locales" => {
                let mut locales = Vec::new();
                if !node.is_empty_text() {
                    for item in node.list(param)? {
                        locales.push(json!(text(item, param, TEXT_CHARS_MAX)?));
                    }
                }
                set(object, param, Value::Array(locales));
            }
            "invoice_settings" => invoice_settings(object, node)?,
            "cash_balance" => {
                let map = node.map(param)?;
                only(map, &["settings"], param)?;
                if let Some(settings) = map.get("settings") {
                    let name = "cash_balance[settings]";
                    let settings = settings.map(name)?;
                    only(settings, &["reconciliation_mode"], name)?;
                    if let Some(mode) = settings.get("reconciliation_mode") {
                        let name = "cash_balance[settings][reconciliation_mode]";
                        one_of(mode, name, &["automatic", "manual", "merchant_default"])?;
                    }
                }
            }
            "tax" => tax(node, call)?,
            "tax_id_data" => tax_id_data(node)?,
            "validate" => {
                one_of(node, param, &["true", "false"])?;
            }
            "payment_method" => return Err(absent(node, param, "PaymentMethod")?),
            "source" | "default_source" => return Err(absent(node, param, "source")?),
            "test_clock" => return Err(absent(node, param, "test clock")?),
            name => named_text(object, name, node)?,
        }
    }
    Ok(())
}

fn named_text(object: &mut Object, name: &str, node: &Node) -> Result<(), ApiError> {
    if NAMES.contains(&name) {
        let value = text(node, name, NAME_CHARS_MAX)?;
        if value.is_empty() {
            object.remove(name);
        } else {
            set(object, name, json!(value));
        }
    } else if let Some((_, chars_max)) = TEXTS.iter().find(|(text, _)| *text == name) {
        let value = nullable(text(node, name, *chars_max)?);
        set(object, name, value);
    }
    Ok(())
}

/// Refuses `expand[]` of members that cannot be expanded; `prefix` is `data.` in lists.
pub fn check_expand(form: &Form, prefix: &str) -> Result<(), ApiError> {
    let Some(node) = form.root.get("expand") else { return Ok(()) };
    for item in node.list("expand")? {
        let path = item.text("expand")?;
        let known = path.strip_prefix(prefix).is_some_and(|name| EXPAND.contains(&name));
        if !known {
            return Err(ApiError::invalid(format!("This property cannot be expanded ({path})."))
                .param("expand"));
        }
    }
    Ok(())
}

/// Adds what `expand[]` asks for; nothing in the simulator can be in those lists.
pub fn expand(object: &mut Object, form: &Form, prefix: &str) {
    let Some(Ok(items)) = form.root.get("expand").map(|node| node.list("expand")) else { return };
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    for item in items {
        let Node::Text(path) = item else { continue };
        let Some(name) = path.strip_prefix(prefix) else { continue };
        let value = match name {
            "sources" | "subscriptions" | "tax_ids" => json!({
                "object": "list", "data": [], "has_more": false,
                "url": format!("/v1/customers/{id}/{name}"),
            }),
            "tax" => json!({
                "automatic_tax": "unrecognized_location", "ip_address": null, "location": null,
                "provider": "stripe",
            }),
            "cash_balance" => json!({
                "object": "cash_balance", "available": null, "customer": id, "livemode": false,
                "customer_account": null,
                "settings": {"reconciliation_mode": "automatic", "using_merchant_default": true},
            }),
            _ => continue,
        };
        object.insert(name.to_owned(), value);
    }
}

/// `previous_attributes`: the members that changed, with their old values; of hashes only the
/// members that changed, a new one as null; arrays whole.
pub fn previous_attributes(old: &Object, new: &Object) -> Object {
    let mut previous = Object::new();
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let was = old.get(name).unwrap_or(&Value::Null);
        let is = new.get(name).unwrap_or(&Value::Null);
        if was == is {
            continue;
        }
        let value = match (was, is) {
            (Value::Object(was), Value::Object(is)) => Value::Object(previous_attributes(was, is)),
            _ => was.clone(),
        };
        previous.insert(name.clone(), value);
    }
    previous
}

fn set(object: &mut Object, name: &str, value: Value) {
    object.insert(name.to_owned(), value);
}

fn nullable(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn text<'a>(node: &'a Node, param: &str, chars_max: usize) -> Result<&'a str, ApiError> {
    let text = node.text(param)?;
    if text.chars().count() > chars_max {
        let start: String = text.chars().take(8).collect();
        return Err(ApiError::invalid(format!(
            "Invalid string: {start}...; must be at most {chars_max} characters"
        ))
        .param(param));
    }
    Ok(text)
}

fn integer(node: &Node, param: &str) -> Result<i64, ApiError> {
    let text = node.text(param)?;
    if text.is_empty() {
        return Err(ApiError::empty(param));
    }
    text.parse().map_err(|_| ApiError::integer(param, text))
}

fn one_of<'a>(node: &'a Node, param: &str, allowed: &[&str]) -> Result<&'a str, ApiError> {
    let value = node.text(param)?;
    if allowed.contains(&value) {
        return Ok(value);
    }
    if value.is_empty() {
        return Err(ApiError::empty(param));
    }
    let names: Vec<_> = allowed.iter().filter(|name| !name.is_empty()).copied().collect();
    let names = names.join(", ");
    Err(ApiError::invalid(format!("Invalid {param}: must be one of {names}")).param(param))
}

/// One sign, something before it, something after it: more than that Stripe does not promise.
fn is_email(text: &str) -> bool {
    let odd = text.chars().any(|c| c.is_whitespace() || c.is_control());
    let parts = text.rsplit_once('@');
    !odd && parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

fn address(node: &Node, param: &str, old: Option<Value>) -> Result<Value, ApiError> {
    let map = node.map(param)?;
    only(map, &ADDRESS_PARTS, param)?;
    let mut out = match old {
        Some(Value::Object(old)) => old,
        _ => ADDRESS_PARTS.iter().map(|part| ((*part).to_owned(), Value::Null)).collect(),
    };
    for (part, node) in map {
        let name = format!("{param}[{part}]");
        out.insert(part.clone(), nullable(text(node, &name, TEXT_CHARS_MAX)?));
    }
    Ok(Value::Object(out))
}

fn shipping(node: &Node) -> Result<Value, ApiError> {
    let map = node.map("shipping")?;
    only(map, &["name", "address", "phone"], "shipping")?;
    let required = |member: &str| {
        let param = format!("shipping[{member}]");
        match map.get(member) {
            None => Err(ApiError::missing_param(&param)),
            Some(node) if node.is_empty_text() => Err(ApiError::empty(&param)),
            Some(node) => Ok(node),
        }
    };
    let name = text(required("name")?, "shipping[name]", TEXT_CHARS_MAX)?;
    let address = address(required("address")?, "shipping[address]", None)?;
    let phone = match map.get("phone") {
        Some(node) => nullable(text(node, "shipping[phone]", TEXT_CHARS_MAX)?),
        None => Value::Null,
    };
    Ok(json!({ "address": address, "name": name, "phone": phone }))
}

fn metadata(object: &mut Object, node: &Node) -> Result<(), ApiError> {
    if node.is_empty_text() {
        set(object, "metadata", json!({}));
        return Ok(());
    }
    let mut kept = match object.remove("metadata") {
        Some(Value::Object(kept)) => kept,
        _ => Object::new(),
    };
    let merged = merge_metadata(&mut kept, node.map("metadata")?);
    set(object, "metadata", Value::Object(kept));
    merged
}

fn merge_metadata(kept: &mut Object, given: &BTreeMap<String, Node>) -> Result<(), ApiError> {
    for (key, node) in given {
        let param = format!("metadata[{key}]");
        let length = key.chars().count();
        if length > METADATA_KEY_CHARS_MAX {
            return Err(ApiError::invalid(format!(
                "Metadata keys can have up to {METADATA_KEY_CHARS_MAX} characters, but you \
                 passed in a key that is {length} characters."
            ))
            .param(&param));
        }
        let value = node.text(&param)?;
        let length = value.chars().count();
        if length > METADATA_VALUE_CHARS_MAX {
            return Err(ApiError::invalid(format!(
                "Metadata values can have up to {METADATA_VALUE_CHARS_MAX} characters, but you \
                 passed in a value that is {length} characters."
            ))
            .param(&param));
        }
        if value.is_empty() {
            kept.remove(key);
        } else {
            kept.insert(key.clone(), json!(value));
        }
    }
    if kept.len() > METADATA_KEYS_MAX {
        return Err(ApiError::invalid(format!(
            "You can have up to {METADATA_KEYS_MAX} metadata keys, but this object would have {}.",
            kept.len()
        ))
        .param("metadata"));
    }
    Ok(())
}

fn invoice_prefix(node: &Node) -> Result<&str, ApiError> {
    let prefix = node.text("invoice_prefix")?;
    if prefix.is_empty() {
        return Err(ApiError::empty("invoice_prefix"));
    }
    let right = prefix.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if !right || prefix.len() > PREFIX_CHARS_MAX {
        return Err(ApiError::invalid(format!(
            "Invoice prefixes must be 1-{PREFIX_CHARS_MAX} uppercase letters or numbers."
        ))
        .param("invoice_prefix"));
    }
    Ok(prefix)
}

fn invoice_settings(object: &mut Object, node: &Node) -> Result<(), ApiError> {
    let name = "invoice_settings";
    let map = node.map(name)?;
    only(map, &["custom_fields", "default_payment_method", "footer", "rendering_options"], name)?;
    let mut kept = object.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    for (member, node) in map {
        let param = format!("{name}[{member}]");
        let value = match member.as_str() {
            "default_payment_method" if !node.is_empty_text() => {
                return Err(absent(node, &param, "PaymentMethod")?);
            }
            _ if node.is_empty_text() => Value::Null,
            "footer" => json!(text(node, &param, TEXT_CHARS_MAX)?),
            "custom_fields" => custom_fields(node, &param)?,
            _ => {
                let map = node.map(&param)?;
                only(map, &["amount_tax_display", "template"], &param)?;
                let allowed = ["", "exclude_tax", "include_inclusive_tax"];
                let display = match map.get("amount_tax_display") {
                    Some(node) => nullable(one_of(node, &param, &allowed)?),
                    None => Value::Null,
                };
                json!({ "amount_tax_display": display, "template": null })
            }
        };
        kept.insert(member.clone(), value);
    }
    set(object, name, Value::Object(kept));
    Ok(())
}

fn custom_fields(node: &Node, param: &str) -> Result<Value, ApiError> {
    let mut fields = Vec::new();
    for (index, item) in node.list(param)?.into_iter().enumerate() {
        let param = format!("{param}[{index}]");
        let map = item.map(&param)?;
        only(map, &["name", "value"], &param)?;
        let member = |name: &str, chars_max| {
            let param = format!("{param}[{name}]");
            let node = map.get(name).ok_or_else(|| ApiError::missing_param(&param))?;
            text(node, &param, chars_max).map(ToOwned::to_owned)
        };
        fields.push(json!({ "name": member("name", 40)?, "value": member("value", 140)? }));
    }
    if fields.len() > CUSTOM_FIELDS_MAX {
        return Err(ApiError::invalid("You can have up to 4 custom fields.").param(param));
    }
    Ok(Value::Array(fields))
}

fn tax(node: &Node, call: Call) -> Result<(), ApiError> {
    let map = node.map("tax")?;
    only(map, &["ip_address", "validate_location"], "tax")?;
    if let Some(ip) = map.get("ip_address") {
        let value = ip.text("tax[ip_address]")?;
        if !value.is_empty() && value.parse::<std::net::IpAddr>().is_err() {
            return Err(ApiError::invalid("Invalid IP address.").param("tax[ip_address]"));
        }
    }
    if let Some(when) = map.get("validate_location") {
        let allowed: &[&str] = match call {
            Call::Create => &["deferred", "immediately"],
            Call::Update { .. } => &["auto", "deferred", "immediately"],
        };
        one_of(when, "tax[validate_location]", allowed)?;
    }
    Ok(())
}

fn tax_id_data(node: &Node) -> Result<(), ApiError> {
    for (index, item) in node.list("tax_id_data")?.into_iter().enumerate() {
        let param = format!("tax_id_data[{index}]");
        let map = item.map(&param)?;
        only(map, &["type", "value"], &param)?;
        for member in ["type", "value"] {
            let param = format!("{param}[{member}]");
            let node = map.get(member).ok_or_else(|| ApiError::missing_param(&param))?;
            if text(node, &param, TEXT_CHARS_MAX)?.is_empty() {
                return Err(ApiError::empty(&param));
            }
        }
    }
    Ok(())
}

/// There are no payment methods, sources or test clocks here, so that none can be named.
fn absent(node: &Node, param: &str, what: &str) -> Result<ApiError, ApiError> {
    let id = node.text(param)?;
    Ok(if id.is_empty() { ApiError::empty(param) } else { ApiError::missing(400, what, id, param) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on has failed
mod tests {
    use super::*;

    const UPDATE: Call = Call::Update { address_merges: false };

    fn form(text: &str) -> Form {
        let mut form = Form::default();
        form.add(text.as_bytes()).unwrap();
        form
    }

    fn create(text: &str) -> Result<Object, ApiError> {
        let mut object = blank("cus_1", 1, "ABC");
        apply(&mut object, &form(text), Call::Create).map(|()| object)
    }

    #[test]
    fn what_stripe_refuses_is_refused_with_code_and_param() {
        let long = |chars: usize| "x".repeat(chars);
        for (text, code, param) in [
            ("nope=1".to_owned(), Some("parameter_unknown"), "nope"),
            ("id=cus_mine".to_owned(), Some("parameter_unknown"), "id"),
            ("default_source=x".to_owned(), Some("parameter_unknown"), "default_source"),
            ("address[foo]=x".to_owned(), Some("parameter_unknown"), "address[foo]"),
            ("email=ada".to_owned(), Some("email_invalid"), "email"),
            ("email=@x".to_owned(), Some("email_invalid"), "email"),
            ("email=a b@x".replace(' ', "+"), Some("email_invalid"), "email"),
            (format!("name={}", long(257)), None, "name"),
            (format!("phone={}", long(21)), None, "phone"),
            (format!("email=a@{}", long(511)), None, "email"),
            (format!("description={}", long(5001)), None, "description"),
            (format!("business_name={}", long(151)), None, "business_name"),
            (format!("metadata[{}]=x", "k".repeat(41)), None, ""),
            (format!("metadata[k]={}", long(501)), None, "metadata[k]"),
            ("metadata[a][b]=x".to_owned(), None, "metadata[a]"),
            ("metadata=x".to_owned(), None, "metadata"),
            ("name[x]=y".to_owned(), None, "name"),
            ("address=Street 1".replace(' ', "+"), None, "address"),
            ("shipping[address][line1]=x".to_owned(), Some("parameter_missing"), "shipping[name]"),
            ("shipping[name]=x".to_owned(), Some("parameter_missing"), "shipping[address]"),
            ("balance=1.5".to_owned(), Some("parameter_invalid_integer"), "balance"),
            ("balance=".to_owned(), Some("parameter_invalid_empty"), "balance"),
            ("tax_exempt=maybe".to_owned(), None, "tax_exempt"),
            ("invoice_prefix=abc".to_owned(), None, "invoice_prefix"),
            ("expand[]=nope".to_owned(), None, "expand"),
            ("source=tok_1".to_owned(), Some("resource_missing"), "source"),
        ] {
            let error = create(&text).unwrap_err();
            assert_eq!((error.status, error.code.as_deref()), (400, code), "{text:.60}");
            if !param.is_empty() {
                assert_eq!(error.param.as_deref(), Some(param), "{text:.60}");
            }
        }
    }

    #[test]
    fn limits_count_characters_and_the_longest_is_taken() {
        let name = "%C3%A9".repeat(256);
        assert!(create(&format!("name={name}&phone={}", "1".repeat(20))).is_ok());
        let fifty: Vec<_> = (0..50).map(|n| format!("metadata[k{n}]=v")).collect();
        assert!(create(&fifty.join("&")).is_ok());
        let error = create(&format!("{}&metadata[more]=v", fifty.join("&"))).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("metadata"));
    }

    #[test]
    fn an_empty_text_clears_and_metadata_merges_key_by_key() {
        let mut object = create("name=Ada&email=a@b&phone=1&metadata[a]=1&metadata[b]=2").unwrap();
        apply(&mut object, &form("name=&phone=&metadata[a]=&metadata[c]=3"), UPDATE).unwrap();
        assert_eq!(object["name"], Value::Null);
        assert_eq!(object["phone"], Value::Null);
        assert_eq!(object["email"], json!("a@b"));
        assert_eq!(object["metadata"], json!({"b": "2", "c": "3"}));
        apply(&mut object, &form("metadata="), UPDATE).unwrap();
        assert_eq!(object["metadata"], json!({}));
    }

    #[test]
    fn an_address_is_replaced_or_merged_as_configured() {
        let object = create("address[line1]=a&address[city]=b").unwrap();
        for (address_merges, city) in [(false, Value::Null), (true, json!("b"))] {
            let mut object = object.clone();
            let call = Call::Update { address_merges };
            apply(&mut object, &form("address[line1]=c"), call).unwrap();
            assert_eq!(object["address"]["line1"], json!("c"));
            assert_eq!(object["address"]["city"], city);
            apply(&mut object, &form("address="), call).unwrap();
            assert_eq!(object["address"], Value::Null);
        }
    }

    #[test]
    fn previous_attributes_hold_only_what_changed() {
        let old = create("name=Ada&metadata[a]=1&metadata[b]=2&address[line1]=x").unwrap();
        let mut new = old.clone();
        apply(
            &mut new,
            &form("name=Eve&metadata[a]=9&metadata[c]=3&phone=1&business_name=Co"),
            UPDATE,
        )
        .unwrap();
        assert_eq!(
            Value::Object(previous_attributes(&old, &new)),
            json!({"name": "Ada", "phone": null, "business_name": null,
                   "metadata": {"a": "1", "c": null}})
        );
        let mut gone = old.clone();
        apply(&mut gone, &form("address=&preferred_locales[0]=de"), UPDATE).unwrap();
        let previous = previous_attributes(&old, &gone);
        assert_eq!(previous["address"], old["address"]);
        assert_eq!(previous["preferred_locales"], json!([]));
        assert!(previous_attributes(&old, &old).is_empty());
    }
}
