//! `dead-letters` on files and pipes: what is listed is what another program wrote, what is put
//! back is the record as it was.

use serde_json::{Value as Json, json};

use crate::{NOBODY, Place, created};

/// What `kafka-to-stripe` left behind after two bad lines and a change that it could not parse.
fn with_letters() -> Place {
    let place = Place::usual();
    let poison = json!({"specversion": "1.0", "subject": "c1"});
    let input = format!("not json\n{poison}\n{{\"half\":\n");
    let ended = place.run("kafka-to-stripe", &["--from", "-", "--to", "-"], input.as_bytes());
    assert_eq!(ended.code, Some(1), "{}", ended.said());
    place
}

const FILE: &str = "./kafka-to-stripe.dlq.ndjson";

fn lines(stdout: &[String]) -> Vec<Json> {
    stdout.iter().map(|line| serde_json::from_str(line).expect("NDJSON")).collect()
}

#[test]
fn a_programs_file_is_listed_in_short_and_shown_whole() {
    let place = with_letters();
    let listed = place.run("dead-letters", &["list", "--from", FILE], b"");
    assert_eq!((listed.code, listed.said().as_str()), (Some(0), ""));
    let short = lines(&listed.stdout);
    assert_eq!(short.len(), 3, "{short:#?}");
    assert_eq!(short[1]["line"], 2);
    assert!(short[1].get("record").is_none());
    assert!(short.iter().any(|it| it["origin"] == json!({"line": 1})), "{short:#?}");
    let shown = place.run("dead-letters", &["show", "--from", FILE, "--error", "LINE 1: NOT"], b"");
    let whole = lines(&shown.stdout);
    assert_eq!((whole.len(), &whole[0]["text"]), (1, &json!("not json")), "{whole:#?}");
}

#[test]
fn what_is_put_back_on_stdout_is_the_line_as_it_was() {
    let place = with_letters();
    let flags = ["redrive", "--from", FILE, "--to", "-"];
    let back = place.run("dead-letters", &flags, b"");
    let mut records = back.stdout.clone();
    records.sort();
    let poison = json!({"specversion": "1.0", "subject": "c1"}).to_string();
    assert_eq!(
        (back.code, records),
        (Some(0), vec!["not json".into(), "{\"half\":".into(), poison])
    );
    // What is shown can be read again, from stdin too.
    let shown = place.run("dead-letters", &["show", "--from", FILE], b"").stdout.join("\n");
    let again =
        place.run("dead-letters", &["redrive", "--from", "-", "--to", "-"], shown.as_bytes());
    assert_eq!((again.code, again.stdout), (Some(0), back.stdout));
}

#[test]
fn a_line_that_is_no_dead_letter_is_named_and_the_others_go_on() {
    let good = json!({"error": "x", "origin": "-", "record": created("c", "Ada")});
    let input = format!("{{\"error\":\n{good}\n{{}}\n");
    let ended = Place::usual().run("dead-letters", &["--from", "-"], input.as_bytes());
    assert_eq!((ended.code, ended.stdout.len()), (Some(1), 1), "{}", ended.said());
    assert!(ended.said().contains("- line 1: ") && ended.said().contains("- line 3: "));
}

#[test]
fn a_letter_that_came_from_a_pipe_needs_to_be_told_where_to_go() {
    let place = with_letters();
    let ended = place.run("dead-letters", &["redrive", "--from", FILE], b"");
    ended.failed("dead-letters", 1, &["it came from a pipe", "hint: ", "--to"]);
}

#[test]
fn a_command_that_cannot_be_meant_is_refused_before_anything_is_read() {
    let topic = "kafka:a.dlq";
    for (flags, code, words) in [
        (&["list", "--to", "-"][..], 2, &["--to", "redrive"][..]),
        (&["list", "--dry-run"], 2, &["--dry-run"]),
        (&["--offset", "1:2"], 2, &["--offset", "one --from"]),
        (&["redrive", "--from", topic, "--to", topic], 2, &["--to"]),
        (&["--offset", "x"], 2, &["--offset", "PARTITION:OFFSET"]),
        (&["--from", "kafka:a b"], 2, &["--from"]),
        (&["revive"], 2, &["revive", "redrive"]),
        (&["--from", "customer_events.dlq"], 78, &["customer_events.dlq", "kafka:TOPIC"]),
    ] {
        Place::usual().run("dead-letters", flags, b"").failed("dead-letters", code, words);
    }
}

#[test]
fn a_broker_that_is_away_is_said_at_once() {
    let started = std::time::Instant::now();
    let ended = Place::usual().run("dead-letters", &["--from", "kafka:a.dlq"], b"");
    ended.failed("dead-letters", 69, &["kafka:a.dlq", "hint: "]);
    assert!(started.elapsed().as_secs() < 20, "and nobody waits for {NOBODY}");
}
