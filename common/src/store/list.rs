//! Lists of customers, a page at a time. A page starts where the last one ended, by key: what is
//! made or deleted in between neither repeats nor hides others.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params_from_iter};

use super::entries::{CUSTOMER_COLUMNS, Numbered, State, customer_of, with_systems};
use super::error::Doing;
use super::fold::fold;
use super::{meta, search};
use crate::error::{Error, Result};
use crate::record::Millis;
use crate::sync::Entry;

/// Customers read at once while all are streamed.
const STREAM_ROWS: usize = 200;

/// So many customers are looked at one by one, and sorted, within some 10 ms.
const FEW: usize = 4_000;

/// Which customers, and how many.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// At most so many on a page; 0 is none.
    pub limit: usize,
    /// Where the page before this one ended.
    pub after: Option<Cursor>,
    /// Exactly this e-mail, whatever the case.
    pub email: Option<String>,
    /// Name or e-mail contains this, whatever the case.
    pub q: Option<String>,
    /// Changed at this time or later. Such a list goes by time of change, all others by creation.
    pub updated_since: Option<Millis>,
    /// Standing so with this system.
    pub sync: Option<(String, State)>,
    /// Tombstones too.
    pub deleted: bool,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Cursor>,
}

/// Where a page ended. Text to others, who only hand it back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor {
    seq: i64,
    /// Set in lists that go by time of change.
    updated_at: Option<Millis>,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.updated_at {
            None => write!(f, "s{:x}", self.seq),
            Some(at) => write!(f, "u{at:x}-{:x}", self.seq),
        }
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |hex: &str| {
            let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            i64::from_str_radix(hex, 16).ok().filter(|_| digits)
        };
        let parsed = if let Some(seq) = text.strip_prefix('s') {
            number(seq).map(|seq| Self { seq, updated_at: None })
        } else if let Some((at, seq)) = text.strip_prefix('u').and_then(|u| u.split_once('-')) {
            number(at).zip(number(seq)).map(|(at, seq)| Self { seq, updated_at: Some(at) })
        } else {
            None
        };
        parsed.ok_or_else(|| Error::reject("read cursor", "not one that this catalog gave out"))
    }
}

pub(super) fn list(conn: &Connection, query: &Query) -> Result<Page> {
    let mut entries = Vec::new();
    let next = list_each(conn, query, |entry| entries.push(entry))?;
    Ok(Page { entries, next })
}

/// Calls for each customer of a page, one after the other: as a whole they would take much memory.
pub(super) fn list_each(
    conn: &Connection,
    query: &Query,
    mut call: impl FnMut(Entry),
) -> Result<Option<Cursor>> {
    // One more than asked for tells whether there is a next page.
    let mut rows = rows(conn, query, query.limit.saturating_add(1))?;
    let more = rows.len() > query.limit;
    rows.truncate(query.limit);
    let next = rows.last().filter(|_| more).map(|(seq, customer)| Cursor {
        seq: *seq,
        updated_at: query.updated_since.map(|_| customer.updated_at),
    });
    for row in rows {
        call(with_systems(conn, row)?);
    }
    Ok(next)
}

pub(super) fn for_each(
    conn: &Connection,
    query: &Query,
    mut call: impl FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let mut query = Query { limit: STREAM_ROWS, ..query.clone() };
    loop {
        let page = list(conn, &query)?;
        for entry in page.entries {
            call(entry)?;
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(());
        }
    }
}

fn rows(conn: &Connection, query: &Query, max: usize) -> Result<Vec<Numbered>> {
    if let Some(asked) = short_search(query)
        && query.updated_since.is_none()
    {
        // Most short texts are in many customers, so the next few fill a page.
        let near = From::Near(query.after.as_ref().map_or(0, |after| after.seq));
        let rows = select(conn, query, &near, max)?;
        if rows.len() == max {
            return Ok(rows);
        }
        return searched(conn, query, asked, max);
    }
    match plan(conn, query)? {
        From::Search(asked) => searched(conn, query, asked, max),
        from => select(conn, query, &from, max),
    }
}

/// What the index is asked for a short text, if nothing else narrows the list down.
fn short_search(query: &Query) -> Option<String> {
    let q = fold(query.q.as_deref()?);
    let alone = query.email.is_none() && query.sync.is_none();
    if alone && search::is_short(&q) { search::asked(&q) } else { None }
}

/// Where to look for the customers of a list: where there are few that could be meant. Where all
/// filters leave many, the order of the list is followed, which soon fills a page.
fn plan(conn: &Connection, query: &Query) -> Result<From> {
    if query.email.is_some() {
        return Ok(From::Customers);
    }
    let q = query.q.as_deref().map(fold).filter(|q| !search::is_short(q));
    let asked = q.as_deref().and_then(search::asked);
    if let Some(asked) = &asked
        && search::count(conn, asked, FEW + 1)? <= FEW
    {
        return Ok(From::Search(asked.clone()));
    }
    let by_time = query.updated_since.is_some();
    if let Some((system, state)) = &query.sync {
        let there = meta::count(conn, state.as_str())?;
        let all = meta::count(conn, "customers")?;
        if there <= FEW as u64 || !by_time && (asked.is_none() || there < all / 10) {
            return Ok(From::Sync(system.clone(), *state));
        }
    }
    Ok(match asked {
        Some(asked) if !by_time => From::Search(asked),
        Some(_) | None => From::Customers,
    })
}

/// What the index names, and what it does not know yet.
fn searched(conn: &Connection, query: &Query, asked: String, max: usize) -> Result<Vec<Numbered>> {
    let mut rows = select(conn, query, &From::Search(asked), max)?;
    rows.extend(select(conn, query, &From::Stale, max)?);
    let by_time = query.updated_since.is_some();
    rows.sort_by_key(|(seq, customer)| (by_time.then_some(customer.updated_at), *seq));
    rows.dedup_by_key(|(seq, _)| *seq);
    rows.truncate(max);
    Ok(rows)
}

/// The table that a list walks along; the other filters look at each customer it comes by.
enum From {
    Customers,
    /// The customers made next after this one, a few thousand.
    Near(i64),
    /// Customers that stand so with a system.
    Sync(String, State),
    /// Customers that may have the text, as far as the index knows.
    Search(String),
    /// Customers that the index does not know yet.
    Stale,
}

fn select(conn: &Connection, query: &Query, from: &From, max: usize) -> Result<Vec<Numbered>> {
    let (sql, values) = statement(query, from, max)?;
    conn.prepare_cached(&sql)
        .and_then(|mut statement| {
            statement
                .query_map(params_from_iter(values), customer_of)?
                .collect::<rusqlite::Result<_>>()
        })
        .doing("list customers")
}

/// The statement for a query: few different texts, so that they stay prepared.
fn statement(query: &Query, from: &From, max: usize) -> Result<(String, Vec<SqlValue>)> {
    let mut wheres = String::new();
    let mut values: Vec<SqlValue> = Vec::new();
    let (table, seq) = match from {
        From::Customers => ("customers c", "c.seq"),
        From::Near(after) => {
            wheres.push_str(" AND c.seq <= ?");
            values.push((after + FEW as i64).into());
            ("customers c NOT INDEXED", "c.seq")
        }
        From::Sync(system, state) => {
            wheres.push_str(" AND f.system = ? AND f.state = ?");
            values.extend([SqlValue::from(system.clone()), state.as_str().to_owned().into()]);
            ("sync f CROSS JOIN customers c ON c.seq = f.customer", "f.customer")
        }
        From::Search(asked) => {
            wheres.push_str(" AND f.search MATCH ?");
            values.push(asked.clone().into());
            ("search f CROSS JOIN customers c ON c.seq = f.rowid", "f.rowid")
        }
        From::Stale => {
            ("search_stale f CROSS JOIN customers c ON c.seq = f.customer", "f.customer")
        }
    };
    if let Some((system, state)) = &query.sync
        && !matches!(from, From::Sync(..))
    {
        wheres.push_str(
            " AND EXISTS (SELECT 1 FROM sync s
                          WHERE s.customer = c.seq AND s.system = ? AND s.state = ?)",
        );
        values.extend([SqlValue::from(system.clone()), state.as_str().to_owned().into()]);
    }
    if let Some(email) = &query.email {
        wheres.push_str(" AND c.email_folded = ?");
        values.push(fold(email).into());
    }
    if let Some(q) = query.q.as_deref().filter(|q| !q.is_empty()) {
        wheres.push_str(" AND (instr(c.name_folded, ?) > 0 OR instr(c.email_folded, ?) > 0)");
        values.extend([SqlValue::from(fold(q)), fold(q).into()]);
    }
    if !query.deleted {
        wheres.push_str(" AND c.deleted = 0");
    }
    if let Some(since) = query.updated_since {
        wheres.push_str(" AND c.updated_at >= ?");
        values.push(since.into());
    }
    match (&query.after, query.updated_since) {
        (None, _) => {}
        (Some(Cursor { seq: after, updated_at: Some(at) }), Some(_)) => {
            wheres.push_str(" AND (c.updated_at, c.seq) > (?, ?)");
            values.extend([SqlValue::from(*at), (*after).into()]);
        }
        (Some(Cursor { seq: after, updated_at: None }), None) => {
            let _ = write!(wheres, " AND {seq} > ?");
            values.push((*after).into());
        }
        (Some(_), Some(_) | None) => {
            return Err(Error::reject("read cursor", "it belongs to a list with other filters"));
        }
    }
    values.push((max as i64).into());
    let order = if query.updated_since.is_some() { "c.updated_at, c.seq" } else { seq };
    let sql = format!(
        "SELECT {CUSTOMER_COLUMNS} FROM {table} WHERE TRUE{wheres} ORDER BY {order} LIMIT ?"
    );
    Ok((sql, values))
}

#[cfg(test)]
mod tests {
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
                write::delete(entry, 99);
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
            write::delete(entry, 99);
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
            write::delete(entry, 99);
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
}
