//! The store's promises, on real files.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::error::{Error, Kind};
use crate::record::{API, Change, Field, Fields, STRIPE, Value};
use crate::sync::announce::{self, Envelope};
use crate::sync::settle::ForeignEdit;
use crate::sync::{Conflict, Deletes, Refusal, SyncState, repeat, write};

pub(super) fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.sqlite3");
    (folder, path)
}

pub(super) fn fresh() -> (TempDir, Store) {
    let (folder, path) = folder();
    (folder, Store::open(&path).expect("opens"))
}

fn fields(json: &serde_json::Value) -> Fields {
    Fields::from_json(json)
}

pub(super) fn customer(id: &str, now: Millis) -> Entry {
    let name = serde_json::json!({"name": id, "email": format!("{id}@Example.com")});
    write::create(id.into(), fields(&name), &[STRIPE], now)
}

fn announced(entry: &mut Entry, event_id: &str, now: Millis) -> Change {
    let envelope = Envelope { event_id: event_id.into(), now };
    announce::change(entry, API, &[Field::Name], envelope)
}

/// Creates a customer as the API does.
pub(super) fn create(tx: &Tx, id: &str, now: Millis) -> Result<()> {
    let mut entry = customer(id, now);
    let change = announced(&mut entry, &format!("event-{id}"), now);
    tx.save(&entry)?;
    tx.announce(&change)
}

pub(super) fn ids(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.customer.id.as_str()).collect()
}

/// An entry in which every member has a value of its own.
fn full() -> Entry {
    let all = serde_json::json!({"name": "Ada", "email": "Ada@Example.com", "phone": "+44 1",
        "description": "\u{1F980} \"quoted\"", "metadata": {"a.b": "1", "plan": "pro"},
        "address": {"line1": "x", "line2": "y", "city": "z", "country": "GB"}});
    let refusal = Refusal { version: 5, why: "not a \"phone\"".into() };
    let edit = |field: Field, value: Option<&Value>| ForeignEdit {
        value: value.cloned(),
        field,
        stamp: 3,
        at: 1_700_000_001,
    };
    let address = fields(&all).get(&Field::Address).cloned();
    let put_aside = vec![
        edit(Field::Name, Some(&Value::Text("Bob".into()))),
        edit(Field::Phone, None),
        edit(Field::Address, address.as_ref()),
    ];
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
        doubt: Some(13),
        put_aside,
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

#[test]
fn an_entry_older_than_the_stored_one_is_not_saved() {
    let (_folder, mut store) = fresh();
    let mut old = full();
    store.write(|tx| tx.save(&old)).expect("saves");
    old.customer.version -= 1;
    let error = store.write(|tx| tx.save(&old)).expect_err("refuses");
    assert_eq!(error.kind, Kind::Retry);
}

#[test]
fn work_that_fails_leaves_nothing_behind() {
    let (_folder, mut store) = fresh();
    let failed = store.write(|tx| {
        create(tx, "a", 1)?;
        tx.inbox_add("evt_1", 1)?;
        Err::<(), _>(Error::reject("test", "no"))
    });
    assert!(failed.is_err());
    assert_eq!(store.counts().expect("counts"), Counts::default());
    assert!(!store.write(|tx| tx.inbox_seen("evt_1")).expect("looks"));
}

#[test]
fn the_inbox_commits_with_the_effects_and_is_pruned_in_steps() {
    let (_folder, mut store) = fresh();
    let work = |tx: &Tx| {
        for at in 0..5 {
            tx.inbox_add(&format!("evt_{at}"), at)?;
        }
        tx.inbox_add("evt_0", 99)?;
        create(tx, "a", 1)
    };
    store.write(work).expect("writes");
    assert!(store.write(|tx| tx.inbox_seen("evt_4")).expect("looks"));
    assert!(store.entry("a").expect("loads").is_some());
    let mut pruned = || store.write(|tx| tx.inbox_prune(4, 3)).expect("prunes");
    assert_eq!((pruned(), pruned(), pruned()), (3, 1, 0));
    assert!(!store.write(|tx| tx.inbox_seen("evt_3")).expect("looks"));
    assert!(store.write(|tx| tx.inbox_seen("evt_4")).expect("looks"));
}

#[test]
fn the_outbox_keeps_its_order_and_never_uses_a_number_twice() {
    let (_folder, mut store) = fresh();
    for id in ["a", "b", "c"] {
        store.write(|tx| create(tx, id, 1)).expect("creates");
    }
    let rows = store.outbox_after(0, 2).expect("reads");
    let customers: Vec<_> = rows.iter().map(|row| row.customer.as_str()).collect();
    assert_eq!(customers, ["a", "b"]);
    assert_eq!(rows[0].event_id, "event-a");
    assert_eq!(Change::parse(&rows[0].line).expect("is a change").subject, "a");
    let all: Vec<i64> =
        store.outbox_after(0, 9).expect("reads").iter().map(|row| row.seq).collect();
    store.write(|tx| tx.outbox_delivered(&all)).expect("empties");
    assert_eq!(store.outbox_len().expect("counts"), 0);
    store.write(|tx| create(tx, "d", 1)).expect("creates");
    let next = store.outbox_after(0, 9).expect("reads");
    assert_eq!((next.len(), next[0].seq > all[2]), (1, true));
}

#[test]
fn a_repeat_stands_in_the_outbox_but_not_in_the_history() {
    let (_folder, mut store) = fresh();
    store.write(|tx| create(tx, "a", 1_000)).expect("creates");
    let repeat = |tx: &Tx| {
        let mut entry = tx.entry("a")?.expect("is there");
        let envelope = Envelope { event_id: "again".into(), now: 2_000 };
        let change = announce::again(&mut entry, envelope);
        tx.save(&entry)?;
        tx.announce(&change)
    };
    store.write(repeat).expect("repeats");
    let edit = |tx: &Tx| {
        let mut entry = tx.entry("a")?.expect("is there");
        let changed = write::edit(&mut entry, &Fields::new(), 3_000);
        let envelope = Envelope { event_id: "edit".into(), now: 3_000 };
        let change = announce::change(&mut entry, API, &changed, envelope);
        tx.save(&entry)?;
        tx.announce(&change)
    };
    store.write(edit).expect("edits");
    assert_eq!(store.outbox_len().expect("counts"), 3);
    let history = store.history("a", HistoryFrom::After(0), 9).expect("reads");
    let expected = [
        Version {
            version: 1,
            origin: API.into(),
            at: 1_000,
            changed: vec![Field::Name],
            event_id: "event-a".into(),
        },
        Version {
            version: 2,
            origin: API.into(),
            at: 3_000,
            changed: vec![Field::Name, Field::Email],
            event_id: "edit".into(),
        },
    ];
    assert_eq!(history, expected);
    let of = |id: &str, from, max| store.history(id, from, max).expect("reads");
    assert_eq!(of("a", HistoryFrom::After(1), 9), expected[1..]);
    assert_eq!(of("a", HistoryFrom::Before(3), 1), expected[1..]);
    assert_eq!(of("a", HistoryFrom::Before(2), 9), expected[..1]);
    assert_eq!(of("b", HistoryFrom::After(0), 9), []);
}

#[test]
fn a_conflict_shows_both_values_until_it_is_settled() {
    let (_folder, mut store) = fresh();
    store.write(|tx| create(tx, "a", 1_000)).expect("creates");
    let address = fields(&serde_json::json!({"address": {"city": "Rome"}}));
    let conflicts = [
        Conflict {
            field: Field::Name,
            ours: Some(Value::Text("a".into())),
            ours_version: 1,
            theirs: None,
            theirs_at: 77,
            theirs_stamp: 0,
        },
        Conflict {
            field: Field::Address,
            ours: None,
            ours_version: 9,
            theirs: address.get(&Field::Address).cloned(),
            theirs_at: 78,
            theirs_stamp: 8,
        },
    ];
    for conflict in &conflicts {
        store.write(|tx| tx.conflict_add("a", STRIPE, conflict, 5_000)).expect("notes");
    }
    store.write(|tx| create(tx, "b", 1_000)).expect("creates");
    let of = |id: &str| ConflictQuery {
        customer: Some(id.into()),
        limit: 9,
        ..ConflictQuery::default()
    };
    let noted = store.conflicts(&of("a")).expect("reads");
    let everybody = ConflictQuery { limit: 9, ..ConflictQuery::default() };
    assert_eq!(store.conflicts(&everybody).expect("reads"), noted);
    assert!(store.conflicts(&of("b")).expect("reads").is_empty());
    let kept: Vec<_> = noted.iter().map(|noted| noted.conflict.clone()).collect();
    assert_eq!(kept, conflicts);
    assert_eq!((noted[0].ours_at, noted[1].ours_at), (Some(1_000), None));
    assert_eq!((noted[0].noted_at, noted[0].system.as_str()), (5_000, STRIPE));
    assert_eq!(store.counts().expect("counts").conflicts_open, 2);
    let id = noted[0].id;
    assert!(store.write(|tx| tx.conflict_settle(id, 6_000)).expect("settles"));
    assert!(!store.write(|tx| tx.conflict_settle(id, 6_000)).expect("knows it is settled"));
    assert_eq!(store.conflicts(&of("a")).expect("reads"), noted[1..]);
    assert_eq!(store.conflicts(&everybody).expect("reads"), noted[1..]);
    let settled = ConflictQuery { settled: true, limit: 1, ..everybody.clone() };
    let first = store.conflicts(&settled).expect("reads");
    assert_eq!((first[0].id, first[0].settled_at), (id, Some(6_000)));
    let after = ConflictQuery { after: id, ..settled };
    assert_eq!(store.conflicts(&after).expect("reads"), noted[1..]);
    let one = |customer: &'static str, id| move |tx: &Tx| tx.conflict(customer, id);
    assert_eq!(store.write(one("a", id)).expect("reads"), first.into_iter().next());
    assert_eq!(store.write(one("b", id)).expect("reads"), None);
}

#[test]
fn one_edit_of_theirs_is_one_conflict_however_many_of_ours_it_lost_to() {
    let (_folder, mut store) = fresh();
    store.write(|tx| create(tx, "a", 1_000)).expect("creates");
    let noted = |store: &mut Store, ours_version, theirs: &str, theirs_stamp, theirs_at| {
        let conflict = Conflict {
            field: Field::Name,
            ours: Some(Value::Text("ours".into())),
            ours_version,
            theirs: Some(Value::Text(theirs.into())),
            theirs_at,
            theirs_stamp,
        };
        store.write(|tx| tx.conflict_add("a", STRIPE, &conflict, 5_000)).expect("notes");
        let all = ConflictQuery { settled: true, limit: 99, ..ConflictQuery::default() };
        store.conflicts(&all).expect("reads").len()
    };
    assert_eq!(noted(&mut store, 2, "x", 1, 10), 1);
    assert_eq!(noted(&mut store, 2, "x", 1, 10), 1, "told again");
    assert_eq!(noted(&mut store, 3, "x", 1, 10), 1, "told again after an edit of ours");
    assert_eq!(noted(&mut store, 3, "y", 1, 11), 2, "another value");
    assert_eq!(noted(&mut store, 3, "x", 2, 12), 3, "made later, under a newer one of ours");
    assert_eq!(noted(&mut store, 4, "x", 1, 10), 3, "the older one told late");
    for id in 1..=3 {
        store.write(|tx| tx.conflict_settle(id, 15_000)).expect("settles");
    }
    assert_eq!(noted(&mut store, 4, "x", 2, 12), 3, "known when it was settled");
    assert_eq!(noted(&mut store, 4, "x", 2, 16), 4, "made after that");
}

/// Stripe has it all.
fn acknowledged(entry: &mut Entry) {
    let sync = entry.systems.get_mut(STRIPE).expect("is there");
    sync.external_id = Some(format!("cus_{}", entry.customer.id));
    sync.acked = entry.customer.version;
}

#[test]
fn what_lacks_nothing_or_failed_is_neither_due_nor_wanting() {
    let (_folder, mut store) = fresh();
    let after = repeat::REPEAT_AFTER_MS;
    let work = |tx: &Tx| {
        for (id, now) in [("late", 20), ("early", 10), ("done", 0), ("failed", 0)] {
            let mut entry = customer(id, now);
            match id {
                "done" => acknowledged(&mut entry),
                "failed" => {
                    let sync = entry.systems.get_mut(STRIPE).expect("is there");
                    sync.error = Some("no".into());
                }
                _ => {}
            }
            tx.save(&entry)?;
        }
        Ok(())
    };
    store.write(work).expect("saves");
    assert_eq!(store.due(STRIPE, after + 20, 9).expect("looks"), ["early", "late"]);
    assert_eq!(store.due(STRIPE, after + 20, 1).expect("looks"), ["early"]);
    assert_eq!(store.due(STRIPE, after + 19, 9).expect("looks"), ["early"]);
    assert_eq!(store.due("other", after + 20, 9).expect("looks"), [""; 0]);
    assert_eq!(store.wanting(STRIPE, None, 9).expect("looks"), ["late", "early"]);
    assert_eq!(store.wanting(STRIPE, Some("late"), 9).expect("looks"), ["early"]);
    assert_eq!(store.wanting(STRIPE, Some("early"), 9).expect("looks"), [""; 0]);
    let acknowledge = |tx: &Tx| {
        let mut entry = tx.entry("early")?.expect("is there");
        acknowledged(&mut entry);
        tx.save(&entry)
    };
    store.write(acknowledge).expect("saves");
    assert_eq!(store.due(STRIPE, after + 20, 9).expect("looks"), ["late"]);
}

#[test]
fn the_counts_follow_every_change() {
    let (_folder, mut store) = fresh();
    let counted = |store: &Store| store.counts().expect("counts");
    let make = |tx: &Tx| {
        create(tx, "a", 5)?;
        create(tx, "b", 6)?;
        tx.note(STRIPE, "cus_9", Some("a"), "stamped, linked to nobody", 7)?;
        tx.note(STRIPE, "cus_9", Some("a"), "stamped, linked to nobody", 8)
    };
    store.write(make).expect("creates");
    let expected = Counts {
        customers: 2,
        pending: 2,
        outbox: 2,
        outbox_oldest_at: Some(5),
        duplicates: 1,
        ..Counts::default()
    };
    assert_eq!(counted(&store), expected);
    let strays = |tx: &Tx| {
        tx.note(STRIPE, "cus_8", None, "another catalog's", 8)?;
        tx.note_remove(STRIPE, "cus_8")?;
        // Deleted before anybody heard of it, and told of late.
        tx.note_gone(STRIPE, "cus_7", 8)?;
        tx.note(STRIPE, "cus_7", None, "another catalog's", 8)
    };
    store.write(strays).expect("notes");
    assert_eq!(counted(&store), expected);
    let change = |tx: &Tx| {
        let mut a = tx.entry("a")?.expect("is there");
        acknowledged(&mut a);
        tx.save(&a)?;
        let mut b = tx.entry("b")?.expect("is there");
        write::delete(&mut b, Deletes::Mirror, 9);
        b.systems.get_mut(STRIPE).expect("stripe").doubt = Some(9);
        tx.save(&b)?;
        tx.outbox_delivered(&[1, 2, 2, 77])
    };
    store.write(change).expect("changes");
    let expected = Counts {
        customers: 1,
        pending: 1,
        synced: 1,
        duplicates: 1,
        doubts: 1,
        ..Counts::default()
    };
    assert_eq!(counted(&store), expected);
}

#[test]
fn an_answer_is_remembered_until_it_is_forgotten() {
    let (_folder, mut store) = fresh();
    let answer = Remembered {
        fingerprint: vec![0, 1, 255],
        status: 201,
        headers: vec![("Location".into(), "/customers/a".into())],
        body: b"{}".to_vec(),
        created_at: 10,
    };
    assert_eq!(store.recall("key").expect("recalls"), None);
    store.write(|tx| tx.remember("key", &answer)).expect("remembers");
    assert_eq!(store.recall("key").expect("recalls"), Some(answer.clone()));
    assert_eq!(store.write(|tx| tx.forget_remembered(10, 5)).expect("forgets"), 0);
    assert_eq!(store.write(|tx| tx.forget_remembered(11, 5)).expect("forgets"), 1);
    assert_eq!(store.recall("key").expect("recalls"), None);
}

#[test]
fn a_reader_sees_what_others_commit_and_cannot_write() {
    let (_folder, path) = folder();
    let mut store = Store::open(&path).expect("opens");
    let mut reader = Store::open_reader(&path).expect("opens");
    let before = reader.data_version().expect("looks");
    assert_eq!(reader.data_version().expect("looks"), before);
    store.write(|tx| tx.meta_set("cluster", "abc")).expect("writes");
    assert_ne!(reader.data_version().expect("looks"), before);
    assert_eq!(reader.meta("cluster").expect("reads"), Some("abc".into()));
    assert!(reader.write(|tx| tx.meta_set("cluster", "x")).is_err());
    assert_eq!(store.meta("cluster").expect("reads"), Some("abc".into()));
}

#[test]
fn what_waits_in_the_outbox_is_told_by_row_even_after_older_rows_were_delivered() {
    let (_folder, mut store) = fresh();
    assert_eq!(store.outbox_last().expect("reads"), 0);
    store.write(|tx| create(tx, "a", 10)).expect("creates");
    let before = store.outbox_last().expect("reads");
    store.write(|tx| create(tx, "b", 20)).expect("creates");
    let waits =
        |tx: &Tx| Ok((tx.outbox_waits_after(before, "a")?, tx.outbox_waits_after(before, "b")?));
    assert_eq!(store.write(waits).expect("looks"), (false, true));
    let rows = store.outbox_after(0, 9).expect("reads");
    let seqs: Vec<_> = rows.iter().map(|row| row.seq).collect();
    store.write(|tx| tx.outbox_delivered(&seqs)).expect("deletes");
    assert_eq!(store.outbox_last().expect("reads"), before + 1, "no number is used twice");
}

#[test]
fn strays_are_counted_in_an_index_of_those_that_are_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.db");
    let mut conn = rusqlite::Connection::open(path).expect("opens");
    super::migrate::migrate(&mut conn).expect("migrates");
    let sql = format!("EXPLAIN QUERY PLAN {}", super::meta::DUPLICATES);
    let plan: String = conn.query_one(&sql, [], |row| row.get(3)).expect("a plan");
    assert!(plan.contains("notes_here"), "{plan}");
}
