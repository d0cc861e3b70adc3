//! Each flow, in both directions.

use serde_json::{Value as Json, json};
use tests::harness::{World, broker, until};

#[test]
fn a_customer_of_the_catalog_follows_to_stripe() {
    let Some(broker) = broker("a_customer_of_the_catalog_follows_to_stripe") else { return };
    let world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({
        "name": "Ada", "email": "ada@example.com", "phone": "+44 20 7946 0000",
        "address": {"line1": "12 St James's Square", "city": "London", "country": "GB"},
        "metadata": {"plan": "pro"}
    }));
    let there = world.stripe_until(&remote, "as created", |it| it["name"] == "Ada");
    assert_eq!(there["phone"], "+44 20 7946 0000");
    assert_eq!(there["address"]["city"], "London");
    assert_eq!(there["metadata"]["plan"], "pro");
    assert_eq!(there["metadata"]["catalog_id"], id.as_str());
    assert_eq!(there["metadata"]["catalog_version"], "1");

    let patch =
        json!({"name": "Ada Lovelace", "phone": null, "metadata": {"plan": null, "k": "v"}});
    let reply = world.api("PATCH", &format!("/customers/{id}"), Some(&patch));
    assert_eq!(reply.status, 200, "{reply:?}");
    let there = world.stripe_until(&remote, "as patched", |it| it["name"] == "Ada Lovelace");
    assert!(there["phone"].is_null(), "{there}");
    assert_eq!(there["email"], "ada@example.com");
    assert_eq!(there["metadata"], json!({"catalog_id": id, "catalog_version": "2", "k": "v"}));

    let reply = world.api("DELETE", &format!("/customers/{id}"), None);
    assert_eq!(reply.status, 204, "{reply:?}");
    world.stripe_until(&remote, "deleted", |it| it["deleted"] == true);
    assert_eq!(world.api("GET", &format!("/customers/{id}"), None).status, 404);
}

#[test]
fn a_customer_of_stripe_follows_to_the_catalog() {
    let Some(broker) = broker("a_customer_of_stripe_follows_to_the_catalog") else { return };
    let world = World::start(&broker, &[]);
    let there = world.stripe("POST", "/v1/customers", "name=Grace&metadata[rank]=admiral");
    assert_eq!(there.status, 200, "{there:?}");
    let id = there.body["id"].as_str().expect("an id").to_owned();
    let here = world.catalog_until(&id, "as born", |it| it["name"] == "Grace");
    assert_eq!(here["metadata"], json!({"rank": "admiral"}));
    assert_eq!(here["sync"]["stripe"]["id"], id.as_str());

    let edit = "email=grace%40example.com&address[country]=US&metadata[rank]=";
    world.stripe("POST", &format!("/v1/customers/{id}"), edit);
    let here = world.catalog_until(&id, "as edited", |it| it["email"] == "grace@example.com");
    assert_eq!(here["address"]["country"], "US");
    assert_eq!(here["metadata"], json!({}));

    // What is born there may be edited here.
    let patch = json!({"description": "from the catalog"});
    world.api("PATCH", &format!("/customers/{id}"), Some(&patch));
    world.stripe_until(&id, "as edited here", |it| it["description"] == "from the catalog");

    world.stripe("DELETE", &format!("/v1/customers/{id}"), "");
    until("the catalog follows the deletion", || {
        (world.api("GET", &format!("/customers/{id}"), None).status == 404).then_some(())
    });
}

#[test]
fn what_webhooks_miss_stripe_tail_brings() {
    let Some(broker) = broker("what_webhooks_miss_stripe_tail_brings") else { return };
    let mut world = World::start(&broker, &[]);
    if let Some(hook) = &mut world.hook {
        hook.kill();
    }
    let there = world.stripe("POST", "/v1/customers", "name=Missed");
    let id = there.body["id"].as_str().expect("an id").to_owned();
    world.start_tail();
    world.catalog_until(&id, "though no webhook came", |it| it["name"] == "Missed");
}

#[test]
fn a_field_that_stripe_refuses_is_shown_and_holds_back_no_other() {
    let Some(broker) = broker("a_field_that_stripe_refuses_is_shown") else { return };
    let world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({"name": "Ada", "email": "ada@example.com"}));
    let fault = json!({"method": "POST", "path": "/v1/customers/", "count": 1,
        "refuse": {"param": "phone", "code": "parameter_invalid", "message": "not a phone"}});
    world.fault(&fault);
    let patch = json!({"name": "Ada L.", "phone": "12"});
    world.api("PATCH", &format!("/customers/{id}"), Some(&patch));
    world.stripe_until(&remote, "with the new name", |it| it["name"] == "Ada L.");
    // An event may tell first that the field was refused; the result tells why.
    let is_told = |it: &Json| {
        let why = it["sync"]["stripe"]["refused"]["phone"].as_str().unwrap_or_default();
        it["sync"]["stripe"]["state"] == "failed" && why.contains("not a phone")
    };
    let here = world.catalog_until(&id, "failed, in Stripe's words", is_told);
    assert_eq!(here["phone"], "12", "our value stays until somebody changes it");

    let patch = json!({"phone": "+44 20 7946 0000"});
    world.api("PATCH", &format!("/customers/{id}"), Some(&patch));
    world.stripe_until(&remote, "with the new phone", |it| it["phone"] == "+44 20 7946 0000");
    world.catalog_until(&id, "synced again", |it| it["sync"]["stripe"]["state"] == "synced");
}
