//! Stripe's events in an order of one's own choice: `stripe-sim` keeps its webhooks back, and the
//! test hands each event over itself, signed as Stripe signs.

use common::clock;
use common::stripe::signature::sign;
use serde_json::{Value as Json, json};

use super::http::call;
use super::topic::Topic;
use super::until;
use super::world::{SECRET, World};

impl World {
    /// From now on Stripe's events are only listed, never sent.
    pub fn hold_webhooks(&self) {
        self.fault(&json!({"webhooks": {"drop": 1.0}}));
    }

    /// All that Stripe made so far about this customer, oldest first.
    pub fn events_of(&self, remote: &str) -> Vec<Json> {
        let about = |event: &Json| event["data"]["object"]["id"] == remote;
        self.sim_lines("events").into_iter().filter(about).collect()
    }

    /// Hands the event to `stripe-hook`, as Stripe does. Returns when it is durable at the broker.
    pub fn deliver(&self, event: &Json) {
        let body = event.to_string();
        let signature = sign(body.as_bytes(), SECRET, clock::now_ms() / 1000);
        let headers =
            [("content-type", "application/json"), ("stripe-signature", signature.as_str())];
        let reply = call("POST", &self.hook_url(), &headers, Some(body.as_bytes()));
        let reply = reply.expect("stripe-hook answers");
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// Waits until the catalog has taken in all that was handed over so far.
    pub fn taken_in(&self) {
        let group = format!("inward-{}", self.tag);
        for name in ["stripe_events", "stripe_results"] {
            let topic = Topic::new(self.broker(), &self.topic(name));
            until(&format!("{name} is taken in"), || topic.is_finished_by(&group).then_some(()));
        }
    }

    /// Waits until Stripe has been brought all that was announced so far.
    pub fn brought(&self) {
        let topic = Topic::new(self.broker(), &self.topic("customer_events"));
        let group = format!("outward-{}", self.tag);
        until("all changes are brought", || topic.is_finished_by(&group).then_some(()));
    }

    /// Moves Stripe's clock on: what happens next happened so much later.
    pub fn later(&self, seconds: i64) {
        let reply = self.steer("POST", "clock", Some(&json!({ "advance_s": seconds })));
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

/// The same thing told by another event: Stripe may make two of one change.
#[must_use]
pub fn told_again(event: &Json, id: &str) -> Json {
    let mut again = event.clone();
    again["id"] = json!(id);
    again
}
