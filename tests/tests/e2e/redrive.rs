//! From a record that cannot be processed to its dead letter, and back.

use serde_json::{Value as Json, json};
use tests::harness::{Program, Topic, World, broker, until};

/// Runs `dead-letters` to its end; the lines it wrote, as JSON.
fn dead_letters(world: &World, flags: &[&str]) -> Vec<Json> {
    let mut command = world.command("dead-letters");
    command.args(flags).args(["--group", &format!("dead-letters-{}", world.tag)]);
    let mut program = Program::start(command);
    let status = program.wait();
    assert_eq!(status.code(), Some(0), "{flags:?}: {:#?}", program.stderr());
    let lines = program.stdout();
    lines.iter().map(|line| serde_json::from_str(line).expect("NDJSON")).collect()
}

/// Edits a customer here while Stripe refuses the update as a whole, until its change is dead.
fn refused(world: &World, id: &str, remote: &str, patch: &Json) -> Json {
    let refuse = json!({"requests": [{"method": "POST", "status": 402, "count": 1,
        "path": format!("/v1/customers/{remote}"), "message": "the account is in arrears"}]});
    world.fault(&refuse);
    world.api("PATCH", &format!("/customers/{id}"), Some(patch));
    world.catalog_until(id, "failed, in Stripe's words", |it| {
        let why = it["sync"]["stripe"]["error"].as_str().unwrap_or_default();
        it["sync"]["stripe"]["state"] == "failed" && why.contains("in arrears")
    })
}

#[test]
fn a_change_that_stripe_refused_works_after_a_redrive_and_is_sent_again_once_only() {
    let Some(broker) = broker("a_change_that_stripe_refused_works_after") else { return };
    let world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    let here = refused(&world, &id, &remote, &json!({"name": "Countess"}));
    let (other, _) = world.synced(&json!({"name": "Bob"}));
    assert_eq!(here["name"], "Countess", "ours stays: {here}");

    // It lies there untouched, and says why and from where.
    let topic = Topic::new(&broker, &world.topic("customer_events"));
    let from = world.topic("customer_events") + ".dlq";
    let dead = until("it is dead", || {
        let dead = topic.dead_letters().records();
        (!dead.is_empty()).then_some(dead)
    });
    assert_eq!(dead.len(), 1, "{dead:#?}");
    let origin = topic.records().into_iter().find(|it| it.json()["data"]["version"] == 2);
    let origin = origin.expect("the change");
    assert_eq!((&dead[0].key, &dead[0].value), (&origin.key, &origin.value));
    let listed = dead_letters(&world, &["list", "--from", &from]);
    assert_eq!(listed.len(), 1, "{listed:#?}");
    let (one, value) = (&listed[0], &origin.value);
    assert_eq!((&one["key"], &one["size"]), (&json!(id), &json!(value.len())));
    assert!(one["error"].as_str().is_some_and(|why| why.contains("in arrears")), "{one}");
    let place =
        json!({"topic": topic.name, "partition": origin.partition, "offset": origin.offset});
    assert_eq!((&one["origin"], &one["attempts"]), (&place, &json!(1)));
    let whole = dead_letters(&world, &["show", "--from", &from]);
    assert_eq!(whole[0]["record"], origin.json());

    // Put back, it works, and the error is gone.
    let none = dead_letters(&world, &["redrive", "--from", &from, "--key", &other]);
    assert_eq!((none.len(), topic.records().len()), (0, 3), "nobody else's is touched");
    dead_letters(&world, &["redrive", "--from", &from]);
    world.stripe_until(&remote, "edited", |it| it["name"] == "Countess");
    let here = world.catalog_until(&id, "in step", |it| it["sync"]["stripe"]["state"] == "synced");
    assert_eq!(here["sync"]["stripe"]["error"], Json::Null);
    let back = topic.records();
    let back = back.iter().find(|it| it.header("redriven").is_some()).expect("put back");
    assert_eq!((&back.key, &back.value), (&origin.key, &origin.value), "untouched");
    assert!(back.header("error").is_none(), "{back:?}");

    // What was put back is remembered.
    dead_letters(&world, &["redrive", "--from", &from]);
    assert_eq!(topic.records().len(), 4, "three changes, and one of them once more");
    assert_eq!(dead_letters(&world, &["list", "--from", &from]), [Json::Null; 0]);
    let all = dead_letters(&world, &["list", "--from", &from, "--all"]);
    assert_eq!((all.len(), &all[0]["redriven"]), (1, &json!(true)));
}

#[test]
fn an_old_change_put_back_after_a_newer_one_undoes_nothing() {
    let Some(broker) = broker("an_old_change_put_back_after_a_newer_one") else { return };
    let mut world = World::start(&broker, &[]);
    let (id, remote) = world.synced(&json!({"name": "Ada"}));
    refused(&world, &id, &remote, &json!({"name": "Second"}));
    world.api("PATCH", &format!("/customers/{id}"), Some(&json!({"name": "Third"})));
    world.stripe_until(&remote, "edited", |it| it["name"] == "Third");
    world.catalog_until(&id, "in step", |it| it["sync"]["stripe"]["state"] == "synced");
    world.brought();
    // One that remembers nothing, and has read all there was before the old change comes back.
    world.start_outward();
    let (_, _) = world.synced(&json!({"name": "Read to here"}));
    let before = world.our_writes().len();
    let from = world.topic("customer_events") + ".dlq";
    dead_letters(&world, &["redrive", "--from", &from]);
    world.brought();
    world.taken_in();
    assert_eq!(world.our_writes().len(), before, "nothing is written");
    world.stripe_until(&remote, "as edited last", |it| it["name"] == "Third");
    let here = world.api("GET", &format!("/customers/{id}"), None).body;
    assert_eq!(
        (&here["name"], &here["sync"]["stripe"]["state"]),
        (&json!("Third"), &json!("synced"))
    );
}

#[test]
fn a_selection_is_remembered_exactly_and_goes_where_it_is_told() {
    let Some(broker) = broker("a_selection_is_remembered_exactly") else { return };
    let world = World::start(&broker, &[]);
    let events = Topic::new(&broker, &world.topic("stripe_events"));
    let from = world.topic("stripe_events") + ".dlq";
    // Of one key, so that they lie in one partition, in order.
    for n in 0..6 {
        events.produce("cus_poison", format!("{{\"poison\":{n}}}").as_bytes());
    }
    until("all are dead", || (events.dead_letters().records().len() == 6).then_some(()));
    let listed = dead_letters(&world, &["--from", &from]);
    let place = |n: usize| format!("{}:{}", listed[n]["partition"], listed[n]["offset"]);

    let elsewhere = world.topic("elsewhere");
    let flags = ["redrive", "--from", &from, "--to", &elsewhere];
    let chosen = ["--offset", &place(1), "--offset", &place(4)];
    let shown = dead_letters(&world, &[&flags[..], &chosen, &["--dry-run"]].concat());
    assert!(shown.len() == 2 && shown[0]["to"] == elsewhere, "{shown:#?}");
    dead_letters(&world, &[&flags[..], &chosen].concat());
    let piped = dead_letters(&world, &["redrive", "--from", &from, "--to", "-"]);
    let left = [0, 2, 3, 5].map(|n| json!({ "poison": n }));
    assert_eq!(piped, left, "those that were not chosen; a pipe is not remembered");
    dead_letters(&world, &flags);
    dead_letters(&world, &flags);
    let sent = Topic::new(&broker, &elsewhere).records();
    let sent: Vec<Json> = sent.iter().map(|it| it.json()["poison"].clone()).collect();
    assert_eq!(sent, [1, 4, 0, 2, 3, 5], "each once");

    // Kept in a file, and put back from there, by line.
    let mut command = world.command("dead-letters");
    command.args(["show", "--all", "--from", &from]);
    let kept = command.output().expect("it runs").stdout;
    std::fs::write(world.dir.path().join("kept.ndjson"), kept).expect("written");
    let flags = ["redrive", "--from", "./kept.ndjson", "--error", "NEITHER", "--offset", "3"];
    dead_letters(&world, &flags);
    let last = until("it is dead again", || {
        let all = events.dead_letters().records();
        (all.len() == 7).then_some(all)
    });
    let again = last.iter().find(|it| it.header("redriven").is_some()).expect("one of them");
    assert_eq!(again.value, b"{\"poison\":2}");
    assert_eq!(again.header("redriven"), Some("./kept.ndjson line 3"));
}
