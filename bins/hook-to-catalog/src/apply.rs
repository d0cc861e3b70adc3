//! One record's effects, all of them in the caller's transaction, the inbox row among them.

use common::error::Result;
use common::record::{Change, Previous, STRIPE, Seconds, Snapshot, StripeEvent, SyncResult};
use common::store::Tx;
use common::sync::announce::{self, Envelope};
use common::sync::inbound::{self, Whose};
use common::sync::{Doubt, Entry, Policy, Seen, Took, results};

use crate::input::Input;

/// The systems every customer is kept in step with.
const SYSTEMS: [&str; 1] = [STRIPE];

/// What became of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Applied {
    Done,
    /// In doubt, and nobody may ask: what is known of that was stored.
    PutAside,
    /// Nothing was stored, not even in the inbox: ask Stripe for this customer first.
    Doubt(Question),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// The catalog's id, and Stripe's.
    pub customer: String,
    pub external_id: String,
    pub doubt: Doubt,
}

/// When it is, whether Stripe may be asked, and what the operator decided.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    pub now: i64,
    pub asks: bool,
    pub policy: &'a Policy,
}

/// Does to the catalog what this record says.
pub fn apply(tx: &Tx, input: &Input, here: Here) -> Result<Applied> {
    match input {
        Input::Result(result) => apply_result(tx, result, here),
        Input::Snapshot(snapshot) => apply_snapshot(tx, snapshot, &Seen::Listing, here),
        Input::Event(StripeEvent::Other { .. }) => Ok(Applied::Done),
        Input::Event(StripeEvent::Customer { id, created, snapshot, previous, .. }) => {
            apply_event(tx, id, *created, snapshot, previous, here)
        }
    }
}

fn apply_event(
    tx: &Tx,
    event_id: &str,
    created: Seconds,
    snapshot: &Snapshot,
    previous: &Previous,
    here: Here,
) -> Result<Applied> {
    if tx.inbox_seen(event_id)? {
        return Ok(Applied::Done);
    }
    let applied = apply_snapshot(tx, snapshot, &Seen::Event { created, previous }, here)?;
    match applied {
        Applied::Done | Applied::PutAside => tx.inbox_add(event_id, here.now)?,
        Applied::Doubt(_) => {}
    }
    Ok(applied)
}

fn apply_snapshot(tx: &Tx, snapshot: &Snapshot, seen: &Seen, here: Here) -> Result<Applied> {
    let linked = tx.entry_by_external(STRIPE, &snapshot.id)?;
    let named = match (&linked, &snapshot.catalog_id) {
        (None, Some(id)) => tx.entry(id)?,
        (_, _) => None,
    };
    match inbound::whose(STRIPE, snapshot, linked.is_some(), named.as_ref()) {
        Whose::Ours => match linked.or(named) {
            Some(entry) => {
                let applied = take(tx, entry, snapshot, seen, here)?;
                if !matches!(applied, Applied::Doubt(_)) {
                    tx.note_remove(STRIPE, &snapshot.id)?;
                }
                Ok(applied)
            }
            None => Ok(Applied::Done),
        },
        Whose::Duplicate => {
            note(tx, snapshot, "stamped, and its catalog customer is linked elsewhere", here.now)?;
            Ok(Applied::Done)
        }
        // Another catalog's, on the same Stripe account, unless this one is known to have lost some.
        Whose::Born { id } if id != snapshot.id && !tx.was_restored()? => {
            let why = "another catalog's, or lost by this one (then: catalog-api --restored)";
            note(tx, snapshot, why, here.now)?;
            Ok(Applied::Done)
        }
        Whose::Born { id } => {
            bear(tx, id, snapshot, seen, here.now)?;
            Ok(Applied::Done)
        }
    }
}

fn take(
    tx: &Tx,
    mut entry: Entry,
    snapshot: &Snapshot,
    seen: &Seen,
    here: Here,
) -> Result<Applied> {
    let took = inbound::on_snapshot(&mut entry, STRIPE, snapshot, seen, here.policy, here.now);
    match took.doubt {
        None => {
            keep(tx, entry, took, here.now)?;
            Ok(Applied::Done)
        }
        Some(doubt) if here.asks => {
            let customer = entry.customer.id;
            Ok(Applied::Doubt(Question { customer, external_id: snapshot.id.clone(), doubt }))
        }
        Some(doubt) => {
            let took = inbound::unasked(&mut entry, STRIPE, snapshot, &doubt, here.now);
            keep(tx, entry, took, here.now)?;
            Ok(Applied::PutAside)
        }
    }
}

fn bear(tx: &Tx, id: String, snapshot: &Snapshot, seen: &Seen, now: i64) -> Result<()> {
    if tx.entry(&id)?.is_some() {
        return note(tx, snapshot, "its id is taken in the catalog", now);
    }
    tx.note_remove(STRIPE, &snapshot.id)?;
    let mut entry = inbound::born(STRIPE, &SYSTEMS, id, snapshot, seen, now);
    if !entry.customer.deleted {
        let changed: Vec<_> =
            entry.customer.fields.iter().map(|(field, _)| field.clone()).collect();
        let change = announce::change(&mut entry, STRIPE, &changed, envelope(now));
        // The event refers to the customer.
        tx.save(&entry)?;
        return tx.announce(&change);
    }
    tx.save(&entry)
}

fn apply_result(tx: &Tx, result: &SyncResult, here: Here) -> Result<Applied> {
    let Some(mut entry) = tx.entry(&result.customer)? else {
        log::warn!("result {} is about an unknown customer, {}", result.event, result.customer);
        return Ok(Applied::Done);
    };
    if let Some(other) = linked_to_another(tx, &entry, result)? {
        let id = result.external_id.as_deref().unwrap_or_default();
        let why = format!("{id} at Stripe is linked to another customer here, {other}");
        log::warn!("customer {}: {why}", entry.customer.id);
        if let Some(sync) = entry.systems.get_mut(&result.system) {
            sync.error = Some(why);
        }
        tx.save(&entry)?;
        return Ok(Applied::Done);
    }
    let took = results::on_result(&mut entry, result, here.policy.deletes, here.now);
    let linked = entry.systems.get(&result.system).and_then(|sync| sync.external_id.clone());
    keep(tx, entry, took, here.now)?;
    if let Some(id) = result.external_id.as_ref().filter(|id| linked.as_ref() == Some(*id)) {
        tx.note_remove(&result.system, id)?;
    }
    Ok(Applied::Done)
}

/// Somebody stripped a new customer of our metadata before its link was known, and it was taken for
/// born at Stripe: one of theirs is never two of ours.
fn linked_to_another(tx: &Tx, entry: &Entry, result: &SyncResult) -> Result<Option<String>> {
    let Some(id) = &result.external_id else { return Ok(None) };
    let sync = entry.systems.get(&result.system);
    if sync.is_none_or(|sync| sync.external_id.is_some()) {
        return Ok(None);
    }
    let linked = tx.entry_by_external(&result.system, id)?;
    Ok(linked.map(|entry| entry.customer.id).filter(|id| *id != result.customer))
}

/// What Stripe answered when asked: a customer at a time.
#[derive(Clone, Debug)]
pub struct Read {
    pub snapshot: Snapshot,
    pub date: Seconds,
}

/// Settles a doubt by what Stripe answered, and with it the events that raised it.
pub fn settle(
    tx: &Tx,
    question: &Question,
    read: &Read,
    event_ids: &[String],
    here: Here,
) -> Result<Applied> {
    let mut unsettled = event_ids.is_empty();
    for id in event_ids {
        unsettled |= !tx.inbox_seen(id)?;
    }
    if !unsettled {
        // Another instance got the same records and has settled it.
        return Ok(Applied::Done);
    }
    if let Some(entry) = tx.entry(&question.customer)? {
        let seen = Seen::Read { date: read.date, doubt: &question.doubt };
        let applied = take(tx, entry, &read.snapshot, &seen, here)?;
        if applied != Applied::Done {
            return Ok(applied);
        }
    }
    for id in event_ids {
        tx.inbox_add(id, here.now)?;
    }
    Ok(Applied::Done)
}

/// Stores what the rules did to a customer.
fn keep(tx: &Tx, mut entry: Entry, took: Took, now: i64) -> Result<()> {
    if let Some(note) = took.note {
        log::debug!("customer {}: {note}", entry.customer.id);
    }
    let change: Option<Change> = took
        .announce
        .map(|(origin, changed)| announce::change(&mut entry, &origin, &changed, envelope(now)));
    if took.touched || change.is_some() {
        tx.save(&entry)?;
    }
    if let Some(change) = change {
        tx.announce(&change)?;
    }
    for conflict in &took.conflicts {
        tx.conflict_add(&entry.customer.id, STRIPE, conflict, now)?;
    }
    Ok(())
}

/// A stray: shown to people until it is deleted at Stripe, linked, or born here.
fn note(tx: &Tx, snapshot: &Snapshot, why: &str, now: i64) -> Result<()> {
    if snapshot.deleted {
        return tx.note_gone(STRIPE, &snapshot.id, now);
    }
    log::warn!("{}: {why}: nothing changed", snapshot.id);
    tx.note(STRIPE, &snapshot.id, snapshot.catalog_id.as_deref(), why, now)
}

fn envelope(now: i64) -> Envelope {
    Envelope { event_id: uuid::Uuid::now_v7().to_string(), now }
}
