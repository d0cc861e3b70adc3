//! `GET /customers/{id}/history`: who made which version of a customer, and what it changed.

use std::sync::Arc;

use common::clock;
use common::http::{Answer, Problem, Request};
use common::record::Field;
use common::store::{HistoryFrom, Version};
use serde::Serialize;

use crate::api::Api;
use crate::customers::unknown;
use crate::pages::{self, Array};

#[derive(Serialize)]
struct ShownVersion<'a> {
    version: u64,
    origin: &'a str,
    at: String,
    changed: &'a [Field],
}

/// Oldest first; with `before` newest first. Tombstones have one too.
pub fn list(api: &Api, request: &Request, id: String) -> Answer {
    request.only_parameters(&["limit", "after", "before"])?;
    let limit = pages::limit(request)?;
    let mut from = from(request)?;
    if api.readers.read(|store| store.entry(&id))?.is_none() {
        return Err(unknown(&id));
    }
    if pages::wants_ndjson(request) {
        let readers = Arc::clone(&api.readers);
        return Ok(pages::stream(limit, move |out, max| {
            let versions = readers.read(|store| store.history(&id, from, max))?;
            for version in &versions {
                pages::line(out, &shown(version));
            }
            from = versions.last().map_or(from, |last| beyond(from, last.version));
            Ok((versions.len(), versions.len() == max))
        }));
    }
    let limit = limit.unwrap_or(pages::LIMIT);
    // One more than asked for tells whether there is a next page.
    let mut versions = api.readers.read(|store| store.history(&id, from, limit + 1))?;
    let more = versions.len() > limit;
    versions.truncate(limit);
    let last = versions.last().filter(|_| more);
    let name = match from {
        HistoryFrom::After(_) => "after",
        HistoryFrom::Before(_) => "before",
    };
    let next = last.map(|last| (name, last.version.to_string()));
    Ok(pages::page(request, Array::of(versions.iter().map(shown)), next))
}

/// The same way on from this version.
fn beyond(from: HistoryFrom, version: u64) -> HistoryFrom {
    match from {
        HistoryFrom::After(_) => HistoryFrom::After(version),
        HistoryFrom::Before(_) => HistoryFrom::Before(version),
    }
}

fn from(request: &Request) -> Result<HistoryFrom, Problem> {
    match (version(request, "after")?, version(request, "before")?) {
        (after, None) => Ok(HistoryFrom::After(after.unwrap_or(0))),
        (None, Some(before)) => Ok(HistoryFrom::Before(before)),
        (Some(_), Some(_)) => {
            Err(Problem::bad_parameter("before", "goes the other way than \"after\": give one"))
        }
    }
}

fn version(request: &Request, name: &'static str) -> Result<Option<u64>, Problem> {
    let Some(text) = request.parameter(name)? else { return Ok(None) };
    let version = text.parse::<u64>().ok().filter(|version| i64::try_from(*version).is_ok());
    let why = "must be a version, a whole number from 0 up";
    version.map(Some).ok_or_else(|| Problem::bad_parameter(name, why))
}

fn shown(version: &Version) -> ShownVersion<'_> {
    ShownVersion {
        version: version.version,
        origin: &version.origin,
        at: clock::rfc3339(version.at),
        changed: &version.changed,
    }
}
