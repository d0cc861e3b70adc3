//! A write to Stripe brings what was edited here, and nothing else.

use serde_json::{Value as Json, json};
use tests::harness::{Program, Topic, World, broker, until};

/// The params of the updates we asked for, without the link and the stamp that all of them bring.
fn updates(world: &World) -> Vec<Vec<String>> {
    let is_update = |it: &Json| {
        it["method"] == "POST" && it["path"].as_str().is_some_and(|path| path.len() > 13)
    };
    let always = ["metadata[catalog_id]", "metadata[catalog_version]"];
    let writes = world.our_writes().into_iter().filter(is_update);
    writes
        .map(|it| {
            let params = it["params"].as_object().expect("params").keys().cloned();
            params.filter(|name| !always.contains(&name.as_str())).collect()
        })
        .collect()
}

#[test]
fn a_partial_edit_here_pushes_no_unrelated_field_to_stripe() {
    let Some(broker) = broker("a_partial_edit_here_pushes_no_unrelated_field") else { return };
    let world = World::start(&broker, &[]);
    let body = json!({"name": "Ada", "email": "old@example.com", "metadata": {"plan": "free"}});
    let (id, remote) = world.synced(&body);
    // What somebody edited there has not arrived when we edit something else.
    world.hold_webhooks();
    let theirs = "email=new%40example.com&metadata[plan]=pro";
    world.stripe("POST", &format!("/v1/customers/{remote}"), theirs);
    world.api("PATCH", &format!("/customers/{id}"), Some(&json!({"name": "Countess"})));
    world.stripe_until(&remote, "edited", |it| it["name"] == "Countess");
    assert_eq!(updates(&world), [["name"]]);
    for event in world.events_of(&remote).iter().skip(1) {
        world.deliver(event);
    }
    world.taken_in();
    let both = |it: &Json| {
        let (name, email) = (&it["name"], &it["email"]);
        name == "Countess" && email == "new@example.com" && it["metadata"]["plan"] == "pro"
    };
    world.catalog_until(&id, "with both edits", both);
    world.stripe_until(&remote, "with both edits", both);
}

#[test]
fn a_merged_update_redelivered_in_parts_overwrites_nothing() {
    let Some(broker) = broker("a_merged_update_redelivered_in_parts") else { return };
    let mut world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    world.outward = None;
    for patch in [json!({"name": "Ours"}), json!({"email": "ours@example.com"})] {
        world.api("PATCH", &format!("/customers/{id}"), Some(&patch));
    }
    let announced = Topic::new(&broker, &world.topic("customer_events"));
    let changes = until("both are announced", || {
        let all = announced.records();
        (all.len() == 3).then_some(all)
    });
    world.start_outward();
    world.stripe_until(&remote, "with both", |it| it["email"] == "ours@example.com");
    assert_eq!(updates(&world), [["email", "name"]], "both in one request");
    world.stripe("POST", &format!("/v1/customers/{remote}"), "name=Theirs");
    world.catalog_until(&id, "as edited there", |it| it["name"] == "Theirs");

    // Each part once more, as after a crash whose offsets were lost, or replayed by hand.
    let applied = |world: &World| {
        let writes = world.our_writes().into_iter();
        writes.filter(|it| it["applied"] == true && it["replayed"] == false).count()
    };
    let before = applied(&world);
    let mut mover = world.command("kafka-to-stripe");
    mover.args(["--from", "-", "--to", "-"]);
    let mut mover = Program::start(mover);
    for (n, change) in changes.iter().enumerate() {
        mover.feed(&change.value);
        mover.feed(b"\n");
        until("it is done", || (mover.stdout().len() == n + 1).then_some(()));
    }
    mover.close_stdin();
    assert_eq!(mover.wait().code(), Some(0), "{:#?}", mover.stderr());
    assert_eq!(applied(&world), before, "nothing is written again");
    let there = world.stripe("GET", &format!("/v1/customers/{remote}"), "").body;
    assert_eq!((&there["name"], &there["email"]), (&json!("Theirs"), &json!("ours@example.com")));
}
