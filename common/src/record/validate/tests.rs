use super::*;
use serde_json::json;

/// The fields that a `POST` of this body is refused for.
fn refused(body: &Json) -> Vec<String> {
    match new_customer(body) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|fault| fault.field).collect(),
    }
}

#[test]
fn what_is_at_the_limit_is_taken_and_what_is_beyond_is_named() {
    let text = |chars: usize| "é".repeat(chars);
    let email = |chars: usize| format!("{}@x.y", "a".repeat(chars - 4));
    let keys = |count: usize| -> Json {
        (0..count).map(|n| (format!("k{n}"), json!("v"))).collect::<Map<_, _>>().into()
    };
    let long_key = |chars: usize| -> Json {
        [(text(chars), json!("v"))].into_iter().collect::<Map<_, _>>().into()
    };
    for (body, field) in [
        (json!({"name": text(256)}), None),
        (json!({"name": text(257)}), Some("name")),
        (json!({"email": email(512)}), None),
        (json!({"email": email(513)}), Some("email")),
        (json!({"name": "a", "phone": text(20)}), None),
        (json!({"name": "a", "phone": text(21)}), Some("phone")),
        (json!({"name": "a", "description": text(5000)}), None),
        (json!({"name": "a", "description": text(5001)}), Some("description")),
        (json!({"name": "a", "address": {"city": text(5000)}}), None),
        (json!({"name": "a", "address": {"city": text(5001)}}), Some("address.city")),
        (json!({"name": "a", "metadata": keys(48)}), None),
        (json!({"name": "a", "metadata": keys(49)}), Some("metadata")),
        (json!({"name": "a", "metadata": long_key(40)}), None),
        (json!({"name": "a", "metadata": {"k": text(500)}}), None),
        (json!({"name": "a", "metadata": {"k": text(501)}}), Some("metadata.k")),
    ] {
        assert_eq!(refused(&body).first().map(String::as_str), field);
    }
    assert_eq!(refused(&json!({"name": "a", "metadata": long_key(41)})).len(), 1);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let body = json!({"id": "cus_1", "name": 5, "email": "x", "phone": ["1"], "fax": "1",
        "version": 3, "address": {"zip": "1", "city": 2},
        "metadata": {"a": 1, "b[c]": "x", "": "x", "catalog_id": "x", "catalog_version": "1"}});
    let mut fields = refused(&body);
    fields.sort();
    assert_eq!(
        fields,
        [
            "address.city",
            "address.zip",
            "email",
            "fax",
            "id",
            "metadata.",
            "metadata.a",
            "metadata.b[c]",
            "metadata.catalog_id",
            "metadata.catalog_version",
            "name",
            "phone",
            "version"
        ]
    );
}

#[test]
fn a_customer_needs_a_name_or_an_email() {
    for body in [json!({}), json!({"name": "", "email": null}), json!({"phone": "1"})] {
        assert_eq!(refused(&body), ["name"], "{body}");
    }
    for body in [json!({"name": " "}), json!({"name": "a\0b"})] {
        assert_eq!(refused(&body), ["name"], "{body}");
    }
    for body in [json!([]), json!(null), json!("x"), json!(1)] {
        assert_eq!(refused(&body), ["body"], "{body}");
    }
    assert!(refused(&json!({"email": "a@b"})).is_empty());
}

#[test]
fn an_email_looks_like_local_at_domain() {
    for good in ["a@b", "ada@example.com", "\"a@b\"@c", "ü@ü.de", "a+b@c"] {
        assert!(looks_like_email(good), "{good}");
    }
    for bad in ["", "@", "a@", "@b", "a", "a b@c", "a@b c", "a@b@c", "a@b\n"] {
        assert!(!looks_like_email(bad), "{bad}");
    }
}

#[test]
fn an_id_is_plain_and_never_stripes() {
    for good in ["a", "A.b_c-9", "x".repeat(100).as_str(), "019a-b"] {
        assert!(check_id(good).is_ok(), "{good}");
    }
    for bad in ["", ".", "..", "a b", "a/b", "é", "cus_1", "x".repeat(101).as_str()] {
        assert!(check_id(bad).is_err(), "{bad}");
    }
    assert!(refused(&json!({"name": "a", "id": null})).is_empty());
    assert_eq!(refused(&json!({"name": "a", "id": 5})), ["id"]);
}

#[test]
fn a_merge_patch_changes_what_it_names_and_null_empties() {
    let before = Fields::from_json(&json!({"name": "Ada", "email": "a@b", "phone": "1",
        "address": {"line1": "x", "city": "y"}, "metadata": {"a": "1", "b": "2"}}));
    let patch = json!({"name": "Eve", "phone": null, "address": {"city": null, "country": "GB"},
        "metadata": {"a": null, "c": "3"}});
    let after = patched("i", &patch, &before).expect("fine");
    let expected = Fields::from_json(&json!({"name": "Eve", "email": "a@b",
        "address": {"line1": "x", "country": "GB"}, "metadata": {"b": "2", "c": "3"}}));
    assert_eq!(after, expected);
    let emptied = patched("i", &json!({"metadata": null, "address": null}), &before);
    let emptied = emptied.expect("fine");
    assert_eq!(emptied.metadata().count(), 0);
    assert!(emptied.get(&Field::Address).is_none());
    assert_eq!(patched("i", &json!({}), &before).expect("nothing"), before);
    assert!(patched("i", &json!({"id": "j"}), &before).is_err());
    assert!(patched("i", &json!({"id": "i"}), &before).is_ok());
}

#[test]
fn a_patch_cannot_add_metadata_beyond_the_limit() {
    let many: Map<_, _> = (0..48).map(|n| (format!("k{n}"), json!("v"))).collect();
    let before = Fields::from_json(&json!({"name": "a", "metadata": many}));
    assert!(patched("i", &json!({"metadata": {"new": "1"}}), &before).is_err());
    assert!(patched("i", &json!({"metadata": {"new": "1", "k0": null}}), &before).is_ok());
}

#[test]
fn what_was_got_can_be_put_back() {
    let body = json!({"id": "i", "name": "a", "email": null, "phone": null, "description": null,
        "address": null, "metadata": {}, "version": 3, "created_at": "x", "updated_at": "y",
        "sync": {"stripe": {}}});
    assert!(replacement("i", &body).is_ok());
    assert!(replacement("j", &body).is_err());
    assert!(new_customer(&body).is_err());
}
