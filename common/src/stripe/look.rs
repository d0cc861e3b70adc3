//! Is a customer of ours at Stripe already? Asked before a create whose idempotency key may have
//! been forgotten. One pass over Stripe's lists answers all who wait; a pass that fails is an
//! error for each of them, and never means that nothing is there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::client::{Client, EventsQuery, PAGE_MAX};
use super::rate::{Endpoint, Rate};
use crate::error::{Error, Result};
use crate::record::{Seconds, Snapshot};

/// Our clock and Stripe's differ; by more than this, and neither can be believed.
pub const LOOK_SLACK_S: Seconds = 3600;
/// A pass reads at most this many pages of each list: a million customers.
const PAGES_MAX: usize = 10_000;

/// What was found of one customer of the catalog.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// Live customers with its id and a stamp, the oldest first: that one counts, and any
    /// other is a duplicate.
    Live(Vec<Snapshot>),
    /// None is live, but this one was, and was deleted in the last 30 days.
    Gone(String),
    Absent,
}

/// Looks for several customers in one pass. Blocking; shared by the threads that ask.
#[derive(Debug)]
pub struct Looker {
    client: Client,
    rate: Arc<Rate>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next_ticket: u64,
    waiting: Vec<Wanted>,
    found: HashMap<u64, Result<Found>>,
    is_looking: bool,
}

#[derive(Debug)]
struct Wanted {
    ticket: u64,
    customer_id: String,
    first_at: Seconds,
}

impl Looker {
    pub fn new(client: Client, rate: Arc<Rate>) -> Self {
        Self { client, rate, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Looks for the customer, whose create was announced at `first_at` at the earliest. Whoever
    /// asks while a pass is under way waits for the next one: this one may have read past it.
    pub fn look(&self, customer_id: &str, first_at: Seconds) -> Result<Found> {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push(Wanted { ticket, customer_id: customer_id.to_owned(), first_at });
        loop {
            if let Some(found) = state.found.remove(&ticket) {
                return found;
            }
            if state.is_looking {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.is_looking = true;
            let wanted = std::mem::take(&mut state.waiting);
            drop(state);
            let pass = self.pass(&wanted);
            state = self.lock();
            for Wanted { ticket, customer_id, .. } in wanted {
                let found = pass.as_ref().map_err(Error::clone).map(|pass| pass.of(&customer_id));
                state.found.insert(ticket, found);
            }
            state.is_looking = false;
            self.changed.notify_all();
        }
    }

    /// The live ones first, then the deleted: one deleted in between is in both, not in neither.
    fn pass(&self, wanted: &[Wanted]) -> Result<Pass> {
        let mut pass = Pass {
            ids: wanted.iter().map(|wanted| wanted.customer_id.clone()).collect(),
            ..Pass::default()
        };
        let oldest = wanted.iter().map(|wanted| wanted.first_at).min().unwrap_or(0);
        let since = Some(oldest.saturating_sub(LOOK_SLACK_S));
        self.pages(
            Endpoint::ListCustomers,
            |after| Ok(self.client.list_customers(since, after, PAGE_MAX)?),
            |json| pass.live(json),
        )?;
        self.pages(
            Endpoint::Events,
            |after| {
                let types = &["customer.deleted"][..];
                let query = EventsQuery {
                    types,
                    starting_after: after,
                    created_gte: since,
                    limit: PAGE_MAX,
                    ..EventsQuery::default()
                };
                Ok(self.client.events(&query)?)
            },
            |json| pass.deleted(json),
        )?;
        Ok(pass)
    }

    fn pages(
        &self,
        endpoint: Endpoint,
        read: impl Fn(Option<&str>) -> Result<super::Page>,
        mut take: impl FnMut(&Json),
    ) -> Result<()> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            if !self.rate.take(endpoint) {
                return Err(Error::retry("look for customers at Stripe", "the program ends"));
            }
            let page = read(after.as_deref())?;
            for item in &page.items {
                let json = parse(item)?;
                take(&json);
                after = json.get("id").and_then(Json::as_str).map(str::to_owned);
            }
            if !page.has_more || page.items.is_empty() {
                return Ok(());
            }
        }
        Err(Error::retry(
            "look for customers at Stripe",
            format!("more than {PAGES_MAX} pages were made since: the list has no end"),
        ))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(item: &RawValue) -> Result<Json> {
    serde_json::from_str(item.get()).map_err(|e| Error::retry("look for customers at Stripe", e))
}

/// What one pass saw of the customers it looked for.
#[derive(Debug, Default)]
struct Pass {
    ids: HashSet<String>,
    /// By catalog id; with the time it was created and the order it was listed in.
    live: BTreeMap<String, Vec<(Seconds, usize, Snapshot)>>,
    /// By catalog id, newest first.
    gone: BTreeMap<String, Vec<String>>,
    seen: usize,
}

impl Pass {
    fn live(&mut self, customer: &Json) {
        self.seen += 1;
        if let Some((catalog_id, snapshot)) = self.ours(customer)
            && !snapshot.deleted
        {
            let created = customer.get("created").and_then(Json::as_i64).unwrap_or(0);
            let found = self.live.entry(catalog_id).or_default();
            // A list that changes while it is read may show one twice.
            if !found.iter().any(|(_, _, known)| known.id == snapshot.id) {
                found.push((created, self.seen, snapshot));
            }
        }
    }

    fn deleted(&mut self, event: &Json) {
        let is_deletion = event.get("type").and_then(Json::as_str) == Some("customer.deleted");
        let object = event.get("data").and_then(|data| data.get("object"));
        if is_deletion
            && let Some(object) = object
            && let Some((catalog_id, snapshot)) = self.ours(object)
        {
            self.gone.entry(catalog_id).or_default().push(snapshot.id);
        }
    }

    /// Made by us, not a copy of our metadata by hand: those have no stamp of ours to carry.
    fn ours(&self, customer: &Json) -> Option<(String, Snapshot)> {
        let snapshot = Snapshot::from_json(customer)?;
        let catalog_id = snapshot.catalog_id.clone()?;
        let is_wanted = snapshot.stamp.is_some() && self.ids.contains(&catalog_id);
        is_wanted.then_some((catalog_id, snapshot))
    }

    fn of(&self, customer_id: &str) -> Found {
        let gone = self.gone.get(customer_id).map_or(&[][..], Vec::as_slice);
        let live = self.live.get(customer_id).map_or(&[][..], Vec::as_slice);
        let mut live: Vec<_> = live.iter().filter(|(.., seen)| !gone.contains(&seen.id)).collect();
        // The list is newest first, so of one second the later listed is the older.
        live.sort_by_key(|(created, order, _)| (*created, usize::MAX - order));
        if !live.is_empty() {
            return Found::Live(live.into_iter().map(|(.., seen)| seen.clone()).collect());
        }
        gone.last().map_or(Found::Absent, |id| Found::Gone(id.clone()))
    }
}

#[cfg(test)]
mod tests;
