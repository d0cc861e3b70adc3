//! Deleted stays deleted, whatever arrives afterwards.

use serde_json::{Value as Json, json};
use tests::harness::webhooks::told_again;
use tests::harness::{World, broker};

fn is_gone(world: &World, id: &str) -> bool {
    let list = world.api("GET", "/customers", None).body;
    let listed = list.as_array().is_some_and(|all| all.iter().any(|it| it["id"] == id));
    world.api("GET", &format!("/customers/{id}"), None).status == 404 && !listed
}

#[test]
fn a_late_update_never_revives_a_customer_deleted_at_stripe() {
    let Some(broker) = broker("a_late_update_never_revives") else { return };
    let world = World::start(&broker, &[]);
    world.hold_webhooks();
    // Known here before it was deleted there, and never heard of before its deletion.
    for order in [[0, 3, 2, 1], [3, 2, 0, 1]] {
        let reply = world.stripe("POST", "/v1/customers", "name=Ada");
        let id = reply.body["id"].as_str().expect("an id").to_owned();
        world.stripe("POST", &format!("/v1/customers/{id}"), "name=Edited");
        world.later(60);
        world.stripe("POST", &format!("/v1/customers/{id}"), "name=Edited+again");
        world.stripe("DELETE", &format!("/v1/customers/{id}"), "");
        let events = world.events_of(&id);
        assert_eq!(events[3]["type"], "customer.deleted");
        for index in order {
            world.deliver(&events[index]);
        }
        world.deliver(&told_again(&events[2], &format!("evt_again_{id}")));
        world.taken_in();
        assert!(is_gone(&world, &id), "{order:?}");
    }
    world.brought();
    assert_eq!(world.our_writes(), [Json::Null; 0], "and nothing of it went to Stripe");
}

#[test]
fn a_customer_deleted_here_is_not_inserted_again_by_its_own_late_events() {
    let Some(broker) = broker("a_customer_deleted_here_is_not_inserted_again") else { return };
    let world = World::start(&broker, &[]);
    world.hold_webhooks();
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    world.stripe("POST", &format!("/v1/customers/{remote}"), "description=late");
    let reply = world.api("DELETE", &format!("/customers/{id}"), None);
    assert_eq!(reply.status, 204, "{reply:?}");
    world.stripe_until(&remote, "deleted", |it| it["deleted"] == true);
    let events = world.events_of(&remote);
    assert_eq!(events.len(), 3, "created, updated, deleted: {events:#?}");
    for event in [&events[1], &events[0], &events[2], &told_again(&events[0], "evt_again")] {
        world.deliver(event);
    }
    world.taken_in();
    assert!(is_gone(&world, &id), "under our id");
    assert!(is_gone(&world, &remote), "nor as one born at Stripe");
    let reply = world.api("POST", "/customers", Some(&json!({"id": id, "name": "Ada"})));
    assert_eq!(reply.status, 409, "an id is never used twice: {reply:?}");
    world.brought();
    let writes: Vec<Json> = world.our_writes().into_iter().map(|it| it["method"].clone()).collect();
    assert_eq!(writes, ["POST", "DELETE"], "created once, deleted once");
}
