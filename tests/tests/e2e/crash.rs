//! Each program killed with SIGKILL in the middle of things, and started again.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tests::harness::{World, broker, until};

fn patch(world: &World, id: &str, name: &str) {
    until("the API takes the edit", || {
        let reply = tests::harness::http::call(
            "PATCH",
            &world.api_url(&format!("/customers/{id}")),
            &[("content-type", "application/json")],
            Some(json!({ "name": name }).to_string().as_bytes()),
        )?;
        (reply.status == 200).then_some(())
    });
}

/// Edits on both sides, one after the other, while `crash` kills and starts again; both sides end
/// equal, nothing is doubled.
fn survives(name: &str, crash: impl Fn(&mut World)) {
    let Some(broker) = broker(name) else { return };
    let mut world = World::start(&broker, &[]);
    let mut ids = Vec::new();
    for n in 0..5 {
        let body = json!({"name": format!("Customer {n}"), "email": format!("c{n}@example.com")});
        ids.push(world.synced(&body));
    }
    for round in 0..3 {
        for (id, _) in &ids {
            patch(&world, id, &format!("Round {round}"));
        }
        crash(&mut world);
        for (_, remote) in &ids {
            let form = format!("description=there+{round}");
            world.stripe("POST", &format!("/v1/customers/{remote}"), &form);
        }
        let late = json!({"name": format!("Late {round}"), "email": "late@example.com"});
        let reply = until("the API takes a new customer", || {
            tests::harness::http::call(
                "POST",
                &world.api_url("/customers"),
                &[("content-type", "application/json")],
                Some(late.to_string().as_bytes()),
            )
        });
        assert_eq!(reply.status, 201, "{reply:?}");
        let id = reply.body["id"].as_str().expect("an id").to_owned();
        let is_linked = |it: &Json| it["sync"]["stripe"]["id"].is_string();
        let here = world.catalog_until(&id, "linked", is_linked);
        let remote = here["sync"]["stripe"]["id"].as_str().expect("a link").to_owned();
        ids.push((id, remote));
        for (id, remote) in &ids[..5] {
            let at_stripe = |it: &Json| it["name"] == format!("Round {round}");
            world.stripe_until(remote, "edited here", at_stripe);
            let here = |it: &Json| {
                it["description"] == format!("there {round}")
                    && it["name"] == format!("Round {round}")
            };
            world.catalog_until(id, "edited there", here);
        }
    }
    let customers = world.stripe("GET", "/v1/customers?limit=100", "").body;
    let count = customers["data"].as_array().map_or(0, Vec::len);
    assert_eq!(count, ids.len(), "no customer is doubled at Stripe");
}

#[test]
fn catalog_api_killed_loses_and_doubles_nothing() {
    survives("catalog_api_killed", |world| {
        world.api.as_mut().expect("it runs").kill();
        world.start_api();
    });
}

#[test]
fn kafka_to_stripe_killed_loses_and_doubles_nothing() {
    survives("kafka_to_stripe_killed", |world| {
        world.outward.as_mut().expect("it runs").kill();
        world.start_outward();
    });
}

#[test]
fn stripe_hook_killed_loses_and_doubles_nothing() {
    survives("stripe_hook_killed", |world| {
        world.hook.as_mut().expect("it runs").kill();
        world.start_hook();
    });
}

#[test]
fn hook_to_catalog_killed_loses_and_doubles_nothing() {
    survives("hook_to_catalog_killed", |world| {
        world.inward.as_mut().expect("it runs").kill();
        world.start_inward();
    });
}

#[test]
fn a_mover_told_to_stop_drains_and_ends_with_0() {
    let Some(broker) = broker("a_mover_told_to_stop") else { return };
    let mut world = World::start(&broker, &[]);
    world.synced(&json!({"name": "Ada"}));
    let started = Instant::now();
    for program in [&mut world.outward, &mut world.inward, &mut world.hook, &mut world.api] {
        let program = program.as_mut().expect("it runs");
        program.terminate();
        assert_eq!(program.wait().code(), Some(0), "{program:?}: {:#?}", program.stderr());
    }
    assert!(started.elapsed() < Duration::from_secs(50), "each within its drain limit");
}
