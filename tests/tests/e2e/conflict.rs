//! One field edited on both sides, neither knowing of the other: both values are kept, shown, and
//! either of them can be made the one that counts.

use serde_json::{Value as Json, json};
use tests::harness::http::call;
use tests::harness::webhooks::told_again;
use tests::harness::{Program, World, broker};

/// A customer in step, whose own event is taken in; from here on the test hands events over.
fn in_step(world: &World) -> (String, String) {
    world.hold_webhooks();
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    world.deliver(&world.events_of(&remote)[0]);
    world.taken_in();
    world.later(60);
    (id, remote)
}

fn rename(world: &World, id: &str, name: &str) {
    let reply = world.api("PATCH", &format!("/customers/{id}"), Some(&json!({ "name": name })));
    assert_eq!(reply.status, 200, "{reply:?}");
}

fn rename_there(world: &World, remote: &str, name: &str) {
    let reply = world.stripe("POST", &format!("/v1/customers/{remote}"), &format!("name={name}"));
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Those of this customer, settled or not, as `[ours, theirs]`.
fn values(world: &World, id: &str) -> Vec<[Json; 2]> {
    let path = format!("/customers/{id}/conflicts?settled=true");
    let listed = world.api("GET", &path, None).body;
    let listed = listed.as_array().expect("an array").iter();
    listed.map(|it| [it["ours"]["value"].clone(), it["theirs"]["value"].clone()]).collect()
}

/// All customers as Stripe lists them, told to the catalog.
fn list(world: &World) {
    let mut tail = world.command("stripe-tail");
    tail.args(["--list", "--to", &world.topic("stripe_events")]);
    let mut tail = Program::start(tail);
    assert_eq!(tail.wait().code(), Some(0), "{:#?}", tail.stderr());
    world.taken_in();
}

/// Ours goes out no more, and somebody there edits the same field. The event of that edit.
fn renamed_on_both_sides(world: &mut World, id: &str, remote: &str) -> Json {
    world.outward = None;
    rename(world, id, "Ours");
    rename_there(world, remote, "Theirs");
    world.events_of(remote)[1].clone()
}

#[test]
fn both_values_are_kept_once_whoever_tells_of_the_edit_and_theirs_can_be_put_back() {
    let Some(broker) = broker("both_values_are_kept_once") else { return };
    let mut world = World::start(&broker, &[]);
    let (id, remote) = in_step(&world);
    // Ours is still on its way when somebody there edits the same field.
    let edit = renamed_on_both_sides(&mut world, &id, &remote);
    world.deliver(&edit);
    world.taken_in();
    let open = world.api("GET", "/conflicts", None).body;
    let noted = &open[0];
    assert_eq!(open.as_array().map(Vec::len), Some(1), "{open}");
    assert_eq!((&noted["customer"], &noted["field"]), (&json!(id), &json!("name")));
    assert_eq!((&noted["ours"]["value"], &noted["ours"]["version"]), (&json!("Ours"), &json!(2)));
    assert_eq!((&noted["theirs"]["value"], &noted["winner"]), (&json!("Theirs"), &json!("ours")));
    let made = common::clock::rfc3339(edit["created"].as_i64().expect("a time") * 1000);
    assert_eq!(noted["theirs"]["at"], made.as_str());
    assert!(noted["ours"]["at"].is_string(), "{noted}");

    // Told again in every way there is, before and after ours has landed on top.
    let again = |n: u8| told_again(&edit, &format!("evt_again_{n}"));
    for event in [&edit, &again(1)] {
        world.deliver(event);
    }
    list(&world);
    world.start_outward();
    world.stripe_until(&remote, "as edited here", |it| it["name"] == "Ours");
    world.brought();
    for event in world.events_of(&remote).iter().chain([&again(2)]) {
        world.deliver(event);
    }
    list(&world);
    world.taken_in();
    assert_eq!(world.api("GET", "/conflicts", None).body, open, "noted once");
    assert_eq!(world.api("GET", &format!("/customers/{id}/conflicts"), None).body, open);
    let ndjson = [("accept", "application/x-ndjson")];
    let line = call("GET", &world.api_url("/conflicts"), &ndjson, None).expect("an answer");
    assert_eq!(&line.body, noted, "a line of its own");
    let here = world.api("GET", &format!("/customers/{id}"), None).body;
    assert_eq!((&here["name"], &here["version"]), (&json!("Ours"), &json!(2)));

    // Theirs is put back, as any edit.
    let restore = format!("/customers/{id}/conflicts/{}/restore", noted["id"]);
    let reply = world.api("POST", &restore, None);
    assert_eq!((reply.status, &reply.body["version"]), (200, &json!(3)), "{reply:?}");
    world.stripe_until(&remote, "as put back", |it| it["name"] == "Theirs");
    let is_synced = |it: &Json| it["sync"]["stripe"]["state"] == "synced";
    let here = world.catalog_until(&id, "in step", is_synced);
    assert_eq!(here["name"], "Theirs");
    assert_eq!(world.api("GET", "/conflicts", None).body, json!([]));
    for event in world.events_of(&remote) {
        world.deliver(&event);
    }
    world.deliver(&again(3));
    world.taken_in();
    assert_eq!(values(&world, &id), [[json!("Ours"), json!("Theirs")]], "settled, and kept");
    let writes = world.our_writes();
    assert_eq!(writes.len(), 3, "the create, ours, theirs put back: {writes:#?}");
}

#[test]
fn an_edit_that_ours_landed_on_before_anybody_heard_of_it_is_kept() {
    let Some(broker) = broker("an_edit_that_ours_landed_on") else { return };
    let world = World::start(&broker, &[]);
    let (id, remote) = in_step(&world);
    rename_there(&world, &remote, "Theirs");
    rename(&world, &id, "Ours");
    world.stripe_until(&remote, "as edited here", |it| it["name"] == "Ours");
    world.brought();
    // Ours is heard of first, theirs last.
    let events = world.events_of(&remote);
    world.deliver(&events[2]);
    world.taken_in();
    assert!(values(&world, &id).is_empty());
    world.deliver(&events[1]);
    world.taken_in();
    assert_eq!(values(&world, &id), [[json!("Ours"), json!("Theirs")]]);
    world.stripe_until(&remote, "as it was", |it| it["name"] == "Ours");
}

#[test]
fn an_edit_seen_before_its_event_came_is_not_noted_again_for_a_later_edit_of_ours() {
    let Some(broker) = broker("an_edit_seen_before_its_event_came") else { return };
    let mut world = World::start(&broker, &[]);
    let (id, remote) = in_step(&world);
    let edit = renamed_on_both_sides(&mut world, &id, &remote);
    list(&world);
    let noted = [[json!("Ours"), json!("Theirs")]];
    assert_eq!(values(&world, &id), noted, "seen in the listing");
    // Edited once more, by somebody who may have looked; then the event of their edit comes.
    rename(&world, &id, "Ours again");
    world.deliver(&edit);
    world.taken_in();
    assert_eq!(values(&world, &id), noted, "their one edit is noted once");

    // What they edit after that, to the same value, is another edit of theirs.
    world.start_outward();
    world.stripe_until(&remote, "as edited here", |it| it["name"] == "Ours again");
    world.brought();
    world.later(60);
    world.outward = None;
    for event in world.events_of(&remote) {
        world.deliver(&event);
    }
    rename(&world, &id, "Ours at last");
    rename_there(&world, &remote, "Theirs");
    for event in world.events_of(&remote) {
        world.deliver(&event);
    }
    world.taken_in();
    let [noted] = noted;
    assert_eq!(values(&world, &id), [noted, [json!("Ours at last"), json!("Theirs")]]);
}
