//! `kafka-to-stripe` on pipes: bad lines, a Stripe that refuses the key, a Stripe that is away.

use std::io::Write as _;

use serde_json::{Value as Json, json};
use tests::harness::http::{ask, call};
use tests::harness::until;

use crate::{Ended, Place, created, with_stripe};

const PIPES: [&str; 4] = ["--from", "-", "--to", "-"];

fn outcomes(ended: &Ended) -> Vec<(String, String)> {
    let text = |result: &Json, member: &str| result[member].as_str().unwrap_or("").to_owned();
    let results = ended.stdout.iter().map(|line| serde_json::from_str(line).expect("a result"));
    results.map(|result: Json| (text(&result, "customer"), text(&result, "outcome"))).collect()
}

#[test]
fn bad_lines_are_dead_letters_with_their_numbers_and_the_rest_goes_on() {
    let (place, _sim, url) = with_stripe();
    let mut shapeless = created("shapeless", "Eve");
    shapeless["data"]["customer"] = json!("Eve");
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    let lines = [
        created("a", "Ada").to_string(),
        "{\"specversion\":".to_owned(),
        String::new(),
        long,
        shapeless.to_string(),
        "[1]".to_owned(),
        created("b", "Bob").to_string(),
    ];
    let ended = place.run("kafka-to-stripe", &PIPES, format!("{}\n", lines.join("\n")).as_bytes());
    assert_eq!(ended.code, Some(1), "{}", ended.said());
    let mut outcomes = outcomes(&ended);
    outcomes.sort();
    let made = |id: &str| (id.to_owned(), "created".to_owned());
    assert_eq!(outcomes, [made("a"), made("b")], "{}", ended.said());

    let mut dead = place.dead_letters("kafka-to-stripe");
    dead.sort_by_key(|letter| letter["line"].as_i64());
    let numbers: Vec<_> = dead.iter().map(|letter| letter["line"].as_i64()).collect();
    assert_eq!(numbers, [Some(2), Some(4), Some(5), Some(6)], "{dead:#?}");
    for (letter, word) in dead.iter().zip(["not JSON", "1048576", "customer", "not a JSON object"])
    {
        let error = letter["error"].as_str().expect("a reason");
        assert!(error.contains(word), "{word:?}: {error}");
        assert_eq!(letter["origin"], "-");
    }
    assert_eq!(dead[0]["text"], lines[1].as_str());
    assert_eq!(dead[2]["record"], shapeless);
    for line in ["line 2", "line 4", "line 5", "line 6"] {
        assert!(ended.said().contains(line), "{line}: {}", ended.said());
    }
    let headers = [("authorization", "Bearer sk_test_person")];
    let there = call("GET", &format!("{url}/v1/customers"), &headers, None).expect("an answer");
    assert_eq!(there.body["data"].as_array().map(Vec::len), Some(2));
}

#[test]
fn dead_letters_go_where_they_are_told_to() {
    let place = Place::usual();
    let flags = [&PIPES[..], &["--dlq", "dead.ndjson"]].concat();
    assert_eq!(place.run("kafka-to-stripe", &flags, b"nonsense\n").code, Some(1));
    let dead = std::fs::read_to_string(place.dir.path().join("dead.ndjson")).expect("there");
    assert!(dead.contains("nonsense"), "{dead}");
    assert!(place.dead_letters("kafka-to-stripe").is_empty());
}

#[test]
fn no_input_is_nothing_to_do() {
    let ended = Place::usual().run("kafka-to-stripe", &PIPES, b"\n\n");
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), 0), "{}", ended.said());
}

#[test]
fn a_key_that_stripe_refuses_ends_it_with_78_and_is_not_shown() {
    for status in [401, 403] {
        let (place, _sim, url) = with_stripe();
        let fault = json!({"path": "/v1/", "status": status});
        assert!(ask("POST", &format!("{url}/_sim/faults"), Some(&fault)).status < 300);
        let change = format!("{}\n", created("a", "Ada"));
        let ended = place.run("kafka-to-stripe", &PIPES, change.as_bytes());
        ended.failed("kafka-to-stripe", 78, &["STRIPE_SECRET_KEY", "hint: "]);
        // Not the record's fault; but nobody else reads the line again.
        let kept = place.dead_letters("kafka-to-stripe");
        assert_eq!(kept.len(), 1, "{kept:#?}");
        assert_eq!(kept[0]["error"], "not finished when the program ended");
    }
}

#[test]
fn a_stripe_that_is_away_is_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    drop(listener);
    let place = Place::usual().with("STRIPE_API_BASE", format!("http://{address}"));
    let mut mover = place.start("kafka-to-stripe", &PIPES);
    mover.feed(format!("{}\n", created("a", "Ada")).as_bytes());
    until("it says that Stripe does not answer", || {
        mover.stderr().iter().any(|line| line.contains("refused")).then_some(())
    });
    assert!(mover.ended().is_none(), "it waits: {:#?}", mover.stderr());
    let _sim = Place::bare().start("stripe-sim", &["--listen", &address]);
    mover.close_stdin();
    let status = mover.wait();
    let ended = Ended::of(&mover, status);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert_eq!(outcomes(&ended), [("a".to_owned(), "created".to_owned())]);
    assert!(place.dead_letters("kafka-to-stripe").is_empty());
}

/// Beyond what a program takes in hand and reads ahead.
const MANY: usize = 20_000;

#[test]
fn told_to_stop_it_finishes_the_lines_it_has_read_and_says_where_to_go_on() {
    let (place, _sim, _) = with_stripe();
    let text: Vec<String> =
        (1..=MANY).map(|n| created(&format!("c{n}"), "Ada").to_string()).collect();
    let flags = ["--from", "-", "--to", "-", "--rate", "1000"];
    let mut mover = place.start("kafka-to-stripe", &flags);
    let mut stdin = mover.take_stdin().expect("piped");
    let input = text.join("\n") + "\n";
    // The pipe is full most of the time, and broken in the end.
    let feeding = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    until("it is at work", || (mover.stdout().len() > 10).then_some(()));
    mover.terminate();
    let status = mover.wait();
    let ended = Ended::of(&mover, status);
    assert!(feeding.join().expect("no panic").is_err(), "not all was read: {}", ended.said());
    let said = ended.stderr.iter().find(|line| line.contains("goes on from there"));
    let said = said.unwrap_or_else(|| panic!("it says how far it came: {}", ended.said()));
    let (_, next) = said.split_once("tail -n +").expect("the command");
    let next = next.split(' ').next().and_then(|number| number.parse::<usize>().ok());
    let read = next.expect("a number") - 1;
    assert!(said.contains(&format!("line {read} only")) && read < MANY, "{said}");
    // Each line up to there is done, or kept; none beyond it was begun.
    let mut dealt_with: Vec<String> =
        outcomes(&ended).into_iter().map(|(customer, _)| customer).collect();
    let kept = place.dead_letters("kafka-to-stripe");
    assert_eq!(ended.code, Some(i32::from(!kept.is_empty())), "{}", ended.said());
    dealt_with.extend(
        kept.iter()
            .map(|letter| letter["record"]["subject"].as_str().expect("a record").to_owned()),
    );
    dealt_with.sort();
    let mut expected: Vec<String> = (1..=read).map(|n| format!("c{n}")).collect();
    expected.sort();
    assert_eq!(dealt_with, expected);
}

#[test]
fn a_refused_field_is_named_in_the_result_and_the_rest_is_there() {
    let (place, _sim, url) = with_stripe();
    let fault = json!({"path": "/v1/", "refuse": {"param": "phone"}});
    let steered = ask("POST", &format!("{url}/_sim/faults"), Some(&fault));
    assert!(steered.status < 300, "{steered:?}");
    let mut change = created("a", "Ada");
    change["data"]["customer"]["phone"] = json!("123");
    change["data"]["systems"]["stripe"]["first"]["phone"] = json!("123");
    change["data"]["systems"]["stripe"]["pending"]["phone"] = json!(1);
    let ended = place.run("kafka-to-stripe", &PIPES, format!("{change}\n").as_bytes());
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let result: Json = serde_json::from_str(&ended.stdout[0]).expect("a result");
    assert!(result["refused"]["phone"].is_string(), "{result}");
    let headers = [("authorization", "Bearer sk_test_person")];
    let there = call("GET", &format!("{url}/v1/customers"), &headers, None).expect("an answer");
    assert_eq!(there.body["data"][0]["name"], "Ada");
    assert_eq!(there.body["data"][0]["metadata"]["catalog_version"], "1 -phone");
}
