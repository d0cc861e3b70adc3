//! One customer here has one customer there, whatever became of the request that made it.

use serde_json::{Value as Json, json};
use tests::harness::{Topic, World, broker, until};

/// How much older than it is a change is made to look, beyond what Stripe's keys are kept for.
const DAY_AND_AN_HOUR_S: i64 = 25 * 60 * 60;

fn create(world: &World, name: &str) -> String {
    let reply = world.api("POST", "/customers", Some(&json!({ "name": name })));
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.body["id"].as_str().expect("an id").to_owned()
}

fn is_synced(customer: &Json) -> bool {
    customer["sync"]["stripe"]["state"] == "synced"
}

/// In step, and with the only customer that Stripe ever had of it.
fn has_one(world: &World, id: &str) {
    let here = world.catalog_until(id, "in step", is_synced);
    let made: Vec<Json> = world
        .ever_at_stripe()
        .into_iter()
        .filter(|it| it["metadata"]["catalog_id"] == id)
        .map(|it| it["id"].clone())
        .collect();
    assert_eq!(made, [here["sync"]["stripe"]["id"].clone()], "one customer at Stripe: {here}");
}

/// Requests to make a customer, done or not.
fn creates(world: &World) -> Vec<Json> {
    let is_create = |it: &Json| it["method"] == "POST" && it["path"] == "/v1/customers";
    world.our_writes().into_iter().filter(is_create).collect()
}

#[test]
fn a_crash_between_the_create_and_its_answer_makes_one_customer() {
    let Some(broker) = broker("a_crash_between_the_create_and_its_answer") else { return };
    let mut world = World::start(&broker, &[]);
    // No event may tell that it is there: the answer has to.
    world.hold_webhooks();
    let held = json!({"method": "POST", "path": "/v1/customers", "latency_after_ms": 3000,
        "count": 1});
    world.fault(&held);
    let id = create(&world, "Ada");
    until("Stripe has made it", || (world.ever_at_stripe().len() == 1).then_some(()));
    world.outward.as_mut().expect("it runs").kill();
    world.start_outward();
    has_one(&world, &id);
    let creates = creates(&world);
    assert!(creates.iter().any(|it| it["replayed"] == true), "asked for again: {creates:#?}");
}

#[test]
fn a_create_tried_again_after_stripe_forgot_its_key_makes_no_second_customer() {
    let Some(broker) = broker("a_create_tried_again_after_stripe_forgot") else { return };
    let mut world = World::start(&broker, &[]);
    world.hold_webhooks();
    world.outward = None;
    let id = create(&world, "Ada");
    let announced = Topic::new(&broker, &world.topic("customer_events"));
    let change = until("it is announced", || announced.records().pop()).json();

    // It reaches Stripe, and nobody lives to hear of it.
    world.fault(&json!({"requests": [
        {"method": "POST", "path": "/v1/customers", "count": 1, "lost": true},
        {"path": "/v1/customers", "status": 503}]}));
    world.start_outward();
    until("Stripe has made it", || (world.ever_at_stripe().len() == 1).then_some(()));
    world.outward = None;

    // A day and an hour later: the key is forgotten, the change has aged.
    world.steer("DELETE", "faults", None);
    world.later(DAY_AND_AN_HOUR_S);
    let then = common::clock::now_ms() - DAY_AND_AN_HOUR_S * 1000;
    let mut aged = change;
    aged["time"] = json!(common::clock::rfc3339(then));
    aged["data"]["systems"]["stripe"]["first_at"] = aged["time"].clone();
    let mut mover = world.command("kafka-to-stripe");
    mover.args(["--from", "-", "--to", &world.topic("stripe_results")]);
    let mut mover = tests::harness::Program::start(mover);
    mover.feed(format!("{aged}\n").as_bytes());
    mover.close_stdin();
    assert_eq!(mover.wait().code(), Some(0), "{:#?}", mover.stderr());
    has_one(&world, &id);
    let asked = world.asked_by_us();
    let looks = asked.iter().filter(|it| it["method"] == "GET" && it["path"] == "/v1/customers");
    assert!(looks.count() > 0, "it was looked for: {asked:#?}");
}

#[test]
fn a_create_that_ended_with_a_stored_500_makes_one_customer() {
    let Some(broker) = broker("a_create_that_ended_with_a_stored_500") else { return };
    let world = World::start(&broker, &[]);
    world.hold_webhooks();
    // Done and not done: the answer is the same, and Stripe repeats it for this key.
    for fault in [json!({"after": true}), json!({"store": true})] {
        let mut rule =
            json!({"method": "POST", "path": "/v1/customers", "status": 500, "count": 1});
        rule.as_object_mut().expect("a rule").extend(fault.as_object().expect("a rule").clone());
        world.fault(&rule);
        let id = create(&world, "Ada");
        has_one(&world, &id);
    }
}

#[test]
fn a_look_up_that_fails_is_not_taken_for_absence() {
    let Some(broker) = broker("a_look_up_that_fails") else { return };
    let world = World::start(&broker, &[]);
    world.hold_webhooks();
    let list = |how: Json| {
        let mut rule = json!({"method": "GET", "path": "/v1/customers", "count": 1});
        rule.as_object_mut().expect("a rule").extend(how.as_object().expect("a rule").clone());
        rule
    };
    world.fault(&json!({"requests": [
        {"method": "POST", "path": "/v1/customers", "status": 500, "after": true, "count": 1},
        list(json!({"status": 500})),
        list(json!({"status": 404, "code": "resource_missing"})),
        list(json!({"status": 400, "code": "parameter_invalid"})),
        list(json!({"lost": true}))]}));
    let id = create(&world, "Ada");
    has_one(&world, &id);
    let applied = creates(&world).iter().filter(|it| it["applied"] == true).count();
    assert_eq!(applied, 1, "created once");
    let asked = world.asked_by_us();
    let looks = asked.iter().filter(|it| it["method"] == "GET" && it["path"] == "/v1/customers");
    assert!(looks.count() > 4, "looked for until it was found: {asked:#?}");
}
