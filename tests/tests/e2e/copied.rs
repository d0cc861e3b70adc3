//! People copy metadata from one customer to another, ours with it.

use serde_json::{Value as Json, json};
use tests::harness::{World, broker};

#[test]
fn a_catalog_id_copied_to_a_new_customer_takes_no_link_over() {
    let Some(broker) = broker("a_catalog_id_copied_to_a_new_customer") else { return };
    let world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    let copy = format!("name=Copy&metadata[catalog_id]={id}&metadata[catalog_version]=1");
    let copy = world.stripe("POST", "/v1/customers", &copy).body;
    let copied = copy["id"].as_str().expect("an id");
    world.stripe("POST", &format!("/v1/customers/{copied}"), "name=Copy+edited");
    // The id alone, without the stamp: somebody's own customer.
    let lone =
        world.stripe("POST", "/v1/customers", &format!("name=Lone&metadata[catalog_id]={id}"));
    let lone = lone.body["id"].as_str().expect("an id").to_owned();
    world.catalog_until(&lone, "as born at Stripe", |it| it["name"] == "Lone");
    world.taken_in();
    let reply = world.api("GET", &format!("/customers/{copied}"), None);
    assert_eq!(reply.status, 404, "it is noted, and is no customer of ours: {reply:?}");
    let here = world.api("GET", &format!("/customers/{id}"), None).body;
    assert_eq!((&here["name"], &here["version"]), (&json!("Ada"), &json!(1)), "{here}");
    assert_eq!(here["sync"]["stripe"]["id"], remote.as_str());
    world.api("PATCH", &format!("/customers/{id}"), Some(&json!({"name": "Ada L."})));
    world.stripe_until(&remote, "edited", |it| it["name"] == "Ada L.");
    world.stripe_until(&lone, "left alone", |it| it["name"] == "Lone");
}

#[test]
fn a_catalog_id_copied_over_another_linked_customer_mixes_the_two_up_in_no_way() {
    let Some(broker) = broker("a_catalog_id_copied_over_another_linked") else { return };
    let world = World::start(&broker, &[]);
    let (ada, at_ada) = world.synced(&json!({"name": "Ada"}));
    let (bob, at_bob) = world.synced(&json!({"name": "Bob"}));
    world.later(60);
    let copy = format!("metadata[catalog_id]={ada}&metadata[catalog_version]=9&phone=123");
    world.stripe("POST", &format!("/v1/customers/{at_bob}"), &copy);
    world.catalog_until(&bob, "with the edit that came along", |it| it["phone"] == "123");
    let restored = |it: &Json| it["metadata"]["catalog_id"] == bob.as_str();
    world.stripe_until(&at_bob, "named as ours again", restored);
    world.api("PATCH", &format!("/customers/{bob}"), Some(&json!({"name": "Bobby"})));
    world.stripe_until(&at_bob, "edited", |it| it["name"] == "Bobby" && it["phone"] == "123");
    world.taken_in();
    let here = world.api("GET", &format!("/customers/{ada}"), None).body;
    assert_eq!((&here["name"], &here["version"]), (&json!("Ada"), &json!(1)), "{here}");
    assert_eq!(here["sync"]["stripe"]["id"], at_ada.as_str());
    let there = world.stripe("GET", &format!("/v1/customers/{at_ada}"), "").body;
    assert_eq!((&there["name"], &there["phone"]), (&json!("Ada"), &Json::Null));
}
