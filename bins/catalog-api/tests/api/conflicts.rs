//! Conflicts, as `hook-to-catalog` leaves them in the file: shown, restored, dismissed.

use std::path::Path;

use common::record::validate::METADATA_KEYS_MAX;
use common::record::{Field, Fields, STRIPE, Value};
use common::store::Store;
use common::sync::Conflict;
use serde_json::{Value as Json, json};

use crate::support::{Api, folder};

fn note(folder: &Path, customer: &str, field: &Field, theirs: Option<Value>) {
    let conflict = Conflict {
        field: field.clone(),
        ours: Some(Value::Text("ours".into())),
        ours_version: 1,
        theirs,
        theirs_at: 1_795_341_600,
        theirs_stamp: 0,
    };
    let mut store = Store::open(&folder.join("db.sqlite3")).expect("opens");
    let noted = store.write(|tx| tx.conflict_add(customer, STRIPE, &conflict, 1_795_341_601_000));
    noted.expect("notes");
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn ids(conflicts: &Json) -> Vec<i64> {
    let conflicts = conflicts.as_array().expect("an array");
    conflicts.iter().map(|conflict| conflict["id"].as_i64().expect("a number")).collect()
}

#[test]
fn the_losing_value_is_put_back_as_an_edit_or_let_go() {
    let folder = folder();
    let api = Api::start(folder.path());
    api.json("POST", "/customers", &json!({"id": "c", "name": "ours", "phone": "1"}));
    api.line();
    note(folder.path(), "c", &Field::Name, Some(text("theirs")));
    note(folder.path(), "c", &Field::Phone, None);
    let shown = api.get("/customers/c/conflicts").json();
    assert_eq!(
        shown[0],
        json!({"id": 1, "customer": "c", "system": "stripe", "field": "name",
            "ours": {"value": "ours", "version": 1, "at": shown[0]["ours"]["at"]},
            "theirs": {"value": "theirs", "at": "2026-11-22T10:00:00.000Z"}, "winner": "ours",
            "noted_at": "2026-11-22T10:00:01.000Z", "settled_at": null})
    );
    assert!(shown[0]["ours"]["at"].is_string());
    assert_eq!(shown[1]["theirs"]["value"], Json::Null);

    let post = |path: &str, headers: &[(&str, &str)]| api.call("POST", path, headers, "");
    let restore = "/customers/c/conflicts/1/restore";
    assert_eq!(post(restore, &[("If-Match", "\"7\"")]).status, 412);
    let restored = post(restore, &[("If-Match", "\"1\"")]);
    assert_eq!((restored.status, restored.header("etag")), (200, "\"2\""));
    assert_eq!(restored.json()["name"], "theirs");
    let line = api.line();
    assert_eq!(
        (&line["data"]["changed"], &line["data"]["origin"]),
        (&json!(["name"]), &json!("api"))
    );
    assert_eq!(post(restore, &[]).status, 409);
    assert_eq!(post("/customers/c/conflicts/2/dismiss", &[]).status, 204);
    assert_eq!(post("/customers/c/conflicts/2/dismiss", &[]).status, 409);
    assert_eq!(post("/customers/c/conflicts/2/restore", &[]).status, 409);
    assert_eq!(api.get("/customers/c").json()["phone"], "1");
    assert_eq!(api.get("/customers/c/conflicts").body, "[]");
    let settled = api.get("/customers/c/conflicts?settled=true").json();
    assert_eq!(ids(&settled), [1, 2]);
    assert!(settled[0]["settled_at"].is_string());
    assert!(api.no_line());
}

#[test]
fn a_restored_null_empties_the_field_and_an_equal_value_makes_no_version() {
    let folder = folder();
    let api = Api::start(folder.path());
    let made = json!({"id": "c", "name": "ours", "phone": "1", "metadata": {"k": "v"}});
    api.json("POST", "/customers", &made);
    note(folder.path(), "c", &Field::Phone, None);
    note(folder.path(), "c", &Field::Metadata("k".into()), Some(text("v")));
    let address = Fields::from_json(&json!({"address": {"city": "Rome"}}));
    note(folder.path(), "c", &Field::Address, address.get(&Field::Address).cloned());
    let restore =
        |n: u32| api.call("POST", &format!("/customers/c/conflicts/{n}/restore"), &[], "");
    assert_eq!(restore(1).json()["phone"], Json::Null);
    assert_eq!(restore(2).header("etag"), "\"2\"");
    assert_eq!(restore(3).json()["address"]["city"], "Rome");
}

#[test]
fn conflicts_of_all_customers_come_in_pages_and_as_a_stream() {
    let folder = folder();
    let api = Api::start(folder.path());
    for id in ["a", "b"] {
        api.json("POST", "/customers", &json!({"id": id, "name": "ours"}));
    }
    for n in 0..7 {
        let theirs = Some(text(&format!("theirs {n}")));
        // Another sign of the same edit is no second conflict.
        for _ in 0..2 {
            note(folder.path(), ["a", "b"][n % 2], &Field::Name, theirs.clone());
        }
    }
    api.call("POST", "/customers/a/conflicts/3/dismiss", &[], "");
    let (mut path, mut paged) = ("/conflicts?limit=2".to_owned(), Vec::new());
    loop {
        let page = api.get(&path);
        paged.extend(ids(&page.json()));
        let Some((next, _)) = page.header("link").split_once('>') else { break };
        next.trim_start_matches('<').clone_into(&mut path);
    }
    assert_eq!(paged, [1, 2, 4, 5, 6, 7]);
    assert_eq!(ids(&api.get("/conflicts?settled=true").json()), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(ids(&api.get("/customers/b/conflicts").json()), [2, 4, 6]);
    let ndjson = [("Accept", "application/x-ndjson")];
    assert_eq!(api.call("GET", "/conflicts", &ndjson, "").body.lines().count(), 6);
    // A tombstone's are shown, and can be dismissed, but there is nothing left to edit.
    api.call("DELETE", "/customers/b", &[], "");
    assert_eq!(ids(&api.get("/customers/b/conflicts").json()), [2, 4, 6]);
    for (method, path, status) in [
        ("POST", "/customers/b/conflicts/2/restore", 404),
        ("POST", "/customers/b/conflicts/2/dismiss", 204),
        // Somebody else's.
        ("POST", "/customers/a/conflicts/4/restore", 404),
        ("POST", "/customers/a/conflicts/x/restore", 404),
        ("POST", "/customers/a/conflicts/99999999999999999999/dismiss", 404),
        ("GET", "/customers/nobody/conflicts", 404),
        ("GET", "/conflicts?cursor=x", 400),
        ("GET", "/conflicts?settled=maybe", 400),
        ("GET", "/conflicts/1", 404),
        ("GET", "/customers/a/conflicts/1/restore", 405),
    ] {
        assert_eq!(api.call(method, path, &[], "").status, status, "{method} {path}");
    }
}

#[test]
fn metadata_that_is_full_already_keeps_back_only_a_key_more() {
    let folder = folder();
    let api = Api::start(folder.path());
    let metadata: serde_json::Map<_, _> =
        (0..METADATA_KEYS_MAX).map(|n| (format!("k{n}"), json!("v"))).collect();
    let made = json!({"id": "c", "name": "ours", "metadata": metadata});
    assert_eq!(api.json("POST", "/customers", &made).status, 201);
    // As what comes from Stripe does: there a customer without our stamp may have one key more.
    let mut store = Store::open(&folder.path().join("db.sqlite3")).expect("opens");
    let filled = store.write(|tx| {
        let mut entry = tx.entry("c")?.expect("it is there");
        entry.customer.fields.set(Field::Metadata("more".into()), Some(text("v")));
        tx.save(&entry)
    });
    filled.expect("is written");
    for (field, status) in [
        (Field::Metadata("another".into()), 422),
        (Field::Metadata("k1".into()), 200),
        (Field::Name, 200),
    ] {
        note(folder.path(), "c", &field, Some(text("theirs")));
        let open = ids(&api.get("/customers/c/conflicts").json());
        let number = open.last().expect("an open conflict");
        let path = format!("/customers/c/conflicts/{number}/restore");
        let reply = api.call("POST", &path, &[], "");
        assert_eq!(reply.status, status, "{field}: {}", reply.body);
    }
}
