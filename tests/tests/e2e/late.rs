//! Events that come late, twice, or in another order than they happened in.

use serde_json::{Value as Json, json};
use tests::harness::webhooks::told_again;
use tests::harness::{World, broker};

/// A customer born at Stripe, whose events the test hands over.
fn born(world: &World, form: &str) -> String {
    let reply = world.stripe("POST", "/v1/customers", form);
    reply.body["id"].as_str().expect("an id").to_owned()
}

fn here(world: &World, id: &str) -> Json {
    world.api("GET", &format!("/customers/{id}"), None).body
}

#[test]
fn created_that_arrives_after_updated_of_the_same_second_changes_nothing() {
    let Some(broker) = broker("created_that_arrives_after_updated") else { return };
    let world = World::start(&broker, &[]);
    world.hold_webhooks();
    world.fault(&json!({"same_second": true}));
    let id = born(&world, "name=Old&email=ada%40example.com");
    world.stripe("POST", &format!("/v1/customers/{id}"), "name=New");
    let events = world.events_of(&id);
    assert_eq!(events[0]["created"], events[1]["created"], "of the same second");
    world.deliver(&events[1]);
    world.deliver(&events[0]);
    world.taken_in();
    let here = here(&world, &id);
    assert_eq!(here["name"], "New");
    assert_eq!(here["version"], 1, "nothing was taken for a change: {here}");
}

#[test]
fn of_two_edits_of_the_same_second_none_is_lost_in_whatever_order_they_arrive() {
    let Some(broker) = broker("of_two_edits_of_the_same_second_none_is_lost") else { return };
    let world = World::start(&broker, &[]);
    world.hold_webhooks();
    world.fault(&json!({"same_second": true}));
    for order in [[0, 1, 2], [0, 2, 1], [2, 1, 0]] {
        let id = born(&world, "name=Old");
        world.stripe("POST", &format!("/v1/customers/{id}"), "name=New");
        world.stripe("POST", &format!("/v1/customers/{id}"), "phone=123");
        let events = world.events_of(&id);
        assert_eq!(events[0]["created"], events[2]["created"], "of the same second");
        for index in order {
            world.deliver(&events[index]);
        }
        world.taken_in();
        let here = here(&world, &id);
        assert_eq!((&here["name"], &here["phone"]), (&json!("New"), &json!("123")), "{order:?}");
    }
}

#[test]
fn an_older_echo_of_our_own_is_not_taken_for_theirs() {
    let Some(broker) = broker("an_older_echo_of_our_own") else { return };
    let world = World::start(&broker, &[]);
    world.hold_webhooks();
    let (id, remote) = world.synced(&json!({"name": "v1"}));
    for name in ["v2", "v3"] {
        world.api("PATCH", &format!("/customers/{id}"), Some(&json!({ "name": name })));
        world.stripe_until(&remote, "edited", |it| it["name"] == name);
    }
    let events = world.events_of(&remote);
    assert_eq!(events.len(), 3, "one echo of each write: {events:#?}");
    // Before anything newer was seen, after it, and told a second time.
    for event in [&events[1], &events[2], &events[0], &told_again(&events[1], "evt_again")] {
        world.deliver(event);
        world.taken_in();
        let here = here(&world, &id);
        assert_eq!((&here["name"], &here["version"]), (&json!("v3"), &json!(3)), "{event}");
    }
    world.brought();
    assert_eq!(world.our_writes().len(), 3, "and nothing went out again");
}

#[test]
fn our_own_old_value_inside_a_persons_edit_does_not_undo_our_newer_one() {
    let Some(broker) = broker("our_own_old_value_inside_a_persons_edit") else { return };
    let mut world = World::start(&broker, &[]);
    world.hold_webhooks();
    let (id, remote) = world.synced(&json!({"name": "Old", "email": "old@example.com"}));
    world.api("PATCH", &format!("/customers/{id}"), Some(&json!({"name": "Middle"})));
    world.stripe_until(&remote, "edited", |it| it["name"] == "Middle");
    world.brought();
    // Our next edit is on its way while somebody there edits another field: what they send us
    // shows a name of ours that we never saw there, beside their new address.
    world.outward = None;
    world.api("PATCH", &format!("/customers/{id}"), Some(&json!({"name": "New"})));
    world.stripe("POST", &format!("/v1/customers/{remote}"), "email=new%40example.com");
    let events = world.events_of(&remote);
    world.deliver(&events[2]);
    let theirs = |it: &Json| it["email"] == "new@example.com";
    let here = world.catalog_until(&id, "with their edit", theirs);
    assert_eq!(here["name"], "New", "ours stays: {here}");
    world.start_outward();
    let both = |it: &Json| it["name"] == "New" && it["email"] == "new@example.com";
    world.stripe_until(&remote, "with both", both);
    for event in world.events_of(&remote) {
        world.deliver(&event);
    }
    world.taken_in();
    world.catalog_until(&id, "with both", both);
}

#[test]
fn a_stale_redelivery_never_wins() {
    let Some(broker) = broker("a_stale_redelivery_never_wins") else { return };
    let world = World::start(&broker, &[]);
    world.hold_webhooks();
    let id = born(&world, "name=First");
    for name in ["Second", "Third"] {
        world.later(60);
        world.stripe("POST", &format!("/v1/customers/{id}"), &format!("name={name}"));
    }
    let events = world.events_of(&id);
    for event in &events {
        world.deliver(event);
    }
    world.catalog_until(&id, "as edited last", |it| it["name"] == "Third");
    // Sent again by Stripe, or by hand; and the same told by another event.
    for event in [&events[1], &events[0]] {
        world.deliver(event);
        world.deliver(&told_again(event, &format!("{}_again", event["id"])));
    }
    world.taken_in();
    let here = here(&world, &id);
    assert_eq!((&here["name"], &here["version"]), (&json!("Third"), &json!(3)), "{here}");
}
