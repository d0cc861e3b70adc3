//! When what Stripe has is in doubt: it is asked, as seldom as will do, or seen again.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tests::harness::{Program, Topic, World, broker, until};

/// A key that may read and do nothing else.
const READ_KEY: &str = "rk_test_local";

const CUSTOMERS: usize = 20;
const EDITS_EACH: usize = 99;
/// Few enough to be no read per event, and enough for a backlog that comes in several batches.
const READS_EACH_MAX: usize = 4;

/// GETs of single customers that our programs made, by customer.
fn reads(world: &World) -> BTreeMap<String, usize> {
    let mut reads = BTreeMap::new();
    for request in world.asked_by_us() {
        let path = request["path"].as_str().unwrap_or_default();
        if request["method"] == "GET" && path.starts_with("/v1/customers/cus_") {
            *reads.entry(path.to_owned()).or_default() += 1;
        }
    }
    reads
}

fn metric(address: &str, name: &str) -> Option<u64> {
    let reply = tests::harness::http::call("GET", &format!("{address}/metrics"), &[], None)?;
    let text = reply.body.as_str()?.to_owned();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?.to_owned();
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_backlog_of_events_of_one_second_costs_a_few_reads_per_customer_with_a_key_that_only_reads() {
    let Some(broker) = broker("a_backlog_of_events_of_one_second") else { return };
    let mut world = World::start(&broker, &[]);
    world.inward = None;
    world.hold_webhooks();
    world.fault(&json!({"same_second": true}));
    let mut ids = Vec::new();
    for n in 0..CUSTOMERS {
        let reply = world.stripe("POST", "/v1/customers", &format!("name=Customer+{n}"));
        ids.push(reply.body["id"].as_str().expect("an id").to_owned());
    }
    for n in 1..=EDITS_EACH {
        for id in &ids {
            world.stripe("POST", &format!("/v1/customers/{id}"), &format!("name=Edited+{n}"));
        }
    }
    world.steer("DELETE", "faults", None);
    let backlog = world.sim_lines("events");
    assert_eq!(backlog.len(), CUSTOMERS * (1 + EDITS_EACH));
    for event in &backlog {
        world.deliver(event);
    }
    world.start_inward_with(|command| {
        command.env_remove("STRIPE_SECRET_KEY").env("STRIPE_READ_KEY", READ_KEY);
    });
    world.taken_in();
    for id in &ids {
        let here = world.api("GET", &format!("/customers/{id}"), None).body;
        assert_eq!(here["name"], format!("Edited {EDITS_EACH}"), "{here}");
        assert!(here["sync"]["stripe"].get("doubt").is_none(), "settled: {here}");
    }
    let reads = reads(&world);
    assert_eq!(reads.len(), CUSTOMERS, "each was in doubt: {reads:?}");
    assert!(reads.values().all(|times| *times <= READS_EACH_MAX), "{reads:?}");
}

/// Two edits there of the same second, told in the wrong order; nothing of ours goes out any more.
fn edited_twice_within_a_second(world: &mut World, remote: &str) {
    world.outward = None;
    world.stripe("POST", &format!("/v1/customers/{remote}"), "name=First&phone=1");
    world.stripe("POST", &format!("/v1/customers/{remote}"), "name=Last");
    let events = world.events_of(remote);
    world.deliver(&events[2]);
    world.deliver(&events[1]);
    world.taken_in();
}

#[test]
fn without_a_key_a_doubt_is_shown_and_what_is_seen_next_settles_it() {
    let Some(broker) = broker("without_a_key_a_doubt_is_shown") else { return };
    let mut world = World::start(&broker, &[]);
    world.hold_webhooks();
    world.start_inward_with(|command| {
        command.env_remove("STRIPE_SECRET_KEY").args(["--metrics", "127.0.0.1:0"]);
    });
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    world.deliver(&world.events_of(&remote)[0]);
    world.taken_in();
    // Two edits there within a second of ours: nobody can tell by their events which came last.
    edited_twice_within_a_second(&mut world, &remote);
    let here = world.api("GET", &format!("/customers/{id}"), None).body;
    assert!(here["sync"]["stripe"]["doubt"].is_string(), "{here}");
    assert_eq!(here["name"], "Ada", "nothing is guessed");
    assert_eq!(metric(&world.api_url(""), "catalog_sync_doubts"), Some(1));

    // Our stamp goes out once, however many doubts there were, and its event settles them all.
    world.start_outward();
    let events = until("it is stamped again", || {
        let events = world.events_of(&remote);
        (events.len() == 4).then_some(events)
    });
    world.brought();
    world.deliver(&events[3]);
    let settled = |it: &Json| it["sync"]["stripe"].get("doubt").is_none();
    let here = world.catalog_until(&id, "as Stripe has it", settled);
    assert_eq!((&here["name"], &here["phone"]), (&json!("Last"), &json!("1")), "{here}");
    world.taken_in();
    assert_eq!(metric(&world.api_url(""), "catalog_sync_doubts"), Some(0));
    assert_eq!(world.our_writes().len(), 2, "the create, and the stamp");
    let inward = world.inward.as_ref().expect("it runs");
    let metrics = until("it says where its metrics are", || {
        let said = inward.stderr();
        let line = said.iter().find(|line| line.contains("metrics on "))?.clone();
        Some(line.split("metrics on ").nth(1)?.trim_end_matches("/metrics").to_owned())
    });
    assert_eq!(metric(&metrics, "hook_to_catalog_doubts_total"), Some(2));
    assert_eq!(metric(&metrics, "hook_to_catalog_reads_total"), Some(0));
    world.stripe_until(&remote, "as before", |it| it["name"] == "Last" && it["phone"] == "1");
}

#[test]
fn a_read_key_that_is_refused_ends_with_78_and_nothing_is_lost() {
    let Some(broker) = broker("a_read_key_that_is_refused") else { return };
    let mut world = World::start(&broker, &[]);
    world.hold_webhooks();
    world.fault(&json!({"same_second": true}));
    let id = world.stripe("POST", "/v1/customers", "name=Old").body["id"].clone();
    let id = id.as_str().expect("an id");
    world.stripe("POST", &format!("/v1/customers/{id}"), "name=New");
    let events = world.events_of(id);
    for status in [401, 403] {
        let refused = json!({"requests": [
            {"method": "GET", "path": format!("/v1/customers/{id}"), "status": status}]});
        world.fault(&refused);
        world.start_inward_with(|command| {
            command.env_remove("STRIPE_SECRET_KEY").env("STRIPE_READ_KEY", READ_KEY);
        });
        if status == 401 {
            world.deliver(&events[0]);
            world.deliver(&events[1]);
        }
        let inward = world.inward.as_mut().expect("it runs");
        assert_eq!(inward.wait().code(), Some(78), "{:#?}", inward.stderr());
        let said = inward.stderr().join("\n");
        assert!(said.contains("error: ") && said.contains("hint: "), "{said}");
        assert!(said.contains("STRIPE_READ_KEY") && !said.contains(READ_KEY), "{said}");
        world.steer("DELETE", "faults", None);
    }
    world.start_inward();
    world.catalog_until(id, "as edited", |it| it["name"] == "New");
}

#[test]
fn a_stamp_that_landed_and_was_taken_off_before_anybody_heard_of_it_is_sent_again() {
    let name = "a_stamp_that_landed_and_was_taken_off";
    let Some(broker) = broker(name) else { return };
    let mut world = World::start(&broker, &[]);
    world.hold_webhooks();
    let without_key = |command: &mut std::process::Command| {
        command.env_remove("STRIPE_SECRET_KEY");
    };
    world.start_inward_with(without_key);
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    world.deliver(&world.events_of(&remote)[0]);
    world.taken_in();
    edited_twice_within_a_second(&mut world, &remote);
    // The stamp that is to settle it lands, and is taken off with an edit, before its result and
    // its event are taken in.
    world.inward = None;
    world.start_outward();
    until("it is stamped again", || (world.events_of(&remote).len() == 4).then_some(()));
    world.brought();
    let edit = "name=Unstamped&metadata[catalog_version]=";
    world.stripe("POST", &format!("/v1/customers/{remote}"), edit);
    let events = world.events_of(&remote);
    world.deliver(&events[4]);
    world.deliver(&events[3]);
    let mut alone = world.command("hook-to-catalog");
    alone.args(["--from", &world.topic("stripe_events")]);
    alone.args(["--group", &format!("inward-{}", world.tag), "--instance", "test"]);
    without_key(&mut alone);
    let alone = Program::start(alone);
    let topic = Topic::new(&broker, &world.topic("stripe_events"));
    let group = format!("inward-{}", world.tag);
    until("the events are taken in", || topic.is_finished_by(&group).then_some(()));
    drop(alone);
    world.start_inward_with(without_key);
    let events = until("it is stamped once more", || {
        let events = world.events_of(&remote);
        (events.len() == 6).then_some(events)
    });
    world.deliver(&events[5]);
    world.catalog_until(&id, "as Stripe has it", |it| it["name"] == "Unstamped");
}
