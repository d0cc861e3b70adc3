//! `GET /customers/{id}/history`: who made which version of a customer, and what it changed.

use std::sync::Arc;

use common::clock;
use common::http::{Answer, Problem, Request};
use common::record::Field;
use common::store::Version;
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

/// Oldest first. Tombstones have one too.
pub fn list(api: &Api, request: &Request, id: String) -> Answer {
    request.only_parameters(&["limit", "after"])?;
    let limit = pages::limit(request)?;
    let mut after = after(request)?;
    if api.readers.read(|store| store.entry(&id))?.is_none() {
        return Err(unknown(&id));
    }
    if pages::wants_ndjson(request) {
        let readers = Arc::clone(&api.readers);
        return Ok(pages::stream(limit, move |out, max| {
            let versions = readers.read(|store| store.history(&id, after, max))?;
            for version in &versions {
                pages::line(out, &shown(version));
            }
            after = versions.last().map_or(after, |last| last.version);
            Ok((versions.len(), versions.len() == max))
        }));
    }
    let limit = limit.unwrap_or(pages::LIMIT);
    // One more than asked for tells whether there is a next page.
    let mut versions = api.readers.read(|store| store.history(&id, after, limit + 1))?;
    let more = versions.len() > limit;
    versions.truncate(limit);
    let last = versions.last().filter(|_| more);
    let next = last.map(|last| ("after", last.version.to_string()));
    Ok(pages::page(request, Array::of(versions.iter().map(shown)), next))
}

fn after(request: &Request) -> Result<u64, Problem> {
    let Some(text) = request.parameter("after")? else { return Ok(0) };
    text.parse::<u64>().ok().filter(|after| i64::try_from(*after).is_ok()).ok_or_else(|| {
        Problem::bad_parameter("after", "must be a version, a whole number from 0 up")
    })
}

fn shown(version: &Version) -> ShownVersion<'_> {
    ShownVersion {
        version: version.version,
        origin: &version.origin,
        at: clock::rfc3339(version.at),
        changed: &version.changed,
    }
}
