//! Stripe's own validator agrees: what the simulator takes, `stripe-mock` takes; what that refuses,
//! the simulator refuses; and every kind of answer fits the schemas of Stripe's OpenAPI document.
//! Skipped, with a reason, where Go or the module proxy is not there.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stripe_sim::Config;
use support::{Answer, Client, Receiver, start};

const MODULE: &str = "github.com/stripe/stripe-mock";
const VERSION: &str = "v0.203.0";

/// The validator's program and its OpenAPI document, or why they are not there.
fn install() -> Result<(PathBuf, PathBuf), String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target folder")?;
    let tools = target.join("tools");
    let program = tools.join("stripe-mock");
    let go = |args: &[&str]| {
        let output =
            Command::new("go").args(args).env("GOBIN", &tools).current_dir(target).output();
        let output = output.map_err(|e| format!("go: {e}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    };
    let module = format!("{MODULE}@{VERSION}");
    let cache = PathBuf::from(go(&["env", "GOMODCACHE"])?).join(&module);
    let document = cache.join("embedded/openapi/spec3.json");
    if !program.exists() || !document.exists() {
        go(&["install", &module])?;
    }
    Ok((program, document))
}

struct Mock(Child);

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn mock(program: &Path) -> (Mock, Client) {
    let mut child = Command::new(program)
        .args(["-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .find_map(|line| Some(line.ok()?.split_once("HTTP at address: ")?.1.to_owned()))
        .expect("it says where it listens");
    thread::spawn(move || lines.for_each(drop));
    let (mock, client) = (Mock(child), Client::new(format!("http://{address}")));
    let begun = Instant::now();
    while client.call("GET", "/v1/customers", None, &[]).is_err() {
        assert!(begun.elapsed() < support::PATIENCE, "stripe-mock does not answer");
        thread::sleep(Duration::from_millis(50));
    }
    (mock, client)
}

/// As much of JSON Schema as Stripe's document uses for these objects.
struct Schemas(Value);

impl Schemas {
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return self.check(&self.0["components"]["schemas"][name], value, at);
        }
        if value.is_null() {
            let nullable = schema["nullable"] == true;
            return if nullable { Ok(()) } else { Err(format!("{at} is null")) };
        }
        if let Some(any) = schema["anyOf"].as_array() {
            let failures: Vec<_> =
                any.iter().filter_map(|one| self.check(one, value, at).err()).collect();
            let none = failures.len() == any.len();
            return if none { Err(failures.join(" / ")) } else { Ok(()) };
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            return Err(format!("{at} is {value}"));
        }
        let right = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some(other) => return Err(format!("{at}: type {other} is not known here")),
            None => true,
        };
        if !right {
            return Err(format!("{at} is {value}, not {}", schema["type"]));
        }
        if let (Some(text), Some(max)) = (value.as_str(), schema["maxLength"].as_u64())
            && text.chars().count() as u64 > max
        {
            return Err(format!("{at} is longer than {max}"));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{at}[{index}]"))?;
        }
        self.check_members(schema, value, at)
    }

    fn check_members(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let Some(object) = value.as_object() else { return Ok(()) };
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap_or_default()) {
                return Err(format!("{at} has no {name}"));
            }
        }
        for (name, member) in object {
            let at = format!("{at}.{name}");
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(schema), _) => self.check(schema, member, &at)?,
                (None, Some(Value::Bool(true))) => {}
                (None, Some(schema @ Value::Object(_))) => self.check(schema, member, &at)?,
                // Nothing may be made up.
                (None, _) => return Err(format!("{at} is not in the schema")),
            }
        }
        Ok(())
    }

    fn named(&self, name: &str, value: &Value) {
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        if let Err(why) = self.check(&reference, value, name) {
            panic!("{why}\n{value:#}");
        }
    }

    /// The answer's schema as the document gives it for a call.
    fn answer(&self, method: &str, path: &str, answer: &Answer) {
        let status = if answer.status == 200 { "200" } else { "default" };
        let call = &self.0["paths"][path][method.to_lowercase()];
        let schema = &call["responses"][status]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} is not in the document");
        if let Err(why) = self.check(schema, &answer.json(), path) {
            panic!("{method} {path}: {why}\n{}", answer.text);
        }
    }
}

const CREATE: &str = "/v1/customers";
const ONE: &str = "/v1/customers/{customer}";

/// Bodies for create and update that both take.
const TAKEN: [&str; 14] = [
    "name=Ada&email=ada%40example.com&phone=%2B49&description=x",
    "name=&email=&phone=&description=",
    "metadata[catalog_id]=c1&metadata[catalog_version]=7+-phone",
    "metadata[a]=&metadata[b]=2",
    "metadata=",
    "address[line1]=a&address[line2]=&address[city]=b&address[state]=&address[postal_code]=1\
     &address[country]=DE",
    "address=",
    "shipping[name]=Ada&shipping[address][line1]=a&shipping[phone]=1",
    "shipping=",
    "tax_exempt=reverse&preferred_locales[0]=de&preferred_locales[1]=en",
    "tax_exempt=&business_name=Co&individual_name=",
    "balance=-5&invoice_prefix=ABC&next_invoice_sequence=7",
    "invoice_settings[footer]=x&invoice_settings[custom_fields][0][name]=a\
     &invoice_settings[custom_fields][0][value]=b",
    "expand[0]=tax_ids&expand[1]=sources&expand[2]=subscriptions&expand[3]=tax\
     &expand[4]=cash_balance",
];

/// Bodies that both refuse.
const REFUSED: [&str; 19] = [
    "nope=1",
    "id=cus_mine",
    "name[a]=b",
    "address=x",
    "shipping=x",
    "shipping[name]=Ada",
    "shipping[address][line1]=a",
    "balance=much",
    "balance=",
    "next_invoice_sequence=x",
    "tax_exempt=perhaps",
    "metadata=x",
    "metadata[a][b]=c",
    "expand=x",
    "preferred_locales=x",
    "invoice_settings=x",
    "invoice_settings[custom_fields][0][name]=a",
    "cash_balance[settings][reconciliation_mode]=x",
    "tax[validate_location]=x",
];

#[test]
fn stripes_validator_agrees() {
    let (program, document) = match install() {
        Ok(installed) => installed,
        Err(why) => {
            eprintln!("skipped: Stripe's validator is not there: {why}");
            return;
        }
    };
    let schemas = Schemas(serde_json::from_slice(&std::fs::read(document).unwrap()).unwrap());
    let (_mock, mock) = mock(&program);
    let receiver = Receiver::start(&[]);
    let (_server, sim) =
        start(Config { webhooks: vec![receiver.url.clone()], ..Config::default() });

    let id = sim.post(CREATE, "name=Ada").id();
    let path = format!("{CREATE}/{id}");
    for body in TAKEN {
        for (address, schema) in [(CREATE, CREATE), (&path, ONE)] {
            let (ours, theirs) = (sim.post(address, body), mock.post(address, body));
            assert_eq!((ours.status, theirs.status), (200, 200), "{body}: {}", theirs.text);
            schemas.answer("POST", schema, &ours);
        }
    }
    for body in REFUSED {
        for (address, schema) in [(CREATE, CREATE), (&path, ONE)] {
            let (ours, theirs) = (sim.post(address, body), mock.post(address, body));
            assert_eq!((ours.status, theirs.status), (400, 400), "{body}: {}", theirs.text);
            schemas.answer("POST", schema, &ours);
        }
    }
    check_reads(&schemas, &sim, &mock, &path);
    check_errors(&schemas, &sim, &path);
    check_events(&schemas, &sim, &mock, &receiver);
}

fn check_reads(schemas: &Schemas, sim: &Client, mock: &Client, path: &str) {
    let search = "/v1/customers/search";
    for (address, schema) in [
        (path.to_owned(), ONE),
        (format!("{path}?expand[]=tax_ids"), ONE),
        (CREATE.to_owned(), CREATE),
        (format!("{CREATE}?limit=100&created[gte]=1&email=a%40b&expand[]=data.sources"), CREATE),
        (format!("{search}?query=email~%22example%22&limit=2"), search),
    ] {
        let (ours, theirs) = (sim.get(&address), mock.get(&address));
        assert_eq!((ours.status, theirs.status), (200, 200), "{address}: {}", theirs.text);
        schemas.answer("GET", schema, &ours);
    }
    for address in [format!("{path}?nope=1"), format!("{CREATE}?nope=1"), search.to_owned()] {
        let (ours, theirs) = (sim.get(&address), mock.get(&address));
        assert_eq!((ours.status, theirs.status), (400, 400), "{address}: {}", theirs.text);
    }
}

fn check_errors(schemas: &Schemas, sim: &Client, path: &str) {
    schemas.named("customer", &sim.get(path).json());
    schemas.answer("DELETE", ONE, &sim.delete(path));
    schemas.named("deleted_customer", &sim.get(path).json());
    let nobody = Client { authorization: None, ..sim.clone() };
    let reader = Client { authorization: Some("Bearer rk_test_x".into()), ..sim.clone() };
    sim.keyed("k", CREATE, "name=Ada");
    let mut answers = vec![
        (401, nobody.get(path)),
        (403, reader.post(path, "name=Eve")),
        (404, sim.post(path, "name=Eve")),
        (404, sim.get("/v1/nothing")),
        (400, sim.keyed("k", CREATE, "name=Eve")),
        (400, sim.post(CREATE, "email=nobody")),
    ];
    for status in [402, 409, 424, 429, 500, 502, 503, 504] {
        sim.post("/_sim/faults", &format!("path=/v1/,status={status},count=1"));
        answers.push((status, sim.get(path)));
    }
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.text);
        schemas.named("error", &answer.json());
    }
}

fn check_events(schemas: &Schemas, sim: &Client, mock: &Client, receiver: &Receiver) {
    let filters = "limit=100&types[0]=customer.updated&types[1]=customer.created&created[gte]=1";
    for address in [
        "/v1/events".to_owned(),
        "/v1/events?type=customer.deleted&delivery_success=true".to_owned(),
        format!("/v1/events?{filters}"),
    ] {
        let (ours, theirs) = (sim.get(&address), mock.get(&address));
        assert_eq!((ours.status, theirs.status), (200, 200), "{address}: {}", theirs.text);
        schemas.answer("GET", "/v1/events", &ours);
    }
    let all = sim.get("/_sim/events").lines();
    assert!(all.len() > 10);
    let id = all[0]["id"].as_str().unwrap();
    schemas.answer("GET", "/v1/events/{id}", &sim.get(&format!("/v1/events/{id}")));
    let sent: Vec<Value> = receiver.wait_for(all.len()).iter().map(support::Hook::event).collect();
    for event in all.iter().chain(&sent) {
        schemas.named("event", event);
        schemas.named("customer", &event["data"]["object"]);
    }
}
