//! The same programs with no broker at all, joined by pipes.

use serde_json::json;
use tests::harness::http::ask;
use tests::harness::{Pipes, until};

#[test]
fn the_programs_joined_by_pipes_keep_both_sides_in_step() {
    let pipes = Pipes::start();
    let out = ["--listen", "127.0.0.1:0", "--to", "-"];
    let line = pipes.line(&[
        ("catalog-api", &out),
        ("kafka-to-stripe", &["--from", "-", "--to", "-"]),
        ("hook-to-catalog", &["--from", "-"]),
    ]);
    let back = pipes.line(&[
        ("stripe-tail", &["--follow", "--to", "-", "--state", "tail.json"]),
        ("hook-to-catalog", &["--from", "-"]),
    ]);
    let api = format!("http://{}", line[0].address());
    let body = json!({"name": "Ada", "email": "ada@example.com"});
    let reply = ask("POST", &format!("{api}/customers"), Some(&body));
    assert_eq!(reply.status, 201, "{reply:?}");
    let id = reply.body["id"].as_str().expect("an id").to_owned();
    let url = format!("{api}/customers/{id}");
    let here = until("it is synced", || {
        let here = ask("GET", &url, None).body;
        (here["sync"]["stripe"]["state"] == "synced").then_some(here)
    });
    let remote = here["sync"]["stripe"]["id"].as_str().expect("a link").to_owned();
    assert_eq!(pipes.stripe_customers()[0]["metadata"]["catalog_id"], id.as_str());

    pipes.stripe("POST", &format!("/v1/customers/{remote}"), "name=Countess");
    until("the edit made at Stripe is here", || {
        (ask("GET", &url, None).body["name"] == "Countess").then_some(())
    });
    drop(back);
    drop(line);
    drop(pipes);
}

#[test]
fn a_line_that_broke_announces_again_what_was_on_its_way() {
    let pipes = Pipes::start();
    // Nobody downstream takes the change to Stripe: it is announced, and lost with the pipe.
    let api = pipes.program("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let url = format!("http://{}/customers", api.address());
    let reply = ask("POST", &url, Some(&json!({"name": "Lost on the way"})));
    assert_eq!(reply.status, 201, "{reply:?}");
    until("it is announced", || (!api.stdout().is_empty()).then_some(()));
    drop(api);
    let line = pipes.line(&[
        ("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]),
        ("kafka-to-stripe", &["--from", "-", "--to", "-"]),
        ("hook-to-catalog", &["--from", "-"]),
    ]);
    until("it reaches Stripe all the same", || {
        let customers = pipes.stripe_customers();
        (customers.len() == 1 && customers[0]["name"] == "Lost on the way").then_some(())
    });
    drop(line);
}

#[test]
fn a_server_whose_reader_ended_ends_with_69_and_a_mover_with_0() {
    let pipes = Pipes::start();
    let mut api = pipes.program("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let url = format!("http://{}/customers", api.address());
    api.close_stdout();
    for n in 0..3 {
        let body = json!({"name": format!("n{n}")}).to_string();
        let headers = [("content-type", "application/json")];
        // It may be gone already.
        let _ = tests::harness::http::call("POST", &url, &headers, Some(body.as_bytes()));
    }
    assert_eq!(api.wait().code(), Some(69), "{:#?}", api.stderr());

    let flags = ["--from", "-", "--to", "-"];
    let mut mover = pipes.program("kafka-to-stripe", &flags);
    mover.close_stdout();
    let again = pipes.program("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let changes = until("changes are announced", || {
        let lines = again.stdout();
        (!lines.is_empty()).then_some(lines)
    });
    for change in changes {
        mover.feed(format!("{change}\n").as_bytes());
    }
    assert_eq!(mover.wait().code(), Some(0), "{:#?}", mover.stderr());
}

#[test]
fn a_file_of_changes_replayed_writes_to_stripe_once() {
    let mut pipes = Pipes::start();
    let api = pipes.program("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let url = format!("http://{}/customers", api.address());
    for n in 0..3 {
        ask("POST", &url, Some(&json!({"name": format!("n{n}")})));
    }
    let changes = until("three are announced", || {
        let lines = api.stdout();
        (lines.len() == 3).then_some(lines)
    });
    let input = format!("{}\n\nnot json\n", changes.join("\n"));
    for round in 0..2 {
        let mut mover = pipes.program("kafka-to-stripe", &["--from", "-", "--to", "-"]);
        mover.feed(input.as_bytes());
        mover.close_stdin();
        assert_eq!(mover.wait().code(), Some(1), "one line was bad: {:#?}", mover.stderr());
        let said = mover.stderr().join("\n");
        assert!(said.contains("line 5"), "the bad line is named: {said}");
        let results = mover.stdout();
        assert_eq!(results.len(), 3, "{results:#?}");
        assert_eq!(pipes.stripe_customers().len(), 3, "round {round}");
    }
    let dead = std::fs::read_to_string(pipes.dir.path().join("kafka-to-stripe.dlq.ndjson"));
    assert!(dead.expect("the dead letters").contains("not json"));
    pipes.sim.kill();
}
