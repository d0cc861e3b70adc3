//! Fields that belong to one side: `--owner`, on both programs.

use serde_json::{Value as Json, json};
use tests::harness::{World, broker, until};

const OWNERS: [&str; 2] = ["--owner", "email=catalog,phone=stripe"];

fn start(broker: &str) -> World {
    let mut world = World::start(broker, &[]);
    world.start_api_with(|command| {
        command.args(OWNERS);
    });
    world.start_inward_with(|command| {
        command.args(OWNERS);
    });
    world.ready();
    world
}

fn names_phone(reply: &tests::harness::http::Reply) -> bool {
    reply.status == 422 && reply.body["errors"].to_string().contains("phone")
}

#[test]
fn a_field_of_stripes_is_edited_there_only() {
    let Some(broker) = broker("a_field_of_stripes_is_edited_there_only") else { return };
    let world = start(&broker);
    let with_phone = json!({"name": "Ada", "phone": "123"});
    let reply = world.api("POST", "/customers", Some(&with_phone));
    assert!(names_phone(&reply), "{reply:?}");
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    let path = format!("/customers/{id}");
    let reply = world.api("PATCH", &path, Some(&json!({"name": "Eve", "phone": "123"})));
    assert!(names_phone(&reply), "{reply:?}");

    world.later(60);
    world.stripe("POST", &format!("/v1/customers/{remote}"), "phone=456");
    world.catalog_until(&id, "as edited there", |it| it["phone"] == "456");
    // What leaves it as it is, is allowed; taking it away is not.
    let reply = world.api("PATCH", &path, Some(&json!({"name": "Countess", "phone": "456"})));
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = world.api("PATCH", &path, Some(&json!({"phone": null})));
    assert!(names_phone(&reply), "{reply:?}");
    let both = |it: &Json| it["name"] == "Countess" && it["phone"] == "456";
    world.stripe_until(&remote, "with both", both);
    world.brought();
    let writes = world.our_writes();
    assert_eq!(writes.len(), 2, "the create and one edit: {writes:#?}");
    assert!(!writes.iter().any(|it| it["params"].get("phone").is_some()), "{writes:#?}");
}

#[test]
fn an_edit_there_of_a_field_of_the_catalogs_is_undone_and_its_value_is_kept() {
    let Some(broker) = broker("an_edit_there_of_a_field_of_the_catalogs") else { return };
    let world = start(&broker);
    let (id, remote) = world.synced(&json!({"name": "Ada", "email": "ours@example.com"}));
    world.later(60);
    let edit = "email=theirs%40example.com&name=Countess";
    world.stripe("POST", &format!("/v1/customers/{remote}"), edit);
    let here = world.catalog_until(&id, "with their name", |it| it["name"] == "Countess");
    assert_eq!(here["email"], "ours@example.com", "{here}");
    let undone = |it: &Json| it["email"] == "ours@example.com" && it["name"] == "Countess";
    world.stripe_until(&remote, "with our address again", undone);
    let noted = until("their address is kept", || {
        let open = world.api("GET", &format!("/customers/{id}/conflicts"), None).body;
        open.get(0).cloned()
    });
    assert_eq!(
        (&noted["field"], &noted["ours"]["value"], &noted["theirs"]["value"]),
        (&json!("email"), &json!("ours@example.com"), &json!("theirs@example.com"))
    );
    world.brought();
    world.taken_in();
    let writes = world.our_writes();
    assert_eq!(writes.len(), 2, "the create, and ours once more: {writes:#?}");
    assert!(writes[1]["params"].get("name").is_none(), "only what was undone: {writes:#?}");

    // Who edits it here edits it there too; so does who puts their value back.
    let restore = format!("/customers/{id}/conflicts/{}/restore", noted["id"]);
    let reply = world.api("POST", &restore, None);
    assert_eq!(reply.status, 200, "{reply:?}");
    world.stripe_until(&remote, "as put back", |it| it["email"] == "theirs@example.com");
    world.catalog_until(&id, "in step", |it| it["sync"]["stripe"]["state"] == "synced");
}
