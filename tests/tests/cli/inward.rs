//! `hook-to-catalog` on a pipe: what comes in is told apart, what is none of it is a dead letter,
//! and what concerns nobody has no effect.

use common::clock;
use serde_json::{Value as Json, json};
use tests::harness::http::ask;

use crate::{Ended, Place};

const PIPE: [&str; 2] = ["--from", "-"];

fn event(id: &str, kind: &str, customer: &Json) -> Json {
    json!({"id": id, "object": "event", "type": kind, "created": clock::now_ms() / 1000,
        "data": {"object": customer}})
}

fn stripes(id: &str, name: &str) -> Json {
    json!({"id": id, "object": "customer", "name": name, "email": null, "metadata": {},
        "created": 1_700_000_000})
}

fn run(place: &Place, lines: &[String]) -> Ended {
    let ended = place.run("hook-to-catalog", &PIPE, format!("{}\n", lines.join("\n")).as_bytes());
    assert_eq!(ended.stdout, [""; 0], "it writes no records");
    ended
}

/// The catalog's customers, as the API shows them.
fn customers(place: &Place) -> Vec<Json> {
    let api = place.start("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let reply = ask("GET", &format!("http://{}/customers", api.address()), None);
    reply.body.as_array().cloned().unwrap_or_default()
}

#[test]
fn bad_lines_are_dead_letters_and_the_rest_goes_on() {
    let place = Place::usual();
    let lines = [
        event("evt_1", "customer.created", &stripes("cus_1", "Ada")).to_string(),
        "{\"id\":".to_owned(),
        json!({"id": "evt_t", "object": "v2.core.event"}).to_string(),
        json!({"neither": "this", "nor": "that"}).to_string(),
        event("evt_2", "invoice.paid", &json!({"id": "in_1", "object": "invoice"})).to_string(),
        event("evt_3", "customer.created", &stripes("cus_3", "Bob")).to_string(),
        stripes("cus_4", "Cleo").to_string(),
    ];
    let ended = run(&place, &lines);
    assert_eq!(ended.code, Some(1), "{}", ended.said());
    let mut dead = place.dead_letters("hook-to-catalog");
    dead.sort_by_key(|letter| letter["line"].as_i64());
    let numbers: Vec<_> = dead.iter().map(|letter| letter["line"].as_i64()).collect();
    assert_eq!(numbers, [Some(2), Some(3), Some(4)], "{dead:#?}");
    for (letter, word) in dead.iter().zip(["not JSON", "thin event", "neither"]) {
        assert!(letter["error"].as_str().is_some_and(|why| why.contains(word)), "{letter}");
    }
    let mut names: Vec<_> =
        customers(&place).iter().map(|it| it["name"].as_str().unwrap_or("").to_owned()).collect();
    names.sort();
    assert_eq!(names, ["Ada", "Bob", "Cleo"]);
}

#[test]
fn a_stamped_customer_that_nobody_knows_is_taken_back_only_by_a_restored_catalog() {
    let place = Place::usual();
    let mut lost = stripes("cus_1", "Ada");
    lost["metadata"] = json!({"catalog_id": "c", "catalog_version": "7"});
    let ended = run(&place, &[lost.to_string()]);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(ended.said().contains("--restored"), "{}", ended.said());
    assert_eq!(customers(&place), [Json::Null; 0], "it may be another catalog's");

    let flags = ["--listen", "127.0.0.1:0", "--to", "-", "--restored"];
    let mut api = place.start("catalog-api", &flags);
    api.address();
    api.terminate();
    api.wait();
    let ended = run(&place, &[lost.to_string()]);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let there = customers(&place);
    assert_eq!((&there[0]["id"], &there[0]["name"]), (&json!("c"), &json!("Ada")), "{there:#?}");
}

/// How many strays the catalog counts for people.
fn duplicates(place: &Place) -> u64 {
    let api = place.start("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let text = ask("GET", &format!("http://{}/metrics", api.address()), None).body;
    let text = text.as_str().expect("text");
    let line = text.lines().find(|line| line.starts_with("catalog_duplicates "));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a number")
}

#[test]
fn a_stray_is_counted_until_it_is_deleted_linked_or_born() {
    let place = Place::usual();
    let stray = |n: u8, names: &str| {
        let mut stray = stripes(&format!("cus_{n}"), "Ada");
        stray["metadata"] = json!({"catalog_id": names, "catalog_version": "1"});
        stray
    };
    let tell = |events: &[Json]| {
        let lines: Vec<String> = events.iter().map(Json::to_string).collect();
        let ended = run(&place, &lines);
        assert_eq!(ended.code, Some(0), "{}", ended.said());
        duplicates(&place)
    };
    let strays = [stray(1, "x"), stray(2, "y"), stray(3, "z")];
    let seen = |n: usize, kind: &str| event(&format!("evt_{n}_{kind}"), kind, &strays[n]);
    let updated = "customer.updated";
    let count = tell(&[seen(0, updated), seen(1, updated), seen(2, updated)]);
    assert_eq!(count, 3, "made by a catalog that nobody knows");
    // Deleted; an event of before comes late.
    let mut deleted = seen(0, "customer.deleted");
    deleted["data"]["object"]["deleted"] = json!(true);
    assert_eq!(tell(&[deleted, seen(0, "customer.created")]), 2);
    // Its stamp taken off: somebody's own, and born here.
    let born = event("evt_born", updated, &stripes("cus_2", "Ada"));
    assert_eq!(tell(&[born]), 1);
    // The customer that it names is there, and waits for it.
    let api = place.start("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let url = format!("http://{}/customers", api.address());
    assert_eq!(ask("POST", &url, Some(&json!({"id": "z", "name": "Ada"}))).status, 201);
    drop(api);
    assert_eq!(tell(&[seen(2, "customer.created")]), 0);
}

#[test]
fn a_result_of_a_customer_that_nobody_knows_has_no_effect() {
    let place = Place::usual();
    let result = json!({"event": "e", "customer": "nobody", "version": 1, "system": "stripe",
        "outcome": "created", "external_id": "cus_9", "refused": {}, "error": null,
        "at": "2026-01-01T00:00:00Z"});
    let born = event("evt_1", "customer.created", &stripes("cus_1", "Ada"));
    let ended = run(&place, &[result.to_string(), born.to_string()]);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(ended.said().contains("nobody"), "it is said: {}", ended.said());
    assert!(place.dead_letters("hook-to-catalog").is_empty());
    let there = customers(&place);
    assert_eq!(there.len(), 1, "{there:#?}");
    assert_eq!(there[0]["id"], "cus_1");
    assert_eq!(there[0]["sync"]["stripe"]["id"], "cus_1");
}

#[test]
fn an_update_of_a_customer_that_nobody_knows_is_its_birth_and_a_deletion_is_not() {
    let place = Place::usual();
    let gone = json!({"id": "cus_2", "object": "customer", "deleted": true});
    let lines = [
        event("evt_1", "customer.updated", &stripes("cus_1", "Ada")).to_string(),
        event("evt_2", "customer.deleted", &gone).to_string(),
    ];
    for round in 0..2 {
        let ended = run(&place, &lines);
        assert_eq!(ended.code, Some(0), "{}", ended.said());
        let there = customers(&place);
        assert_eq!(there.len(), 1, "{there:#?}");
        assert_eq!(there[0]["version"], 1, "round {round}: the same events again are nothing");
    }
}

#[test]
fn a_copied_catalog_id_takes_no_customer_over() {
    let place = Place::usual();
    let api = place.start("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let url = format!("http://{}/customers", api.address());
    let body = json!({"id": "a", "name": "Ada"});
    assert_eq!(ask("POST", &url, Some(&body)).status, 201);
    let mut copy = stripes("cus_copy", "Eve");
    copy["metadata"] = json!({"catalog_id": "a"});
    let ended = run(&place, &[event("evt_1", "customer.created", &copy).to_string()]);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let ada = ask("GET", &format!("{url}/a"), None).body;
    assert_eq!((&ada["name"], &ada["sync"]["stripe"]["id"]), (&json!("Ada"), &Json::Null));
    let born = ask("GET", &format!("{url}/cus_copy"), None).body;
    assert_eq!(born["name"], "Eve", "{born}");
}

#[test]
fn without_a_key_for_stripe_it_says_what_that_means() {
    let place = Place::usual().without("STRIPE_SECRET_KEY");
    let ended = place.run("hook-to-catalog", &PIPE, b"");
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(ended.said().contains("STRIPE_READ_KEY"), "{}", ended.said());
}
