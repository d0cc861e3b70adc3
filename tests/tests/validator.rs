//! Stripe's own validator takes every request that our programs send. Skipped, with a reason, where
//! Go or the module is not there.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use common::record::{Field, Fields, Stamp};
use common::stripe::mapping::{create_params, update_params};
use common::stripe::{Client, EventsQuery, StripeKey};
use serde_json::json;
use tests::harness::process::{Program, command};
use tests::harness::until;

/// The same as `stripe-sim` is checked with.
const MODULE: &str = "github.com/stripe/stripe-mock@v0.203.0";
const KEY: &str = "sk_test_local";

/// The validator's program, or why it is not there; fetched once, whoever asks first.
fn install() -> Result<PathBuf, String> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    INSTALLED.get_or_init(fetch).clone()
}

fn fetch() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target folder")?;
    let tools = target.join("tools");
    let program = tools.join("stripe-mock");
    if !program.exists() {
        let mut go = Command::new("go");
        go.args(["install", MODULE]).env("GOBIN", &tools).current_dir(target);
        let output = go.output().map_err(|error| format!("go: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
    }
    Ok(program)
}

struct Mock {
    process: Child,
    url: String,
}

impl Mock {
    /// `None`, and the reason on stderr, where it cannot be had.
    fn start(test: &str) -> Option<Self> {
        let program = match install() {
            Ok(program) => program,
            Err(why) => {
                eprintln!("skipped: {test}: Stripe's validator is not there: {why}");
                return None;
            }
        };
        let mut process = Command::new(program)
            .args(["-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("stripe-mock starts");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        let address = lines
            .find_map(|line| Some(line.ok()?.split_once("HTTP at address: ")?.1.to_owned()))
            .expect("it says where it listens");
        std::thread::spawn(move || lines.for_each(drop));
        let mock = Self { process, url: format!("http://{address}") };
        until("stripe-mock answers", || mock.client().retrieve("cus_1").ok());
        Some(mock)
    }

    fn client(&self) -> Client {
        let key = StripeKey::new(KEY, "STRIPE_SECRET_KEY").expect("a key");
        Client::new(&self.url, key, "tests").expect("a client")
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Every field with a value, some of them awkward.
fn every_field() -> Fields {
    Fields::from_json(&json!({
        "name": "Ada & Söhne = 100 % + more", "email": "ada+x@example.com", "phone": "+49 (0) 1",
        "description": "line\nline\ttab 😀",
        "address": {"line1": "1 Way", "line2": "b", "city": "Köln", "state": "NW",
            "postal_code": "50667", "country": "DE"},
        "metadata": {"plan": "pro", "a.b-c": "[x]", "weiß": "ü&=;", "space key": " "},
    }))
}

fn fields() -> Vec<Field> {
    every_field().iter().map(|(field, _)| field.clone()).collect()
}

fn stamp(text: &str) -> Stamp {
    text.parse().expect("a stamp")
}

fn taken(what: &str, answer: Result<common::stripe::Reply, common::stripe::CallError>) {
    let reply = answer.unwrap_or_else(|failed| panic!("{what}: {:?}", failed.error));
    assert!((200..300).contains(&reply.status), "{what}: {} {}", reply.status, reply.body);
}

#[test]
fn stripes_validator_takes_every_create() {
    let Some(mock) = Mock::start("stripes_validator_takes_every_create") else { return };
    let client = mock.client();
    let all = every_field();
    let create = |what: &str, fields: &Fields, without: &[Field], stamp_text: &str| {
        let params = create_params("cust_42", fields, without, &stamp(stamp_text));
        taken(what, client.create(&params, "catalog/cust_42/1/0"));
    };
    create("all fields", &all, &[], "1");
    create("no field", &Fields::new(), &[], "1");
    for field in fields() {
        let mut one = Fields::new();
        one.set(field.clone(), all.get(&field).cloned());
        create(&format!("{field} alone"), &one, &[], "1");
        create(&format!("without {field}"), &all, &[field], "1 -phone");
    }
    let part = Fields::from_json(&json!({"name": "Ada", "address": {"country": "DE"}}));
    create("an address in part", &part, &[], "1");
    let mut most = Fields::new();
    for n in 0..48 {
        most.set_text(Field::Metadata(format!("{n:040}")), &"v".repeat(500));
    }
    for (field, length) in
        [(Field::Name, 256), (Field::Description, 5000), (Field::Phone, 20), (Field::Email, 512)]
    {
        most.set_text(field, &"x".repeat(length));
    }
    create("everything at its limit", &most, &[], "1");
}

#[test]
fn stripes_validator_takes_every_update() {
    let Some(mock) = Mock::start("stripes_validator_takes_every_update") else { return };
    let client = mock.client();
    let all = every_field();
    let update = |what: &str, fields: &[Field], set: bool| {
        let values = fields.iter().map(|field| (field, all.get(field).filter(|_| set)));
        let params = update_params("validator", values, &stamp("7 -phone -metadata.a%20b"));
        taken(what, client.update("cus_1", &params, "catalog/cust_42/7/1"));
    };
    update("all fields set", &fields(), true);
    update("all fields cleared", &fields(), false);
    for field in fields() {
        update(&format!("{field} set"), std::slice::from_ref(&field), true);
        update(&format!("{field} cleared"), std::slice::from_ref(&field), false);
    }
    update("the stamp alone", &[], true);
    update("the stamp alone, as a field", &[Field::Stamp], false);
}

#[test]
fn stripes_validator_takes_every_read_and_the_delete() {
    let Some(mock) = Mock::start("stripes_validator_takes_every_read_and_the_delete") else {
        return;
    };
    let client = mock.client();
    taken("retrieve", client.retrieve("cus_1"));
    taken("delete", client.delete("cus_1"));
    let since = Some(1_700_000_000);
    for (created_gte, after, limit) in [
        (None, None, 100),
        (since, None, 100),
        (since, Some("cus_1"), 1),
        (None, Some("cus_1"), 10),
    ] {
        let page = client.list_customers(created_gte, after, limit);
        page.unwrap_or_else(|failed| panic!("{created_gte:?} {after:?}: {:?}", failed.error));
    }
    let types = ["customer.created", "customer.updated", "customer.deleted"];
    for query in [
        EventsQuery { limit: 100, ..EventsQuery::default() },
        EventsQuery { types: &types, limit: 100, created_gte: since, ..EventsQuery::default() },
        EventsQuery {
            types: &types,
            limit: 1,
            ending_before: Some("evt_1"),
            ..EventsQuery::default()
        },
        EventsQuery {
            types: &types[2..],
            starting_after: Some("evt_1"),
            created_gte: since,
            limit: 100,
            ..EventsQuery::default()
        },
    ] {
        let page = client.events(&query);
        page.unwrap_or_else(|failed| panic!("{query:?}: {:?}", failed.error));
    }
}

#[test]
fn the_programs_that_read_work_against_stripes_validator() {
    let Some(mock) = Mock::start("the_programs_that_read_work_against_stripes_validator") else {
        return;
    };
    for (flags, object) in
        [(&["--to", "-", "--list"][..], "customer"), (&["--to", "-", "--types", "*"], "event")]
    {
        let dir = tempfile::tempdir().expect("a directory");
        let mut tail = command("stripe-tail");
        tail.current_dir(dir.path()).args(flags);
        tail.env("STRIPE_SECRET_KEY", KEY).env("STRIPE_API_BASE", &mock.url);
        let mut tail = Program::start(tail);
        assert_eq!(tail.wait().code(), Some(0), "{flags:?}: {:#?}", tail.stderr());
        let lines = tail.stdout();
        assert!(!lines.is_empty(), "{flags:?}: {:#?}", tail.stderr());
        for line in lines {
            let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(record["object"], object, "{line}");
        }
    }
}
