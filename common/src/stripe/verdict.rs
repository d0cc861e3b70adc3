//! What an answer of Stripe's means for the one who asked. Pure: an answer in, a verdict out.
//! Never passes on Stripe's words about the key itself.

use serde_json::Value as Json;

use super::answer::{CallError, Reply, Scope};
use super::mapping::field_of_param;
use crate::error::{Error, Kind};
use crate::record::{Field, Seconds, Snapshot};

/// Stripe's words are shown to people; this much of them will do.
const WHY_CHARS_MAX: usize = 300;

/// The meaning of an answer (or of none).
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It worked. A replayed answer shows the customer as it was when the key was first used.
    Customer { snapshot: Snapshot, replayed: bool, date: Option<Seconds> },
    /// Stripe refuses a param and names it. `field` is the field that the param brings, if any.
    Refused { field: Option<Field>, param: String, why: String },
    /// The idempotency key was used for another body.
    KeyReused,
    /// There is no such customer (any more).
    Missing,
    /// A server error that every repeat under this key gets again; its effect is unknown.
    StoredError(Error),
    /// Time may heal it: the same request again, later.
    Retry { error: Error, scope: Scope },
    /// Refused for good, and no param is named.
    Failed(String),
    /// The operator must act.
    Fatal(Error),
}

/// The verdict on a call, answered or not.
pub fn verdict(called: Result<Reply, CallError>) -> Verdict {
    match called {
        Ok(reply) => classify(&reply),
        Err(CallError { error, scope }) => match error.kind {
            Kind::Retry => Verdict::Retry { error, scope },
            Kind::Reject => Verdict::Failed(error.to_string()),
            Kind::Fatal => Verdict::Fatal(error),
        },
    }
}

/// The verdict on an answer.
pub fn classify(reply: &Reply) -> Verdict {
    let error = &reply.body["error"];
    match reply.status {
        200..=299 => success(reply),
        401 | 403 => Verdict::Fatal(credentials_refused(reply)),
        429 => retry(reply, rate_limit_scope(reply)),
        500..=599 => server_error(reply),
        400..=499 if error.is_object() => client_error(reply),
        // No error of Stripe's: somebody in between answered, or the address is wrong.
        _ => Verdict::Retry {
            error: Error::retry(&reply.operation, format!("status {}, not Stripe's", reply.status))
                .hint("is STRIPE_API_BASE right, and is there a proxy in between?"),
            scope: Scope::Account,
        },
    }
}

/// The error of a list that did not come. Never to be taken for an empty list.
pub(super) fn page_error(reply: &Reply) -> CallError {
    match classify(reply) {
        Verdict::Retry { error, scope } => CallError { error, scope },
        Verdict::Fatal(error) => CallError { error, scope: Scope::Account },
        // Such as a cursor that was deleted meanwhile: a new list starts without it.
        Verdict::Customer { .. }
        | Verdict::Refused { .. }
        | Verdict::KeyReused
        | Verdict::Missing
        | Verdict::StoredError(_)
        | Verdict::Failed(_) => {
            CallError { error: Error::retry(&reply.operation, why(reply)), scope: Scope::Account }
        }
    }
}

fn success(reply: &Reply) -> Verdict {
    match Snapshot::from_json(&reply.body) {
        Some(snapshot) => {
            Verdict::Customer { snapshot, replayed: reply.replayed, date: reply.date }
        }
        // The effect may be there; under the same key the next try learns of it.
        None => Verdict::Retry {
            error: Error::retry(&reply.operation, "the answer is no customer"),
            scope: Scope::Customer,
        },
    }
}

/// What is wrong with this request, by Stripe's own account.
fn client_error(reply: &Reply) -> Verdict {
    let (code, param) = (code(reply), text(reply, "param"));
    let is_key_in_use = code == Some("idempotency_key_in_use");
    if text(reply, "type") == Some("idempotency_error") && !is_key_in_use {
        return Verdict::KeyReused;
    }
    let temporary = match reply.status {
        // Under the same key, or on the same customer, somebody else is at it.
        409 => is_key_in_use || reply.should_retry != Some(false),
        // A system behind Stripe's, or a time-out on the way in.
        408 | 424 => reply.should_retry != Some(false),
        _ => reply.should_retry == Some(true),
    };
    match code {
        Some("lock_timeout") => return retry(reply, Scope::Customer),
        Some("rate_limit") => return retry(reply, Scope::Account),
        _ if temporary => return retry(reply, Scope::Customer),
        _ => {}
    }
    let field = param.and_then(field_of_param).or_else(|| field_of_code(code));
    if code == Some("resource_missing") && field.is_none() {
        return Verdict::Missing;
    }
    match (param, field) {
        (Some(param), field) => {
            Verdict::Refused { field, param: param.to_owned(), why: why(reply) }
        }
        (None, Some(field)) => {
            Verdict::Refused { param: field.to_string(), field: Some(field), why: why(reply) }
        }
        (None, None) => Verdict::Failed(why(reply)),
    }
}

/// The field that an error concerns by its code, where Stripe may leave the param out.
fn field_of_code(code: Option<&str>) -> Option<Field> {
    match code? {
        "email_invalid" => Some(Field::Email),
        "country_code_invalid" | "customer_tax_location_invalid" => Some(Field::Address),
        _ => None,
    }
}

fn server_error(reply: &Reply) -> Verdict {
    // Played back, or told not to ask again: under this key nothing else will ever come.
    if reply.replayed || reply.should_retry == Some(false) {
        return Verdict::StoredError(Error::retry(&reply.operation, why(reply)));
    }
    retry(reply, Scope::Customer)
}

/// `Stripe-Should-Retry: false` on a 429 means "not at once", and we never do: the edit that
/// waits is not given up for having come too fast.
fn rate_limit_scope(reply: &Reply) -> Scope {
    let reason = reply.rate_limited_reason.as_deref();
    if code(reply) == Some("lock_timeout") || reason == Some("resource-specific") {
        return Scope::Customer;
    }
    Scope::Account
}

fn retry(reply: &Reply, scope: Scope) -> Verdict {
    Verdict::Retry { error: Error::retry(&reply.operation, why(reply)), scope }
}

fn credentials_refused(reply: &Reply) -> Error {
    let name = reply.key_name;
    let (cause, hint) = if reply.status == 401 {
        ("Stripe does not accept the key", format!("set {name} to a valid key of the account"))
    } else {
        ("the key may not do this", format!("give the key in {name} the permission at Stripe"))
    };
    Error::fatal(&reply.operation, format!("{cause} (status {})", reply.status)).hint(hint)
}

fn text<'a>(reply: &'a Reply, member: &str) -> Option<&'a str> {
    reply.body.get("error")?.get(member).and_then(Json::as_str).filter(|text| !text.is_empty())
}

fn code(reply: &Reply) -> Option<&str> {
    text(reply, "code")
}

/// Stripe's words, on one line, and the request's id to ask Stripe about.
fn why(reply: &Reply) -> String {
    let words = text(reply, "message").or(code(reply)).unwrap_or("no reason given");
    let words: Vec<_> = words
        .split_whitespace()
        .map(|word| if names_a_key(word) { "(a key)" } else { word })
        .collect();
    let words: String = words.join(" ").chars().take(WHY_CHARS_MAX).collect();
    let status = reply.status;
    match &reply.request_id {
        Some(id) => format!("{words} (status {status}, request {id})"),
        None => format!("{words} (status {status})"),
    }
}

fn names_a_key(word: &str) -> bool {
    ["sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"].iter().any(|key| word.contains(key))
}

#[cfg(test)]
mod tests;
