//! `GET /customers`: which customers, and how they are shown.

use std::sync::Arc;

use common::clock;
use common::http::{Answer, Problem, Request};
use common::record::STRIPE;
use common::store::{Cursor, Query, State};

use crate::api::Api;
use crate::pages;
use crate::shown::Shown;

const PARAMETERS: [&str; 6] = ["limit", "cursor", "email", "q", "updated_since", "sync"];

/// The longest text to look for: no e-mail or name is longer.
const TEXT_CHARS_MAX: usize = 512;

/// `GET /customers`.
pub fn list(api: &Api, request: &Request) -> Answer {
    request.only_parameters(&PARAMETERS)?;
    let limit = pages::limit(request)?;
    let query = query(request)?;
    if pages::wants_ndjson(request) {
        let readers = Arc::clone(&api.readers);
        let mut query = query;
        return Ok(pages::stream(limit, move |out, max| {
            query.limit = max;
            let mut count = 0;
            query.after = readers.read(|store| {
                store.list_each(&query, |entry| {
                    pages::line(out, &Shown(&entry));
                    count += 1;
                })
            })?;
            Ok((count, query.after.is_some()))
        }));
    }
    let mut array = pages::Array::default();
    let next = page(api, query, limit.unwrap_or(pages::LIMIT), &mut array)?;
    Ok(pages::page(request, array, next.map(|next| ("cursor", next.to_string()))))
}

/// Prints a page, some customers at a time: many callers may want long ones at once.
fn page(
    api: &Api,
    mut query: Query,
    limit: usize,
    array: &mut pages::Array,
) -> common::error::Result<Option<Cursor>> {
    let mut left = limit;
    loop {
        query.limit = left.min(pages::ITEMS_AT_ONCE);
        query.after = api.readers.read(|store| {
            store.list_each(&query, |entry| {
                array.add(&Shown(&entry));
                left -= 1;
            })
        })?;
        if left == 0 || query.after.is_none() {
            return Ok(query.after);
        }
    }
}

fn query(request: &Request) -> Result<Query, Problem> {
    let refuse = |name, why: &str| Err(Problem::bad_parameter(name, why));
    let mut query = Query::default();
    if let Some(text) = request.parameter("cursor")? {
        query.after = match text.parse::<Cursor>() {
            Ok(cursor) => Some(cursor),
            Err(_) => return refuse("cursor", "is not one that this catalog gave out"),
        };
    }
    query.email = text(request, "email")?;
    query.q = text(request, "q")?;
    if let Some(text) = request.parameter("updated_since")? {
        query.updated_since = match clock::parse_rfc3339(text) {
            Some(at) => Some(at),
            None => {
                return refuse(
                    "updated_since",
                    "must be a time in UTC, as in 2026-11-22T10:00:00Z",
                );
            }
        };
    }
    if query.after.as_ref().is_some_and(|at| at.goes_by_time() != query.updated_since.is_some()) {
        return refuse("cursor", "belongs to a list with other filters");
    }
    if let Some(text) = request.parameter("sync")? {
        let states = [State::Pending, State::Synced, State::Failed];
        query.sync = match states.into_iter().find(|state| state.as_str() == text) {
            Some(state) => Some((STRIPE.to_owned(), state)),
            None => return refuse("sync", "must be pending, synced or failed"),
        };
    }
    Ok(query)
}

/// A text to look for.
fn text(request: &Request, name: &str) -> Result<Option<String>, Problem> {
    let Some(text) = request.parameter(name)? else { return Ok(None) };
    let chars = text.chars().count();
    if chars > TEXT_CHARS_MAX {
        let why = format!("must be at most {TEXT_CHARS_MAX} characters, but has {chars}");
        return Err(Problem::bad_parameter(name, why));
    }
    Ok(Some(text.to_owned()))
}
