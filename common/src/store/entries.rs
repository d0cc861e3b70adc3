//! Customers and their sync state: rows to [`Entry`] and back. What follows from an entry (its
//! state for lists, when its repeat is due) is computed at each save, never kept by hand.

use std::collections::BTreeMap;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Doing;
use super::fold::fold;
use super::shapes::{EditJson, RefusalJson};
use crate::error::{Error, Result};
use crate::record::{Address, Customer, Field, Fields, Millis, Value};
use crate::sync::state::LEAP;
use crate::sync::{Entry, SyncState, repeat};

/// How a customer stands with one system, in one word for people.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// Something is on its way there.
    Pending,
    Synced,
    /// The last change, or a field, was refused.
    Failed,
}

impl State {
    pub fn of(entry: &Entry, system: &str) -> Self {
        let Some(sync) = entry.systems.get(system) else { return Self::Synced };
        let refused = !entry.customer.deleted && !sync.gone && !sync.refused.is_empty();
        if sync.error.is_some() || refused {
            Self::Failed
        } else if entry.wants(system) {
            Self::Pending
        } else {
            Self::Synced
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Synced => "synced",
            Self::Failed => "failed",
        }
    }
}

/// What [`customer_of`] reads, in its order.
pub(super) const CUSTOMER_COLUMNS: &str = "c.seq, c.id, c.version, c.created_at, c.updated_at, \
    c.deleted, c.name, c.email, c.phone, c.description, c.address, c.metadata";

/// A customer's place in the order of creation, and the customer.
pub(super) type Numbered = (i64, Customer);

const LOAD: &str = "read a customer from the database";
const SAVE: &str = "write a customer to the database";

pub(super) fn by_id(conn: &Connection, id: &str) -> Result<Option<Entry>> {
    let sql = format!("SELECT {CUSTOMER_COLUMNS} FROM customers c WHERE c.id = ?1");
    let found = conn
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.query_one([id], customer_of).optional())
        .doing(LOAD)?;
    found.map(|found| with_systems(conn, found)).transpose()
}

pub(super) fn by_external(
    conn: &Connection,
    system: &str,
    external_id: &str,
) -> Result<Option<Entry>> {
    let sql = format!(
        "SELECT {CUSTOMER_COLUMNS} FROM sync s JOIN customers c ON c.seq = s.customer
         WHERE s.system = ?1 AND s.external_id = ?2"
    );
    let found = conn
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            statement.query_one([system, external_id], customer_of).optional()
        })
        .doing(LOAD)?;
    found.map(|found| with_systems(conn, found)).transpose()
}

/// Adds to a customer how it stands with each system.
pub(super) fn with_systems(conn: &Connection, (seq, customer): Numbered) -> Result<Entry> {
    let sql = "SELECT system, external_id, gone, first, first_at, shadow, seen, remote_at,
                      observed, acked, deleted_version, delete_ids, announced_at,
                      announced_times, error, own, refused, doubt, put_aside
               FROM sync WHERE customer = ?1";
    let mut statement = conn.prepare_cached(sql).doing(LOAD)?;
    let systems = statement
        .query_map([seq], sync_of)
        .and_then(Iterator::collect::<rusqlite::Result<BTreeMap<_, _>>>)
        .doing(LOAD)?;
    Ok(Entry { customer, systems })
}

pub(super) fn customer_of(row: &Row) -> rusqlite::Result<Numbered> {
    let mut fields = Fields::new();
    for (index, field) in
        [(6, Field::Name), (7, Field::Email), (8, Field::Phone), (9, Field::Description)]
    {
        if let Some(text) = text_of(row, index)? {
            fields.set_text(field, text);
        }
    }
    if let Some(address) = json_of::<serde_json::Value>(row, 10)? {
        fields.set(Field::Address, Some(Value::Address(Address::from_json(&address))));
    }
    for (key, text) in json_of::<BTreeMap<String, String>>(row, 11)?.unwrap_or_default() {
        fields.set(Field::Metadata(key), Some(Value::Text(text)));
    }
    let customer = Customer {
        id: row.get(1)?,
        version: number(row, 2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
        deleted: row.get(5)?,
        fields,
    };
    Ok((row.get(0)?, customer))
}

fn sync_of(row: &Row) -> rusqlite::Result<(String, SyncState)> {
    let refused = json_of::<BTreeMap<Field, RefusalJson>>(row, 16)?.unwrap_or_default();
    let put_aside = json_of::<Vec<EditJson>>(row, 18)?.unwrap_or_default();
    let sync = SyncState {
        external_id: row.get(1)?,
        gone: row.get(2)?,
        first: json_of(row, 3)?,
        first_at: row.get(4)?,
        shadow: json_of(row, 5)?.unwrap_or_default(),
        seen: number(row, 6)?,
        remote_at: row.get(7)?,
        observed: number(row, 8)?,
        acked: number(row, 9)?,
        deleted_version: row.get::<_, Option<i64>>(10)?.map(|version| version as u64),
        delete_ids: json_of(row, 11)?.unwrap_or_default(),
        announced_at: row.get(12)?,
        announced_times: row.get(13)?,
        error: row.get(14)?,
        doubt: row.get(17)?,
        put_aside: put_aside.into_iter().map(EditJson::into_edit).collect(),
        own: json_of(row, 15)?.unwrap_or_default(),
        refused: refused
            .into_iter()
            .map(|(field, refusal)| (field, refusal.into_refusal()))
            .collect(),
    };
    Ok((row.get(0)?, sync))
}

/// Makes or replaces a customer and how it stands with its systems.
pub(super) fn save(conn: &Connection, entry: &Entry) -> Result<()> {
    let seq = save_customer(conn, &entry.customer)?;
    for (system, sync) in &entry.systems {
        save_sync(conn, seq, entry, system, sync)?;
    }
    Ok(())
}

fn save_customer(conn: &Connection, customer: &Customer) -> Result<i64> {
    let fields = &customer.fields;
    let (name, email) = (fields.text(&Field::Name), fields.text(&Field::Email));
    let address = fields.get(&Field::Address).map(json).transpose()?;
    let metadata: BTreeMap<_, _> = fields.metadata().collect();
    let metadata = (!metadata.is_empty()).then(|| json(&metadata)).transpose()?;
    // A version that is older than the stored one was not loaded in this transaction.
    let sql = "INSERT INTO customers (id, version, created_at, updated_at, deleted, name, email,
                   phone, description, address, metadata, name_folded, email_folded)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
               ON CONFLICT (id) DO UPDATE SET version = excluded.version,
                   updated_at = excluded.updated_at, deleted = excluded.deleted,
                   name = excluded.name, email = excluded.email, phone = excluded.phone,
                   description = excluded.description, address = excluded.address,
                   metadata = excluded.metadata, name_folded = excluded.name_folded,
                   email_folded = excluded.email_folded
               WHERE excluded.version >= version
               RETURNING seq";
    let saved = conn
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let row = params![
                customer.id,
                customer.version as i64,
                customer.created_at,
                customer.updated_at,
                customer.deleted,
                name,
                email,
                fields.text(&Field::Phone),
                fields.text(&Field::Description),
                address,
                metadata,
                name.map(fold),
                email.map(fold),
            ];
            statement.query_one(row, |row| row.get(0)).optional()
        })
        .doing(SAVE)?;
    saved.ok_or_else(|| Error::retry(SAVE, format!("{} was changed meanwhile", customer.id)))
}

fn save_sync(
    conn: &Connection,
    seq: i64,
    entry: &Entry,
    system: &str,
    sync: &SyncState,
) -> Result<()> {
    let refused: BTreeMap<_, _> =
        sync.refused.iter().map(|(field, refusal)| (field, RefusalJson::of(refusal))).collect();
    let put_aside = sync.put_aside.iter().map(EditJson::of).collect::<Vec<_>>();
    let sql = "INSERT INTO sync (customer, system, external_id, gone, first, first_at, shadow,
                   seen, remote_at, observed, acked, deleted_version, delete_ids, announced_at,
                   announced_times, error, own, refused, state, repeat_at, doubt, put_aside)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                   ?17, ?18, ?19, ?20, ?21, ?22)
               ON CONFLICT (customer, system) DO UPDATE SET external_id = excluded.external_id,
                   gone = excluded.gone, first = excluded.first, first_at = excluded.first_at,
                   shadow = excluded.shadow, seen = excluded.seen,
                   remote_at = excluded.remote_at, observed = excluded.observed,
                   acked = excluded.acked, deleted_version = excluded.deleted_version,
                   delete_ids = excluded.delete_ids, announced_at = excluded.announced_at,
                   announced_times = excluded.announced_times, error = excluded.error,
                   own = excluded.own, refused = excluded.refused, state = excluded.state,
                   repeat_at = excluded.repeat_at, doubt = excluded.doubt,
                   put_aside = excluded.put_aside";
    let row = params![
        seq,
        system,
        sync.external_id,
        sync.gone,
        sync.first.as_ref().map(json).transpose()?,
        sync.first_at,
        json(&sync.shadow)?,
        sync.seen as i64,
        sync.remote_at,
        sync.observed as i64,
        sync.acked as i64,
        sync.deleted_version.map(|version| version as i64),
        (!sync.delete_ids.is_empty()).then(|| json(&sync.delete_ids)).transpose()?,
        sync.announced_at,
        sync.announced_times,
        sync.error,
        (!sync.own.is_empty()).then(|| json(&sync.own)).transpose()?,
        (!refused.is_empty()).then(|| json(&refused)).transpose()?,
        State::of(entry, system).as_str(),
        repeat::due_at(entry, system),
        sync.doubt,
        (!put_aside.is_empty()).then(|| json(&put_aside)).transpose()?,
    ];
    conn.prepare_cached(sql).and_then(|mut statement| statement.execute(row)).doing(SAVE)?;
    Ok(())
}

pub(super) fn leap(conn: &Connection) -> Result<usize> {
    let sql = "UPDATE customers SET version = version + ?1";
    conn.execute(sql, [LEAP as i64]).doing("raise the versions of a restored catalog")
}

pub(super) fn due(conn: &Connection, system: &str, now: Millis, max: usize) -> Result<Vec<String>> {
    let sql = "SELECT c.id FROM sync s CROSS JOIN customers c ON c.seq = s.customer
               WHERE s.system = ?1 AND s.repeat_at <= ?2 ORDER BY s.repeat_at LIMIT ?3";
    ids(conn, sql, params![system, now, max as i64])
}

pub(super) fn wanting(
    conn: &Connection,
    system: &str,
    after: Option<&str>,
    max: usize,
) -> Result<Vec<String>> {
    // What is synced wants nothing; of each other state a few suffice, in the order of its index.
    let some = |state| {
        format!(
            "SELECT * FROM (SELECT customer FROM sync INDEXED BY sync_state
             WHERE system = ?1 AND state = '{state}' AND repeat_at IS NOT NULL
                 AND customer > ifnull((SELECT seq FROM customers WHERE id = ?2), 0)
             ORDER BY customer LIMIT ?3)"
        )
    };
    let sql = format!(
        "SELECT c.id FROM ({} UNION ALL {}) s CROSS JOIN customers c ON c.seq = s.customer
         ORDER BY s.customer LIMIT ?3",
        some(State::Pending.as_str()),
        some(State::Failed.as_str())
    );
    ids(conn, &sql, params![system, after, max as i64])
}

fn ids(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<String>> {
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            statement.query_map(params, |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        })
        .doing("look for customers to announce again")
}

pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::reject(SAVE, error))
}

/// A column of JSON; `None` when it is NULL.
pub(super) fn json_of<T: DeserializeOwned>(row: &Row, index: usize) -> rusqlite::Result<Option<T>> {
    text_of(row, index)?
        .map(serde_json::from_str)
        .transpose()
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, e.into()))
}

fn text_of<'r>(row: &'r Row, index: usize) -> rusqlite::Result<Option<&'r str>> {
    Ok(row.get_ref(index)?.as_str_or_null()?)
}

/// A column of a number that is never negative.
pub(super) fn number(row: &Row, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(|number| number as u64)
}
