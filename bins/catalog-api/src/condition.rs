//! `If-Match`: a write happens only if the customer still is what the caller saw.

use common::http::{Problem, Request};
use common::sync::Entry;

#[derive(Debug)]
pub enum Condition {
    None,
    /// `*`: it exists.
    Exists,
    /// One of these tags.
    Tags(Vec<String>),
}

impl Condition {
    pub fn of(request: &Request) -> Result<Self, Problem> {
        let Some(header) = request.header("If-Match") else { return Ok(Self::None) };
        if header == "*" {
            return Ok(Self::Exists);
        }
        let tags: Vec<_> = header.split(',').map(|tag| tag.trim().to_owned()).collect();
        let quoted = |tag: &String| {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            strong.len() >= 2 && strong.starts_with('"') && strong.ends_with('"')
        };
        if tags.iter().all(quoted) {
            return Ok(Self::Tags(tags));
        }
        Err(Problem::bad_parameter("If-Match", "must be * or an ETag as it was given, as in \"7\""))
    }

    pub fn check(&self, entry: &Entry) -> Result<(), Problem> {
        let etag = etag(entry);
        match self {
            Self::None | Self::Exists => Ok(()),
            // A weak tag never matches: If-Match compares strongly.
            Self::Tags(tags) if tags.contains(&etag) => Ok(()),
            Self::Tags(_) => {
                let version = entry.customer.version;
                let detail = format!(
                    "somebody changed this customer in between: it is at version {version}; \
                     read it again and decide anew"
                );
                Err(Problem::new(412, detail).header("ETag", etag))
            }
        }
    }
}

/// A customer's version as a tag.
pub fn etag(entry: &Entry) -> String {
    format!("\"{}\"", entry.customer.version)
}
