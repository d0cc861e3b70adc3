//! What has to be known of a Stripe event to hand it on: who it is about and when it was made.
//! The event itself stays the bytes that Stripe wrote; it is not read further than this.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::record::Seconds;

/// The head of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventHead {
    pub id: String,
    /// As in `customer.updated`.
    pub kind: String,
    pub created: Option<Seconds>,
    /// The partition key: all that concerns one customer stays in order.
    pub key: String,
    pub shape: Shape,
}

/// The two kinds of event that Stripe sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// `event`: carries the object as it was.
    Snapshot,
    /// `v2.core.event`: says only that something happened.
    Thin,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    object: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: Option<Subject<'a>>,
}

#[derive(Deserialize)]
struct Subject<'a> {
    #[serde(borrow)]
    object: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    /// An id, or the whole customer where somebody asked Stripe to expand it.
    #[serde(borrow)]
    customer: Option<&'a RawValue>,
}

impl EventHead {
    /// Reads the head of one event. `Reject` says what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let bad = |cause: String| Error::reject("read Stripe event", cause);
        let event: Event = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        let shape = match event.object.as_deref() {
            Some("event") => Shape::Snapshot,
            Some("v2.core.event") => Shape::Thin,
            Some(_) | None => return Err(bad("object: not \"event\"".into())),
        };
        let text = |member: Option<Cow<str>>, name: &str| {
            member
                .map(Cow::into_owned)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| bad(format!("{name}: missing")))
        };
        let (id, kind) = (text(event.id, "id")?, text(event.kind, "type")?);
        let data: Option<Data> = match event.data {
            Some(data) => serde_json::from_str(data.get()).map_err(|e| bad(e.to_string()))?,
            None => None,
        };
        if shape == Shape::Snapshot && data.as_ref().is_none_or(|data| data.object.is_none()) {
            return Err(bad("data.object: missing".into()));
        }
        let key = data.and_then(|data| data.object?.key()).unwrap_or_else(|| id.clone());
        let created = event.created.and_then(|created| created.get().parse().ok());
        Ok(Self { id, kind, created, key, shape })
    }
}

impl Subject<'_> {
    fn key(self) -> Option<String> {
        let id = self.id.map(Cow::into_owned).filter(|id| !id.is_empty());
        if self.object.as_deref() == Some("customer") {
            return id;
        }
        self.customer.and_then(customer_id).or(id)
    }
}

fn customer_id(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Expanded {
        id: String,
    }
    let id = serde_json::from_str::<String>(raw.get());
    let id = id.or_else(|_| serde_json::from_str::<Expanded>(raw.get()).map(|whole| whole.id));
    id.ok().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn head(object: &serde_json::Value) -> EventHead {
        let event = json!({"id": "evt_1", "object": "event", "type": "x", "created": 5,
                           "data": {"object": object, "previous_attributes": {}}});
        EventHead::parse(event.to_string().as_bytes()).expect("reads")
    }

    #[test]
    fn the_key_is_the_customer_the_event_is_about() {
        let cases = [
            (json!({"id": "cus_1", "object": "customer", "customer": "cus_2"}), "cus_1"),
            (json!({"id": "in_1", "object": "invoice", "customer": "cus_1"}), "cus_1"),
            (json!({"id": "in_1", "object": "invoice", "customer": {"id": "cus_1"}}), "cus_1"),
            (json!({"id": "in_1", "object": "invoice", "customer": null}), "in_1"),
            (json!({"id": "in_1", "object": "invoice", "customer": 7}), "in_1"),
            (json!({"object": "balance"}), "evt_1"),
        ];
        for (object, key) in cases {
            assert_eq!(head(&object).key, key, "{object}");
        }
        assert_eq!(head(&json!({"id": "cus_1"})).created, Some(5));
    }

    #[test]
    fn a_thin_event_is_told_from_one_with_data() {
        let thin = json!({"id": "evt_1", "object": "v2.core.event", "created": "2026-11-22T10:00Z",
            "type": "v1.customer.updated", "related_object": {"id": "cus_1"}});
        let head = EventHead::parse(thin.to_string().as_bytes()).expect("reads");
        assert_eq!((head.shape, head.created), (Shape::Thin, None));
    }

    #[test]
    fn what_is_no_event_is_refused_with_the_member_that_is_wrong() {
        let cases = [
            ("", "EOF"),
            ("[]", "invalid"),
            ("{}", "object"),
            (r#"{"object":"customer","id":"cus_1"}"#, "object"),
            (r#"{"object":"event","type":"x","data":{"object":{}}}"#, "id"),
            (r#"{"object":"event","id":"","type":"x","data":{"object":{}}}"#, "id"),
            (r#"{"object":"event","id":"evt_1","data":{"object":{}}}"#, "type"),
            (r#"{"object":"event","id":"evt_1","type":"x"}"#, "data.object"),
            (r#"{"object":"event","id":"evt_1","type":"x","data":{}}"#, "data.object"),
            (r#"{"object":"event","id":"evt_1","type":"x","data":[1]}"#, "invalid"),
        ];
        for (event, member) in cases {
            let error = EventHead::parse(event.as_bytes()).expect_err(event);
            assert!(error.cause.contains(member), "{event}: {error}");
        }
    }
}
