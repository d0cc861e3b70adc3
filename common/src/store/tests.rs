//! The store's promises, on real files.

use std::path::PathBuf;
use std::sync::mpsc::channel;

use tempfile::TempDir;

use super::*;
use crate::error::{Error, Kind};
use crate::record::{API, Change, Field, Fields, STRIPE, Value};
use crate::sync::announce::{self, Envelope};
use crate::sync::{Conflict, Refusal, SyncState, write};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.sqlite3");
    (folder, path)
}

fn fresh() -> (TempDir, Store) {
    let (folder, path) = folder();
    (folder, Store::open(&path).expect("opens"))
}

fn fields(json: &serde_json::Value) -> Fields {
    Fields::from_json(json)
}

fn customer(id: &str, now: Millis) -> Entry {
    let name = serde_json::json!({"name": id, "email": format!("{id}@Example.com")});
    write::create(id.into(), fields(&name), &[STRIPE], now)
}

fn announced(entry: &mut Entry, event_id: &str, now: Millis) -> Change {
    let envelope = Envelope { event_id: event_id.into(), now };
    announce::change(entry, API, &[Field::Name], envelope)
}

/// Creates a customer as the API does.
fn create(tx: &Tx, id: &str, now: Millis) -> Result<()> {
    let mut entry = customer(id, now);
    let change = announced(&mut entry, &format!("event-{id}"), now);
    tx.save(&entry)?;
    tx.announce(&change)
}

fn ids(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.customer.id.as_str()).collect()
}

/// An entry in which every member has a value of its own.
fn full() -> Entry {
    let all = serde_json::json!({"name": "Ada", "email": "Ada@Example.com", "phone": "+44 1",
        "description": "\u{1F980} \"quoted\"", "metadata": {"a.b": "1", "plan": "pro"},
        "address": {"line1": "x", "line2": "y", "city": "z", "country": "GB"}});
    let refusal = Refusal { version: 5, why: "not a \"phone\"".into() };
    let sync = SyncState {
        external_id: Some("cus_1".into()),
        gone: true,
        first: Some(fields(&serde_json::json!({"name": "A"}))),
        first_at: Some(11),
        shadow: fields(&all),
        seen: 4,
        remote_at: 1_700_000_000,
        observed: 9,
        acked: 3,
        deleted_version: Some(6),
        delete_ids: vec!["cus_2".into(), "cus_3".into()],
        announced_at: 12,
        announced_times: 2,
        error: Some("card declined".into()),
        own: [(Field::Name, 2), (Field::Metadata("a.b".into()), 5), (Field::Stamp, 1)].into(),
        refused: [(Field::Phone, refusal)].into(),
    };
    let mut entry = customer("full", 10);
    entry.customer.version = 7;
    entry.customer.updated_at = 20;
    entry.customer.deleted = true;
    entry.customer.fields = fields(&all);
    entry.systems = [(STRIPE.to_owned(), sync), ("other".to_owned(), SyncState::default())].into();
    entry
}

#[test]
fn every_member_of_an_entry_reads_back_as_it_was_saved() {
    let (_folder, mut store) = fresh();
    for entry in [full(), customer("plain", 5)] {
        store.write(|tx| tx.save(&entry)).expect("saves");
        let loaded = store.entry(&entry.customer.id).expect("loads").expect("is there");
        assert_eq!(loaded, entry);
    }
    let mut emptied = full();
    emptied.customer.fields = Fields::new();
    emptied.systems.insert(STRIPE.into(), SyncState::default());
    store.write(|tx| tx.save(&emptied)).expect("saves");
    assert_eq!(store.entry("full").expect("loads"), Some(emptied));
    assert_eq!(store.entry("nobody").expect("loads"), None);
}

#[test]
fn a_customer_is_found_by_its_link() {
    let (_folder, mut store) = fresh();
    store.write(|tx| tx.save(&full())).expect("saves");
    let found = store.entry_by_external(STRIPE, "cus_1").expect("loads");
    assert_eq!(found, Some(full()));
    assert_eq!(store.entry_by_external("other", "cus_1").expect("loads"), None);
}

#[test]
fn two_customers_never_share_a_link() {
    let (_folder, mut store) = fresh();
    let mut second = full();
    second.customer.id = "second".into();
    store.write(|tx| tx.save(&full())).expect("saves");
    let error = store.write(|tx| tx.save(&second)).expect_err("refuses");
    assert_eq!(error.kind, Kind::Reject);
    assert_eq!(store.entry("second").expect("loads"), None);
}
