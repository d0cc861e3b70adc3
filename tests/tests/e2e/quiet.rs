//! One edit, one write; nothing comes back, and nobody asks without need.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tests::harness::{World, broker};

/// Waits until the webhooks of all that was done had time to come back as something.
fn calm_down(world: &World) {
    // A marker made after them, through the same topics, arrives after them.
    for n in 0..3 {
        let reply = world.stripe("POST", "/v1/customers", &format!("name=marker{n}"));
        let id = reply.body["id"].as_str().expect("an id").to_owned();
        world.catalog_until(&id, "as a marker", |it| it["version"] == 1);
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
}

const CUSTOMERS: usize = 20;

fn programs_requests(world: &World) -> Vec<Json> {
    let is_poll = |it: &Json| it["path"] == "/v1/events";
    let persons =
        |it: &Json| it["params"]["name"].as_str().is_some_and(|name| name.starts_with("marker"));
    let ours = |it: &Json| !is_poll(it) && !persons(it) && it["idempotency_key"].is_string();
    world.requests().into_iter().filter(ours).collect()
}

#[test]
fn as_many_edits_as_writes_and_no_echo_though_webhooks_come_twice_and_shuffled() {
    let name = "as_many_edits_as_writes";
    let Some(broker) = broker(name) else { return };
    let world = World::start(&broker, &[]);
    world.fault(&json!({"webhooks": {"duplicate": 1.0, "reorder": 1.0}}));
    let mut ids = Vec::new();
    for n in 0..CUSTOMERS {
        let body = json!({"name": format!("Customer {n}"), "email": format!("c{n}@example.com")});
        ids.push(world.synced(&body));
    }
    for (n, (id, _)) in ids.iter().enumerate() {
        let patch = json!({"name": format!("Edited {n}")});
        world.api("PATCH", &format!("/customers/{id}"), Some(&patch));
    }
    for (n, (id, remote)) in ids.iter().enumerate() {
        world.stripe_until(remote, "edited", |it| it["name"] == format!("Edited {n}"));
        let synced = |it: &Json| it["sync"]["stripe"]["state"] == "synced" && it["version"] == 2;
        world.catalog_until(id, "synced", synced);
    }
    calm_down(&world);
    let writes = programs_requests(&world);
    assert_eq!(writes.len(), 2 * CUSTOMERS, "a create and an update each: {writes:#?}");
    let keys: BTreeSet<_> = writes.iter().map(|it| it["idempotency_key"].to_string()).collect();
    assert_eq!(keys.len(), 2 * CUSTOMERS, "each under a key of its own");
    for (n, (id, _)) in ids.iter().enumerate() {
        let here = world.api("GET", &format!("/customers/{id}"), None).body;
        assert_eq!(here["version"], 2, "no echo became a version");
        assert_eq!(here["name"], format!("Edited {n}"));
    }
}
