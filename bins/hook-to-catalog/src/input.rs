//! What a record is, told by its content, so that all kinds may come in one stream.

use common::error::{Error, Result};
use common::record::{Snapshot, StripeEvent, SyncResult};
use serde_json::Value as Json;

/// One record, understood.
#[derive(Clone, Debug)]
pub enum Input {
    Event(StripeEvent),
    Result(SyncResult),
    /// A customer as Stripe lists it.
    Snapshot(Snapshot),
}

impl Input {
    /// `Reject` says what is wrong with it.
    pub fn parse(value: &[u8]) -> Result<Self> {
        let json: Json =
            serde_json::from_slice(value).map_err(|e| Error::reject("read record", e))?;
        match json.get("object").and_then(Json::as_str) {
            Some("event") => StripeEvent::from_json(&json).map(Self::Event),
            Some("customer") => Snapshot::from_json(&json)
                .map(Self::Snapshot)
                .ok_or_else(|| Error::reject("read customer", "id: missing")),
            Some("v2.core.event") => Err(Error::reject(
                "read Stripe event",
                "a thin event carries no data: choose snapshot events for this endpoint at Stripe",
            )),
            Some(_) | None if json.get("outcome").is_some() => {
                SyncResult::parse(value).map(Self::Result)
            }
            Some(_) | None => Err(Error::reject(
                "read record",
                "neither a Stripe event, nor a result, nor a customer",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Input;

    #[test]
    fn records_are_told_apart_by_their_content() {
        let event = r#"{"object":"event","id":"evt_1","type":"invoice.paid"}"#;
        assert!(matches!(Input::parse(event.as_bytes()), Ok(Input::Event(_))));
        let customer = r#"{"object":"customer","id":"cus_1"}"#;
        assert!(matches!(Input::parse(customer.as_bytes()), Ok(Input::Snapshot(_))));
        let result = r#"{"event":"e","customer":"c","version":1,"system":"stripe",
            "outcome":"created","external_id":"cus_1","error":null,"at":"2026-01-01T00:00:00Z"}"#;
        assert!(matches!(Input::parse(result.as_bytes()), Ok(Input::Result(_))));
    }

    #[test]
    fn what_is_none_of_them_is_named_in_words() {
        for (text, word) in [
            ("{\"a\":", "EOF"),
            ("{}", "neither"),
            (r#"{"object":"v2.core.event"}"#, "thin"),
            (r#"{"object":"customer"}"#, "id: missing"),
            (r#"{"object":"event","id":"evt_1"}"#, "type: missing"),
        ] {
            let error = Input::parse(text.as_bytes()).expect_err(text);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
