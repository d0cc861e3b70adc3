//! Whether a deletion is followed is decided for each direction: `--deletes`.

use serde_json::{Value as Json, json};
use tests::harness::{World, broker, until};

const KEEP: [&str; 2] = ["--deletes", "keep"];

fn deletes(world: &World) -> Vec<Json> {
    world.our_writes().into_iter().filter(|it| it["method"] == "DELETE").collect()
}

fn is_gone(world: &World, id: &str) -> bool {
    world.api("GET", &format!("/customers/{id}"), None).status == 404
}

#[test]
fn what_is_deleted_here_and_kept_there_lives_on_at_stripe_alone() {
    let Some(broker) = broker("what_is_deleted_here_and_kept_there") else { return };
    let mut world = World::start(&broker, &[]);
    world.start_api_with(|command| {
        command.args(KEEP);
    });
    world.ready();
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    let (other, at_other) = world.synced(&json!({"name": "Bob"}));
    assert_eq!(world.api("DELETE", &format!("/customers/{id}"), None).status, 204);
    world.brought();
    world.later(60);
    world.stripe("POST", &format!("/v1/customers/{remote}"), "name=Theirs+alone");
    // The other direction is as usual. By then all of the above was taken in.
    world.stripe("DELETE", &format!("/v1/customers/{at_other}"), "");
    until("the deletion there is followed", || is_gone(&world, &other).then_some(()));
    world.taken_in();
    world.brought();
    assert!(is_gone(&world, &id) && is_gone(&world, &remote), "an edit there revives nothing");
    let there = world.stripe("GET", &format!("/v1/customers/{remote}"), "").body;
    assert_eq!((&there["name"], &there["deleted"]), (&json!("Theirs alone"), &Json::Null));
    assert_eq!(deletes(&world), [Json::Null; 0]);
    assert_eq!(world.our_writes().len(), 2, "the two creates");
}

#[test]
fn what_is_deleted_there_and_kept_here_lives_on_in_the_catalog_alone() {
    let Some(broker) = broker("what_is_deleted_there_and_kept_here") else { return };
    let mut world = World::start(&broker, &[]);
    world.start_inward_with(|command| {
        command.args(KEEP);
    });
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    let (other, at_other) = world.synced(&json!({"name": "Bob"}));
    world.stripe("DELETE", &format!("/v1/customers/{remote}"), "");
    let is_told = |it: &Json| {
        let why = it["sync"]["stripe"]["error"].as_str().unwrap_or_default();
        why.contains("deleted at Stripe and kept here")
    };
    world.catalog_until(&id, "kept, and said to be alone", is_told);
    let path = format!("/customers/{id}");
    let reply = world.api("PATCH", &path, Some(&json!({"name": "Ours alone"})));
    assert_eq!((reply.status, &reply.body["name"]), (200, &json!("Ours alone")), "{reply:?}");
    // The other direction is as usual.
    assert_eq!(world.api("DELETE", &format!("/customers/{other}"), None).status, 204);
    world.stripe_until(&at_other, "deleted", |it| it["deleted"] == true);
    world.brought();
    world.taken_in();
    world.catalog_until(&id, "as edited, and still alone", |it| {
        it["name"] == "Ours alone" && is_told(it)
    });
    let writes = world.our_writes();
    assert_eq!(writes.len(), 3, "two creates and a deletion: {writes:#?}");
    assert_eq!(deletes(&world).len(), 1, "of the other one: {writes:#?}");
    assert_eq!(world.ever_at_stripe().len(), 2, "and none was made anew");
}
