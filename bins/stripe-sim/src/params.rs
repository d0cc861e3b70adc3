//! What one parameter may hold: lengths, choices, members; and the value it becomes. Pure. It must
//! never be laxer than Stripe.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::customer::Object;
use crate::errors::ApiError;
use crate::form::{Node, only};

const ADDRESS_PARTS: [&str; 6] = ["line1", "line2", "city", "state", "postal_code", "country"];
/// What a text without a limit of its own may have.
const TEXT_CHARS_MAX: usize = 5000;
const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 40;
const METADATA_VALUE_CHARS_MAX: usize = 500;
const PREFIX_CHARS_MAX: usize = 12;
const CUSTOM_FIELDS_MAX: usize = 4;

pub fn nullable(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

pub fn text<'a>(node: &'a Node, param: &str, chars_max: usize) -> Result<&'a str, ApiError> {
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

pub fn integer(node: &Node, param: &str) -> Result<i64, ApiError> {
    let text = node.text(param)?;
    if text.is_empty() {
        return Err(ApiError::empty(param));
    }
    text.parse().map_err(|_| ApiError::integer(param, text))
}

pub fn one_of<'a>(node: &'a Node, param: &str, allowed: &[&str]) -> Result<&'a str, ApiError> {
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
pub fn is_email(text: &str) -> bool {
    let odd = text.chars().any(|c| c.is_whitespace() || c.is_control());
    let parts = text.rsplit_once('@');
    !odd && parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

pub fn address(node: &Node, param: &str, old: Option<Value>) -> Result<Value, ApiError> {
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

pub fn shipping(node: &Node) -> Result<Value, ApiError> {
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

pub fn merge_metadata(kept: &mut Object, given: &BTreeMap<String, Node>) -> Result<(), ApiError> {
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

pub fn invoice_prefix(node: &Node) -> Result<&str, ApiError> {
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

pub fn invoice_settings(mut kept: Object, node: &Node) -> Result<Value, ApiError> {
    let name = "invoice_settings";
    let map = node.map(name)?;
    only(map, &["custom_fields", "default_payment_method", "footer", "rendering_options"], name)?;
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
    Ok(Value::Object(kept))
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

pub fn cash_balance(node: &Node) -> Result<(), ApiError> {
    let map = node.map("cash_balance")?;
    only(map, &["settings"], "cash_balance")?;
    let Some(settings) = map.get("settings") else { return Ok(()) };
    let name = "cash_balance[settings]";
    let settings = settings.map(name)?;
    only(settings, &["reconciliation_mode"], name)?;
    if let Some(mode) = settings.get("reconciliation_mode") {
        let name = "cash_balance[settings][reconciliation_mode]";
        one_of(mode, name, &["automatic", "manual", "merchant_default"])?;
    }
    Ok(())
}

pub fn locales(node: &Node) -> Result<Value, ApiError> {
    let mut locales = Vec::new();
    if !node.is_empty_text() {
        for item in node.list("preferred_locales")? {
            locales.push(json!(text(item, "preferred_locales", TEXT_CHARS_MAX)?));
        }
    }
    Ok(Value::Array(locales))
}

pub fn tax(node: &Node, create: bool) -> Result<(), ApiError> {
    let map = node.map("tax")?;
    only(map, &["ip_address", "validate_location"], "tax")?;
    if let Some(ip) = map.get("ip_address") {
        let value = ip.text("tax[ip_address]")?;
        if !value.is_empty() && value.parse::<std::net::IpAddr>().is_err() {
            return Err(ApiError::invalid("Invalid IP address.").param("tax[ip_address]"));
        }
    }
    if let Some(when) = map.get("validate_location") {
        let allowed: &[&str] = if create {
            &["deferred", "immediately"]
        } else {
            &["auto", "deferred", "immediately"]
        };
        one_of(when, "tax[validate_location]", allowed)?;
    }
    Ok(())
}

pub fn tax_id_data(node: &Node) -> Result<(), ApiError> {
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
pub fn absent(node: &Node, param: &str, what: &str) -> Result<ApiError, ApiError> {
    let id = node.text(param)?;
    Ok(if id.is_empty() { ApiError::empty(param) } else { ApiError::missing(400, what, id, param) })
}
