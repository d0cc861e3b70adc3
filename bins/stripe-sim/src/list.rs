//! Lists: pages by cursor, newest first, and the filters of customers and events. It must never
//! change anything.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::customer;
use crate::errors::ApiError;
use crate::form::{Form, Node, only};
use crate::store::{Event, Store};

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 100;
const TYPES_MAX: usize = 20;
/// Stripe shows events of the last 30 days.
const EVENT_AGE_MAX_S: i64 = 30 * 24 * 3600;
/// What events can expand.
const EMAIL_CHARS_MAX: usize = 512;

/// `GET /v1/customers`
pub fn customers(store: &Store, form: &Form) -> Result<Value, ApiError> {
    let known =
        ["limit", "starting_after", "ending_before", "email", "created", "test_clock", "expand"];
    form.only(&known)?;
    customer::check_expand(form, "data.")?;
    let seq_of = |id: &str| store.customer(id).map(|customer| customer.seq);
    let page = Page::read(form, "customer", seq_of)?;
    let created = Created::read(form)?;
    let email = form.text("email")?;
    if email.is_some_and(|email| email.chars().count() > EMAIL_CHARS_MAX) {
        return Err(
            ApiError::invalid("Invalid string: must be at most 512 characters").param("email")
        );
    }
    if let Some(clock) = form.text("test_clock")? {
        return Err(ApiError::missing(400, "test clock", clock, "test_clock"));
    }
    let (rows, has_more) = page.of(&store.customers, |customer| {
        !customer.deleted
            && created.holds(customer.created)
            && email.is_none_or(|email| customer.email.as_deref() == Some(email))
    });
    let mut data = Vec::with_capacity(rows.len());
    for row in rows {
        data.push(expanded(&row.json, form, "data."));
    }
    Ok(json!({ "object": "list", "data": data, "has_more": has_more, "url": "/v1/customers" }))
}

/// `GET /v1/events`
pub fn events(store: &Store, form: &Form, now_s: i64) -> Result<Value, ApiError> {
    let known = [
        "limit",
        "starting_after",
        "ending_before",
        "type",
        "types",
        "created",
        "delivery_success",
        "expand",
    ];
    form.only(&known)?;
    let seq_of = |id: &str| store.event(id).map(|event| event.seq);
    let page = Page::read(form, "event", seq_of)?;
    let created = Created::read(form)?;
    let types = read_types(form)?;
    let delivered = match form.text("delivery_success")? {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => {
            return Err(
                ApiError::invalid(format!("Invalid boolean: {other}")).param("delivery_success")
            );
        }
    };
    let (rows, has_more) = page.of(&store.events, |event| {
        now_s - event.created <= EVENT_AGE_MAX_S
            && created.holds(event.created)
            && (types.is_empty() || types.iter().any(|t| type_matches(t, &event.kind)))
            && delivered.is_none_or(|delivered| event.pending.is_empty() == delivered)
    });
    let data: Vec<Value> = rows.into_iter().map(event).collect();
    Ok(json!({ "object": "list", "data": data, "has_more": has_more, "url": "/v1/events" }))
}

/// `GET /v1/events/{id}`
pub fn event_by_id(store: &Store, form: &Form, id: &str, now_s: i64) -> Result<Value, ApiError> {
    form.only(&["expand"])?;
    store
        .event(id)
        .filter(|event| now_s - event.created <= EVENT_AGE_MAX_S)
        .map(event)
        .ok_or_else(|| ApiError::missing(404, "event", id, "id"))
}

/// An event as the API shows it now: the endpoints still waiting are counted anew.
pub fn event(event: &Event) -> Value {
    let mut value = parse(&event.json);
    if let Value::Object(object) = &mut value {
        object.insert("pending_webhooks".into(), json!(event.pending.len()));
    }
    value
}

/// A customer as the API shows it, with what `expand[]` asked for.
pub fn expanded(json: &RawValue, form: &Form, prefix: &str) -> Value {
    let mut value = parse(json);
    if let Value::Object(object) = &mut value {
        customer::expand(object, form, prefix);
    }
    value
}

/// What the store holds was made here, so that it always parses.
pub fn parse(json: &RawValue) -> Value {
    serde_json::from_str(json.get()).unwrap_or(Value::Null)
}

/// `customer.*` and `*` are patterns, everything else is a name.
pub fn type_matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => kind.starts_with(start),
        None => kind == pattern,
    }
}

fn read_types(form: &Form) -> Result<Vec<String>, ApiError> {
    let one = form.text("type")?;
    let Some(node) = form.root.get("types") else {
        return Ok(one.map(ToOwned::to_owned).into_iter().collect());
    };
    if one.is_some() {
        return Err(ApiError::invalid(
            "You may only specify one of these parameters: type, types.",
        )
        .code("parameters_exclusive")
        .param("types"));
    }
    let mut types = Vec::new();
    for item in node.list("types")? {
        types.push(item.text("types")?.to_owned());
    }
    if types.len() > TYPES_MAX {
        return Err(ApiError::invalid("You may only specify up to 20 types.").param("types"));
    }
    Ok(types)
}

pub fn read_limit(form: &Form) -> Result<usize, ApiError> {
    let Some(text) = form.text("limit")? else { return Ok(LIMIT_DEFAULT) };
    let limit: i64 = text.parse().map_err(|_| ApiError::integer("limit", text))?;
    let wrong = |than: &str, bound: usize| {
        ApiError::invalid(format!(
            "This value must be {than} than or equal to {bound} (it currently is '{limit}')."
        ))
        .code("parameter_invalid_integer")
        .param("limit")
    };
    match usize::try_from(limit) {
        Ok(0) | Err(_) => Err(wrong("greater", 1)),
        Ok(limit) if limit > LIMIT_MAX => Err(wrong("less", LIMIT_MAX)),
        Ok(limit) => Ok(limit),
    }
}

struct Page {
    limit: usize,
    cursor: Cursor,
}

enum Cursor {
    Newest,
    /// Older than this one.
    After(u64),
    /// Newer than this one.
    Before(u64),
}

impl Page {
    fn read(
        form: &Form,
        what: &str,
        seq_of: impl Fn(&str) -> Option<u64>,
    ) -> Result<Self, ApiError> {
        let limit = read_limit(form)?;
        let find = |param: &str| match form.text(param)? {
            None => Ok(None),
            Some(id) => match seq_of(id) {
                Some(seq) => Ok(Some(seq)),
                None => Err(ApiError::missing(400, what, id, param)),
            },
        };
        let cursor = match (find("starting_after")?, find("ending_before")?) {
            (None, None) => Cursor::Newest,
            (Some(seq), None) => Cursor::After(seq),
            (None, Some(seq)) => Cursor::Before(seq),
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid(
                    "You may only specify one of these parameters: ending_before, starting_after.",
                )
                .code("parameters_exclusive"));
            }
        };
        Ok(Self { limit, cursor })
    }

    /// The page's rows, newest first, and whether there is more in the direction of reading.
    fn of<'a, T>(
        &self,
        rows: &'a BTreeMap<u64, T>,
        keep: impl Fn(&T) -> bool,
    ) -> (Vec<&'a T>, bool) {
        let mut found: Vec<&T> = match self.cursor {
            Cursor::Newest => {
                rows.values().rev().filter(|r| keep(r)).take(self.limit + 1).collect()
            }
            Cursor::After(seq) => rows
                .range(..seq)
                .rev()
                .map(|r| r.1)
                .filter(|r| keep(r))
                .take(self.limit + 1)
                .collect(),
            // Directly newer than the cursor, so read upwards from it and turn the page over.
            Cursor::Before(seq) => rows
                .range(seq + 1..)
                .map(|r| r.1)
                .filter(|r| keep(r))
                .take(self.limit + 1)
                .collect(),
        };
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        if matches!(self.cursor, Cursor::Before(_)) {
            found.reverse();
        }
        (found, has_more)
    }
}

/// `created=N` or `created[gte]=N` and the like.
#[derive(Default)]
struct Created {
    bounds: Vec<(String, i64)>,
}

impl Created {
    fn read(form: &Form) -> Result<Self, ApiError> {
        let mut bounds = Vec::new();
        match form.root.get("created") {
            None => {}
            Some(Node::Text(text)) => {
                let value = text.parse().map_err(|_| ApiError::integer("created", text))?;
                bounds.push(("eq".to_owned(), value));
            }
            Some(Node::Map(map)) => {
                only(map, &["gt", "gte", "lt", "lte"], "created")?;
                for (bound, node) in map {
                    let param = format!("created[{bound}]");
                    let text = node.text(&param)?;
                    let value = text.parse().map_err(|_| ApiError::integer(&param, text))?;
                    bounds.push((bound.clone(), value));
                }
            }
        }
        Ok(Self { bounds })
    }

    fn holds(&self, created: i64) -> bool {
        self.bounds.iter().all(|(bound, value)| match bound.as_str() {
            "gt" => created > *value,
            "gte" => created >= *value,
            "lt" => created < *value,
            "lte" => created <= *value,
            _ => created == *value,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on has failed
mod tests {
    use super::*;

    fn page(limit: usize, cursor: Cursor) -> (Vec<u64>, bool) {
        let rows: BTreeMap<u64, u64> = (1..=7).map(|n| (n, n)).collect();
        let (found, more) = Page { limit, cursor }.of(&rows, |n| n % 2 == 1);
        (found.into_iter().copied().collect(), more)
    }

    #[test]
    fn pages_go_from_the_newest_and_from_a_cursor_both_ways() {
        assert_eq!(page(2, Cursor::Newest), (vec![7, 5], true));
        assert_eq!(page(2, Cursor::After(5)), (vec![3, 1], false));
        assert_eq!(page(2, Cursor::Before(1)), (vec![5, 3], true));
        assert_eq!(page(9, Cursor::Before(3)), (vec![7, 5], false));
        assert_eq!(page(1, Cursor::Before(7)), (vec![], false));
    }

    #[test]
    fn limits_types_and_bounds_are_checked() {
        let refused = |text: &str| {
            let mut form = Form::default();
            form.add(text.as_bytes()).unwrap();
            let store = Store::default();
            events(&store, &form, 0).err().and_then(|e| e.param)
        };
        for (text, param) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=x", "limit"),
            ("created[foo]=1", "created[foo]"),
            ("created[gte]=x", "created[gte]"),
            ("delivery_success=maybe", "delivery_success"),
            ("type=a&types[]=b", "types"),
            ("starting_after=evt_no", "starting_after"),
            ("foo=1", "foo"),
        ] {
            assert_eq!(refused(text).as_deref(), Some(param), "{text}");
        }
        assert_eq!(refused("types[0]=customer.*&created[gte]=1&limit=100"), None);
    }
}
