//! What others lose when things arrive late, twice or in another order.

use serde_json::{Value as Json, json};
use tests::harness::{Topic, World, broker, until};

#[test]
fn rapid_edits_end_at_the_last_and_never_flip_back() {
    let Some(broker) = broker("rapid_edits_end_at_the_last") else { return };
    let world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({"name": "v0"}));
    let fault =
        json!({"webhooks": {"reorder": 1.0, "duplicate": 0.5, "delay": 1.0, "delay_ms": 300}});
    world.fault(&fault);
    for n in 1..=20 {
        // Few values that repeat: an old one must not be taken for the new.
        let patch = json!({"name": format!("v{}", n % 3)});
        world.api("PATCH", &format!("/customers/{id}"), Some(&patch));
    }
    world.stripe_until(&remote, "as edited last", |it| it["name"] == "v2");
    world.catalog_until(&id, "synced", |it| it["sync"]["stripe"]["state"] == "synced");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let here = world.api("GET", &format!("/customers/{id}"), None).body;
    assert_eq!(here["name"], "v2");
    assert_eq!(here["version"], 21, "no echo of ours became a version: {here}");
    world.stripe_until(&remote, "still as edited last", |it| it["name"] == "v2");
}

#[test]
fn edits_of_different_fields_on_both_sides_are_both_kept() {
    let Some(broker) = broker("edits_of_different_fields") else { return };
    let world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({"name": "Ada", "email": "ada@example.com"}));
    let there = "email=new%40example.com";
    world.stripe("POST", &format!("/v1/customers/{remote}"), there);
    let patch = json!({"name": "Ada Lovelace"});
    world.api("PATCH", &format!("/customers/{id}"), Some(&patch));
    let both = |it: &Json| it["name"] == "Ada Lovelace" && it["email"] == "new@example.com";
    world.catalog_until(&id, "with both edits", both);
    world.stripe_until(&remote, "with both edits", both);
}

#[test]
fn a_deleted_customer_stays_deleted() {
    let Some(broker) = broker("a_deleted_customer_stays_deleted") else { return };
    let world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    let fault =
        json!({"webhooks": {"reorder": 1.0, "duplicate": 1.0, "delay": 1.0, "delay_ms": 500}});
    world.fault(&fault);
    world.stripe("POST", &format!("/v1/customers/{remote}"), "description=late");
    world.api("DELETE", &format!("/customers/{id}"), None);
    world.stripe_until(&remote, "deleted", |it| it["deleted"] == true);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(world.api("GET", &format!("/customers/{id}"), None).status, 404);
    let reply = world.api("POST", "/customers", Some(&json!({"id": id, "name": "Ada"})));
    assert_eq!(reply.status, 409, "an id is never used twice: {reply:?}");
    let deletes = world.requests().into_iter().filter(|it| it["method"] == "DELETE").count();
    assert_eq!(deletes, 1, "deleted once");
}

/// Keys enough for poison in every partition.
const POISONED: usize = 40;

#[test]
fn a_poison_record_touches_only_its_own_customer() {
    let Some(broker) = broker("a_poison_record_touches_only_its_own_customer") else { return };
    let world = World::start(&broker, &[]);
    let topics = ["customer_events", "stripe_events"];
    let topics = topics.map(|name| Topic::new(&broker, &world.topic(name)));
    let poison = b"{\"specversion\":\"1.0\"}";
    for topic in &topics {
        for n in 0..POISONED {
            topic.produce(&format!("poison-{n}"), poison);
        }
    }
    // Whatever partition these fall into, there is poison before them.
    let (_, remote) = world.synced(&json!({"name": "After it"}));
    world.stripe_until(&remote, "in step", |it| it["name"] == "After it");
    let born = world.stripe("POST", "/v1/customers", "name=Born+after+it");
    let born = born.body["id"].as_str().expect("an id");
    world.catalog_until(born, "as born", |it| it["name"] == "Born after it");
    for topic in &topics {
        let dead = until("the poison is dead-lettered", || {
            let dead = topic.dead_letters().records();
            (dead.len() == POISONED).then_some(dead)
        });
        assert!(dead.iter().all(|letter| letter.value == poison), "untouched: {dead:#?}");
    }
}

#[test]
fn a_customer_that_stripe_fails_on_again_and_again_holds_up_nobody_else() {
    let Some(broker) = broker("a_customer_that_stripe_fails_on_again_and_again") else { return };
    let world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    let path = format!("/v1/customers/{remote}");
    world.fault(&json!({"requests": [{"method": "POST", "path": path, "status": 500}]}));
    world.api("PATCH", &format!("/customers/{id}"), Some(&json!({"name": "Held up"})));
    let fails = |it: &Json| it["path"] == path.as_str() && it["status"] == 500;
    until("Stripe failed on it", || world.our_writes().iter().any(fails).then_some(()));
    // More than are acted on side by side, so that one of them would come to wait for its turn.
    for n in 0..POISONED {
        world.synced(&json!({ "name": format!("Other {n}") }));
    }
    let here = world.api("GET", &format!("/customers/{id}"), None).body;
    assert_eq!(here["sync"]["stripe"]["state"], "pending", "and is not given up: {here}");
    world.steer("DELETE", "faults", None);
    world.stripe_until(&remote, "edited at last", |it| it["name"] == "Held up");
    world.catalog_until(&id, "in step", |it| it["sync"]["stripe"]["state"] == "synced");
}
