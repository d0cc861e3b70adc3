//! Lists: pages, filters, searches; the same whichever way is taken.

use super::super::tests::{create, customer, fresh, ids};
use super::super::{Store, Tx};
use super::*;
use crate::record::{Field, Fields, STRIPE};
use crate::sync::write;

fn filled(names: &[&str]) -> (tempfile::TempDir, Store) {
    let (folder, mut store) = fresh();
    let work =
        |tx: &Tx| names.iter().zip(1..).try_for_each(|(name, now)| create(tx, name, now * 10));
    store.write(work).expect("creates");
    (folder, store)
}

fn edit(store: &mut Store, id: &str, work: impl FnOnce(&mut Entry)) {
    let work = |tx: &Tx| {
        let mut entry = tx.entry(id)?.expect("is there");
        work(&mut entry);
        tx.save(&entry)
    };
    store.write(work).expect("saves");
}

/// Every page of a query, with something done between the first and the second.
fn pages(store: &mut Store, query: &Query, between: impl FnOnce(&mut Store)) -> Vec<String> {
    let mut query = query.clone();
    let mut between = Some(between);
    let mut all = Vec::new();
    loop {
        let page = store.list(&query).expect("lists");
        assert!(page.entries.len() <= query.limit);
        all.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page.next else { return all };
        query.after = Some(next.to_string().parse().expect("its own text"));
        if let Some(between) = between.take() {
            between(store);
        }
    }
}

#[test]
fn pages_neither_repeat_nor_hide_when_customers_come_and_go() {
    let (_folder, mut store) = filled(&["e", "d", "c", "b", "a"]);
    let query = Query { limit: 2, ..Query::default() };
    let all = pages(&mut store, &query, |store| {
        store.write(|tx| create(tx, "new", 1)).expect("creates");
        edit(store, "d", |entry| {
            write::delete(entry, crate::sync::Deletes::Mirror, 99);
        });
        edit(store, "a", |entry| {
            write::edit(entry, &Fields::new(), 99);
        });
    });
    assert_eq!(all, ["e", "d", "c", "b", "a", "new"]);
}

#[test]
fn a_full_last_page_has_no_next() {
    let (_folder, store) = filled(&["a", "b"]);
    let list = |limit| store.list(&Query { limit, ..Query::default() }).expect("lists");
    assert_eq!((list(2).entries.len(), list(2).next), (2, None));
    assert!(list(1).next.is_some());
    assert_eq!((list(0).entries.len(), list(0).next), (0, None));
}

#[test]
fn filters_find_what_they_say() {
    let (_folder, mut store) = filled(&["Ada", "Bob", "Ångström", "dead"]);
    edit(&mut store, "dead", |entry| {
        write::delete(entry, crate::sync::Deletes::Mirror, 99);
    });
    edit(&mut store, "Bob", |entry| {
        entry.systems.get_mut(STRIPE).expect("is there").error = Some("no".into());
    });
    edit(&mut store, "Ada", |entry| {
        let sync = entry.systems.get_mut(STRIPE).expect("is there");
        (sync.external_id, sync.acked) = (Some("cus_1".into()), 1);
    });
    let all = Query { limit: 9, ..Query::default() };
    let email = |text: &str| Query { email: Some(text.into()), ..all.clone() };
    let q = |text: &str| Query { q: Some(text.into()), ..all.clone() };
    let sync = |state| Query { sync: Some((STRIPE.into(), state)), ..all.clone() };
    let cases: [(Query, &[&str]); 27] = [
        (all.clone(), &["Ada", "Bob", "Ångström"]),
        (Query { deleted: true, ..all.clone() }, &["Ada", "Bob", "Ångström", "dead"]),
        (email("ADA@example.com"), &["Ada"]),
        (email("ÅNGSTRÖM@example.com"), &["Ångström"]),
        (email("ada"), &[]),
        (q("AD"), &["Ada"]),
        (q("gström@ex"), &["Ångström"]),
        (q("ÅNGS"), &["Ångström"]),
        (q("o"), &["Ada", "Bob", "Ångström"]),
        (q("Å"), &["Ångström"]),
        (q("ÖM"), &["Ångström"]),
        (q("zz"), &[]),
        (Query { updated_since: Some(20), ..q("ob") }, &["Bob"]),
        (q("a\"d"), &[]),
        (q("a\0da"), &[]),
        (q("ada bob"), &[]),
        (Query { sync: Some((STRIPE.into(), State::Failed)), ..q("example") }, &["Bob"]),
        (Query { sync: Some((STRIPE.into(), State::Synced)), ..q("example") }, &["Ada"]),
        (
            Query { sync: Some((STRIPE.into(), State::Failed)), ..email("bob@example.com") },
            &["Bob"],
        ),
        (Query { updated_since: Some(20), ..q("example") }, &["Bob", "Ångström"]),
        (q("%"), &[]),
        (q("\" OR *"), &[]),
        (q(""), &["Ada", "Bob", "Ångström"]),
        (sync(State::Failed), &["Bob"]),
        (sync(State::Pending), &["Ångström"]),
        (sync(State::Synced), &["Ada"]),
        (Query { sync: Some(("other".into(), State::Synced)), ..all.clone() }, &[]),
    ];
    for behind in [true, false] {
        for (query, expected) in &cases {
            let page = store.list(query).expect("lists");
            assert_eq!(ids(&page), *expected, "{query:?} {behind}");
        }
        store.write(|tx| tx.search_catch_up(99)).expect("catches up");
    }
}

#[test]
fn a_search_finds_what_changed_before_and_after_the_index_knows() {
    let (_folder, mut store) = filled(&["Ada Byron", "Bob", "Byron Two", "Byronne"]);
    store.write(|tx| tx.search_catch_up(99)).expect("catches up");
    let rename = |name: &str| Fields::from_json(&serde_json::json!({"name": name}));
    edit(&mut store, "Bob", |entry| {
        write::edit(entry, &rename("Lord BYRON"), 99);
    });
    edit(&mut store, "Byron Two", |entry| {
        write::edit(entry, &rename("Somebody"), 99);
    });
    edit(&mut store, "Byronne", |entry| {
        write::delete(entry, crate::sync::Deletes::Mirror, 99);
    });
    let query = Query { limit: 1, q: Some("byron".into()), ..Query::default() };
    for steps in 0..4 {
        let found = pages(&mut store, &query, |_| ());
        assert_eq!(found, ["Ada Byron", "Bob"], "after {steps} steps");
        store.write(|tx| tx.search_catch_up(1)).expect("catches up");
    }
    assert!(!search::is_behind(&store.conn).expect("looks"));
}

/// What a list must have, found by looking at every customer.
fn looked_through(all: &[Entry], query: &Query) -> Vec<String> {
    let fits = |entry: &&Entry| {
        let name = fold(entry.customer.fields.text(&Field::Name).unwrap_or_default());
        query.q.as_ref().is_none_or(|q| name.contains(&fold(q)))
            && query.updated_since.is_none_or(|since| entry.customer.updated_at >= since)
            && query.sync.as_ref().is_none_or(|(_, state)| State::of(entry, STRIPE) == *state)
    };
    let mut found: Vec<_> = all.iter().filter(fits).collect();
    if query.updated_since.is_some() {
        found.sort_by_key(|entry| entry.customer.updated_at);
    }
    found.iter().map(|entry| entry.customer.id.clone()).collect()
}

#[test]
fn a_list_is_the_same_whichever_way_is_the_shortest() {
    let (_folder, mut store) = fresh();
    let count = FEW * 2 + 500;
    let work = |tx: &Tx| {
        (0..count).try_for_each(|n| {
            let name = format!("{} {n}", ["Ada", "Bob", "Ada Lovelace"][n % 3]);
            let fields = Fields::from_json(&serde_json::json!({"name": name}));
            let now = ((n * 7919) % count) as Millis;
            let mut entry = write::create(n.to_string(), fields, &[STRIPE], now);
            let sync = entry.systems.get_mut(STRIPE).expect("is there");
            match n {
                _ if n.is_multiple_of(2) => sync.error = Some("no".into()),
                _ if n.is_multiple_of(1001) => (sync.external_id, sync.acked) = (Some(name), 1),
                _ => {}
            }
            tx.save(&entry)
        })
    };
    store.write(work).expect("saves");
    let mut all = Vec::new();
    let keep = |entry| {
        all.push(entry);
        Ok(())
    };
    store.for_each(&Query::default(), keep).expect("reads");
    let states = [State::Failed, State::Pending, State::Synced].map(Some);
    for behind in [true, false] {
        for q in [None, Some("ADA"), Some("lovelace"), Some("ada 77"), Some("b"), Some("zz")] {
            for state in [None].into_iter().chain(states) {
                for updated_since in [None, Some(0), Some(count as Millis - 50)] {
                    let query = Query {
                        limit: 1_500,
                        q: q.map(str::to_owned),
                        sync: state.map(|state| (STRIPE.into(), state)),
                        updated_since,
                        ..Query::default()
                    };
                    let found = pages(&mut store, &query, |_| ());
                    assert!(found == looked_through(&all, &query), "{query:?} {behind}");
                }
            }
        }
        store.write(|tx| tx.search_catch_up(count * 2 / 3)).expect("catches up");
    }
}

#[test]
fn a_list_of_changes_goes_by_time_of_change() {
    let (_folder, mut store) = filled(&["a", "b", "c", "d"]);
    edit(&mut store, "b", |entry| entry.customer.updated_at = 100);
    edit(&mut store, "a", |entry| entry.customer.updated_at = 100);
    let query = Query { limit: 1, updated_since: Some(30), ..Query::default() };
    let all = pages(&mut store, &query, |store| {
        // What changes while somebody reads comes again at the end: nothing is missed.
        edit(store, "c", |entry| entry.customer.updated_at = 200);
    });
    assert_eq!(all, ["c", "d", "a", "b", "c"]);
    let failed = Query { sync: Some((STRIPE.into(), State::Failed)), ..query };
    assert!(store.list(&failed).expect("lists").entries.is_empty());
}

#[test]
fn a_stream_has_them_all_and_stops_when_told() {
    let (_folder, mut store) = fresh();
    let count = STREAM_ROWS * 2 + 1;
    let work = |tx: &Tx| (0..count).try_for_each(|n| tx.save(&customer(&n.to_string(), 1)));
    store.write(work).expect("saves");
    let mut seen = 0;
    let call = |_| {
        seen += 1;
        Ok(())
    };
    store.for_each(&Query::default(), call).expect("streams");
    assert_eq!(seen, count);
    let stop = |_| Err(Error::reject("test", "enough"));
    assert!(store.for_each(&Query::default(), stop).is_err());
}

#[test]
fn a_cursor_that_was_not_given_out_is_refused() {
    for text in ["", "s", "1", "s-1", "s+1", "sx", "u1", "u1-", "u-1-1", "s1 ", "S1"] {
        let error = text.parse::<Cursor>().expect_err(text);
        assert_eq!(error.kind, crate::error::Kind::Reject, "{text}");
    }
    let (_folder, store) = fresh();
    let since = Query { limit: 1, updated_since: Some(0), ..Query::default() };
    let foreign = Query { after: "s1".parse().ok(), ..since };
    assert!(store.list(&foreign).is_err());
}
