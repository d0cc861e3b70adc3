//! The broker goes away, comes back, or loses everything.

use serde_json::{Value as Json, json};
use tests::harness::{OwnBroker, World, until};

fn is_synced(customer: &Json) -> bool {
    customer["sync"]["stripe"]["state"] == "synced"
}

#[test]
fn a_broker_that_is_away_delays_and_loses_nothing() {
    let Some(broker) = OwnBroker::start("a_broker_that_is_away") else { return };
    let mut world = World::start(&broker.address(), &[]);
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    broker.kill();
    let reply = world.api("PATCH", &format!("/customers/{id}"), Some(&json!({"name": "Later"})));
    assert_eq!(reply.status, 200, "the catalog goes on: {reply:?}");
    world.stripe("POST", &format!("/v1/customers/{remote}"), "phone=123");
    broker.up();
    until("the edit is at Stripe", || {
        world.supervise();
        let there = world.stripe("GET", &format!("/v1/customers/{remote}"), "");
        (there.body["name"] == "Later").then_some(())
    });
    until("the catalog is in step", || {
        world.supervise();
        let here = world.api("GET", &format!("/customers/{id}"), None).body;
        (here["phone"] == "123" && here["name"] == "Later" && is_synced(&here)).then_some(())
    });
}

#[test]
fn a_broker_that_comes_back_empty_loses_nothing() {
    let Some(broker) = OwnBroker::start("a_broker_that_comes_back_empty") else { return };
    let mut world = World::start(&broker.address(), &[]);
    world.start_tail();
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    // Announced, and nobody is there to take it on; handed over, and nobody to take it in.
    world.outward = None;
    world.inward = None;
    world.api("PATCH", &format!("/customers/{id}"), Some(&json!({"name": "Pending"})));
    let reply = world.api("POST", "/customers", Some(&json!({"name": "New"})));
    let new = reply.body["id"].as_str().expect("an id").to_owned();
    world.stripe("POST", &format!("/v1/customers/{remote}"), "phone=123");
    let born = world.stripe("POST", "/v1/customers", "name=Born");
    let born = born.body["id"].as_str().expect("an id").to_owned();
    std::thread::sleep(std::time::Duration::from_secs(2));
    broker.lose_everything();
    broker.up();
    world.start_outward();
    world.start_inward();
    world.stripe_until(&remote, "edited", |it| it["name"] == "Pending");
    let both = |it: &Json| it["phone"] == "123" && it["name"] == "Pending" && is_synced(it);
    world.catalog_until(&id, "in step", both);
    world.catalog_until(&new, "in step", is_synced);
    world.catalog_until(&born, "as born", |it| it["name"] == "Born");
    let all = world.stripe("GET", "/v1/customers?limit=100", "").body;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(3), "none is doubled: {all}");
}
