//! A customer object: how parameters change it, and what an update changed. Pure: no clock, no
//! state. It must never keep what Stripe would refuse.

use serde_json::{Map, Value, json};

use crate::errors::ApiError;
use crate::form::{Form, Node};
use crate::params;

pub type Object = Map<String, Value>;

/// Plain texts that '' sets to null, and their longest length in characters.
const TEXTS: [(&str, usize); 4] =
    [("name", 256), ("email", 512), ("description", 5000), ("phone", 20)];
/// Texts that are absent from the object until they are set.
const NAMES: [&str; 2] = ["business_name", "individual_name"];
const NAME_CHARS_MAX: usize = 150;

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
                let email = params::text(node, param, 512)?;
                if !email.is_empty() && !params::is_email(email) {
                    return Err(ApiError::invalid(format!("Invalid email address: {email}"))
                        .code("email_invalid")
                        .param(param));
                }
                set(object, param, params::nullable(email));
            }
            "address" if node.is_empty_text() => set(object, param, Value::Null),
            "address" => {
                let old = object.get("address").filter(|_| merges).cloned();
                set(object, param, params::address(node, "address", old)?);
            }
            "shipping" if node.is_empty_text() => set(object, param, Value::Null),
            "shipping" => set(object, param, params::shipping(node)?),
            "metadata" => metadata(object, node)?,
            "balance" => set(object, param, json!(params::integer(node, param)?)),
            "next_invoice_sequence" => {
                let value = params::integer(node, param)?;
                if value < 1 {
                    return Err(ApiError::integer(param, &value.to_string()));
                }
                set(object, param, json!(value));
            }
            "invoice_prefix" => set(object, param, json!(params::invoice_prefix(node)?)),
            "tax_exempt" => {
                let value = params::one_of(node, param, &["", "none", "exempt", "reverse"])?;
                set(object, param, json!(if value.is_empty() { "none" } else { value }));
            }
            "preferred_locales" => set(object, param, params::locales(node)?),
            "invoice_settings" => {
                let kept = object.get(param).and_then(Value::as_object).cloned();
                let value = params::invoice_settings(kept.unwrap_or_default(), node)?;
                set(object, param, value);
            }
            "cash_balance" => params::cash_balance(node)?,
            "tax" => params::tax(node, call == Call::Create)?,
            "tax_id_data" => params::tax_id_data(node)?,
            "validate" => {
                params::one_of(node, param, &["true", "false"])?;
            }
            "payment_method" => return Err(params::absent(node, param, "PaymentMethod")?),
            "source" | "default_source" => return Err(params::absent(node, param, "source")?),
            "test_clock" => return Err(params::absent(node, param, "test clock")?),
            name => named_text(object, name, node)?,
        }
    }
    Ok(())
}

fn named_text(object: &mut Object, name: &str, node: &Node) -> Result<(), ApiError> {
    if NAMES.contains(&name) {
        let value = params::text(node, name, NAME_CHARS_MAX)?;
        if value.is_empty() {
            object.remove(name);
        } else {
            set(object, name, json!(value));
        }
    } else if let Some((_, chars_max)) = TEXTS.iter().find(|(text, _)| *text == name) {
        let value = params::nullable(params::text(node, name, *chars_max)?);
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

fn metadata(object: &mut Object, node: &Node) -> Result<(), ApiError> {
    if node.is_empty_text() {
        set(object, "metadata", json!({}));
        return Ok(());
    }
    let mut kept = match object.remove("metadata") {
        Some(Value::Object(kept)) => kept,
        _ => Object::new(),
    };
    let merged = params::merge_metadata(&mut kept, node.map("metadata")?);
    set(object, "metadata", Value::Object(kept));
    merged
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
