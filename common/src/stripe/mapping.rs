//! A customer's fields as Stripe's params, and back from the params that Stripe names in errors.
//!
//! An address always goes out with all six parts, since Stripe may replace the whole of it;
//! metadata goes key by key, since Stripe merges it; an empty value clears.

use super::form::Params;
use crate::record::fields::{ADDRESS_PARTS, CATALOG_ID, CATALOG_VERSION};
use crate::record::{Field, Fields, Stamp, Value};

/// The body that creates a customer: its fields but those in `without`, the link and the stamp.
/// A function of its arguments alone: the same create has the same bytes whenever it is sent.
pub fn create_params(
    customer_id: &str,
    fields: &Fields,
    without: &[Field],
    stamp: &Stamp,
) -> Params {
    let mut params = Params::new();
    for (field, value) in fields.iter() {
        if !without.contains(field) {
            push(&mut params, field, Some(value));
        }
    }
    params.push((metadata(CATALOG_ID), customer_id.to_owned()));
    params.push((metadata(CATALOG_VERSION), stamp.to_string()));
    params
}

/// The body that brings these fields to a customer that is there, and the stamp with them.
/// No value clears a field. The link and the stamp, being no fields, go out even if nothing else
/// does: the link too, since people copy metadata from one customer to another.
pub fn update_params<'a>(
    customer_id: &str,
    pending: impl IntoIterator<Item = (&'a Field, Option<&'a Value>)>,
    stamp: &Stamp,
) -> Params {
    let mut params = Params::new();
    for (field, value) in pending {
        push(&mut params, field, value);
    }
    params.push((metadata(CATALOG_ID), customer_id.to_owned()));
    params.push((metadata(CATALOG_VERSION), stamp.to_string()));
    params
}

/// The field that a param brings, as Stripe names it in an error; `None` for what is no field.
pub fn field_of_param(param: &str) -> Option<Field> {
    let key_in = |object: &str| param.strip_prefix(object)?.strip_prefix('[')?.strip_suffix(']');
    if let Some(key) = key_in("metadata") {
        let is_ours = key == CATALOG_ID || key == CATALOG_VERSION || key.is_empty();
        return (!is_ours).then(|| Field::Metadata(key.to_owned()));
    }
    if let Some(part) = key_in("address") {
        return ADDRESS_PARTS.contains(&part).then_some(Field::Address);
    }
    match param {
        "name" => Some(Field::Name),
        "email" => Some(Field::Email),
        "phone" => Some(Field::Phone),
        "description" => Some(Field::Description),
        "address" => Some(Field::Address),
        _ => None,
    }
}

fn metadata(key: &str) -> String {
    format!("metadata[{key}]")
}

fn push(params: &mut Params, field: &Field, value: Option<&Value>) {
    let name = match field {
        Field::Name | Field::Email | Field::Phone | Field::Description | Field::Address => {
            field.to_string()
        }
        Field::Metadata(key) => metadata(key),
        Field::Stamp => return,
    };
    match value {
        Some(Value::Text(text)) => params.push((name, text.clone())),
        Some(Value::Address(address)) => {
            for (part, text) in address.parts() {
                params.push((format!("{name}[{part}]"), text.to_owned()));
            }
        }
        None => params.push((name, String::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stamp(text: &str) -> Stamp {
        text.parse().expect("a stamp")
    }

    fn lines(params: &Params) -> Vec<String> {
        params.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn a_create_carries_the_fields_the_link_and_the_stamp() {
        let fields = Fields::from_json(&json!({"name": "Ada", "email": "a@b.c", "phone": "+1",
            "address": {"country": "GB"}, "metadata": {"plan": "pro"}}));
        let params = create_params("cust_42", &fields, &[Field::Phone], &stamp("1 -phone"));
        let expected = [
            "name=Ada",
            "email=a@b.c",
            "address[line1]=",
            "address[line2]=",
            "address[city]=",
            "address[state]=",
            "address[postal_code]=",
            "address[country]=GB",
            "metadata[plan]=pro",
            "metadata[catalog_id]=cust_42",
            "metadata[catalog_version]=1 -phone",
        ];
        assert_eq!(lines(&params), expected);
    }

    #[test]
    fn an_update_clears_what_has_no_value_and_always_brings_the_stamp() {
        let pending = [Field::Email, Field::Address, Field::Metadata("k".into()), Field::Stamp];
        let pending = pending.iter().map(|field| (field, None));
        let params = update_params("cust_42", pending, &stamp("7"));
        let expected = [
            "email=",
            "address=",
            "metadata[k]=",
            "metadata[catalog_id]=cust_42",
            "metadata[catalog_version]=7",
        ];
        assert_eq!(lines(&params), expected);
    }

    #[test]
    fn a_param_names_its_field_and_no_other() {
        let cases = [
            ("email", Some(Field::Email)),
            ("address", Some(Field::Address)),
            ("address[country]", Some(Field::Address)),
            ("address[planet]", None),
            ("metadata[a.b]", Some(Field::Metadata("a.b".into()))),
            ("metadata[catalog_version]", None),
            ("metadata[catalog_id]", None),
            ("metadata[]", None),
            ("metadata", None),
            ("stamp", None),
            ("id", None),
            ("", None),
        ];
        for (param, field) in cases {
            assert_eq!(field_of_param(param), field, "{param}");
        }
    }
}
