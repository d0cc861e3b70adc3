//! One edit, one write; nothing comes back, and nobody asks without need.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tests::harness::{Topic, World, broker, until};

const CUSTOMERS: usize = 20;

/// Waits until every webhook has arrived, and all that came of it is done.
fn calm_down(world: &World) {
    until("every webhook has arrived", || {
        let counts = world.steer("GET", "webhooks", None).body;
        (counts["queued"] == 0 && counts["sending"] == 0).then_some(())
    });
    world.taken_in();
    world.brought();
    world.taken_in();
}

/// How many records this topic holds, and of how many customers.
fn held(world: &World, topic: &str) -> (usize, usize) {
    let records = Topic::new(world.broker(), &world.topic(topic)).records();
    let keys: BTreeSet<&String> = records.iter().map(|record| &record.key).collect();
    (records.len(), keys.len())
}

/// Every customer here is of this version and called so.
fn all_are(world: &World, ids: &[(String, String)], version: u64, name: &str) {
    for (n, (id, remote)) in ids.iter().enumerate() {
        let here = world.api("GET", &format!("/customers/{id}"), None).body;
        assert_eq!(here["version"], version, "no echo became a version: {here}");
        assert_eq!(here["name"], format!("{name} {n}"));
        assert_eq!(here["sync"]["stripe"]["state"], "synced");
        let there = world.stripe("GET", &format!("/v1/customers/{remote}"), "").body;
        assert_eq!(there["name"], format!("{name} {n}"));
    }
}

#[test]
fn as_many_edits_as_writes_and_no_echo_though_webhooks_come_twice_and_shuffled() {
    let name = "as_many_edits_as_writes";
    let Some(broker) = broker(name) else { return };
    let world = World::start(&broker, &[]);
    world.fault(&json!({"webhooks": {"duplicate": 1.0, "reorder": 1.0}}));

    // Edits here: one write each, and nothing comes back of it.
    let mut ids = Vec::new();
    for n in 0..CUSTOMERS {
        let body = json!({"name": format!("Customer {n}"), "email": format!("c{n}@example.com")});
        ids.push(world.synced(&body));
    }
    for (n, (id, _)) in ids.iter().enumerate() {
        let patch = json!({"name": format!("Edited {n}")});
        world.api("PATCH", &format!("/customers/{id}"), Some(&patch));
    }
    for (n, (_, remote)) in ids.iter().enumerate() {
        world.stripe_until(remote, "edited", |it| it["name"] == format!("Edited {n}"));
    }
    calm_down(&world);
    all_are(&world, &ids, 2, "Edited");
    let asked = world.asked_by_us();
    assert_eq!(asked.len(), 2 * CUSTOMERS, "a create and an update each, no GET: {asked:#?}");
    assert!(asked.iter().all(|it| it["method"] == "POST" && it["status"] == 200), "{asked:#?}");
    let keys: BTreeSet<String> = asked.iter().map(|it| it["idempotency_key"].to_string()).collect();
    assert_eq!(keys.len(), 2 * CUSTOMERS, "each under a key of its own");
    assert_eq!(held(&world, "customer_events"), (2 * CUSTOMERS, CUSTOMERS), "no event back");
    assert_eq!(held(&world, "stripe_results"), (2 * CUSTOMERS, CUSTOMERS));
    let (webhooks, _) = held(&world, "stripe_events");
    assert!(webhooks >= 4 * CUSTOMERS, "each event came twice, at least: {webhooks}");

    // Edits there, a minute later: one version each, and nothing goes out again.
    world.later(60);
    for (n, (_, remote)) in ids.iter().enumerate() {
        world.stripe("POST", &format!("/v1/customers/{remote}"), &format!("name=Theirs+{n}"));
    }
    for (n, (id, _)) in ids.iter().enumerate() {
        world.catalog_until(id, "as edited there", |it| it["name"] == format!("Theirs {n}"));
    }
    calm_down(&world);
    all_are(&world, &ids, 3, "Theirs");
    let asked: Vec<Json> = world.asked_by_us().split_off(2 * CUSTOMERS);
    assert_eq!(asked, [Json::Null; 0], "neither a write nor a GET");
    assert_eq!(held(&world, "customer_events"), (3 * CUSTOMERS, CUSTOMERS), "told to others, once");
    assert_eq!(held(&world, "stripe_results"), (2 * CUSTOMERS, CUSTOMERS), "nothing to do");
}
