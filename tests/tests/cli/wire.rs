//! The records as they stand in DESIGN, declared once more and strictly: a member that is renamed,
//! added or lost is seen here before whoever reads the topic sees it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tests::harness::http::{ask, call};
use tests::harness::until;

use crate::with_stripe;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    subject: String,
    time: String,
    datacontenttype: String,
    partitionkey: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    origin: String,
    version: u64,
    changed: Vec<String>,
    customer: Customer,
    systems: BTreeMap<String, System>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Customer {
    id: String,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    description: Option<String>,
    address: Option<Address>,
    metadata: BTreeMap<String, String>,
    version: u64,
    created_at: String,
    updated_at: String,
    #[serde(default)]
    deleted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    line1: Option<String>,
    line2: Option<String>,
    city: Option<String>,
    state: Option<String>,
    postal_code: Option<String>,
    country: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct System {
    id: Option<String>,
    #[serde(default)]
    pending: BTreeMap<String, u64>,
    acked: u64,
    first: Option<Fields>,
    first_at: Option<String>,
    again: Option<bool>,
    delete: Option<u64>,
    delete_ids: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    description: Option<String>,
    address: Option<Address>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    event: String,
    customer: String,
    version: u64,
    system: String,
    outcome: String,
    external_id: Option<String>,
    refused: BTreeMap<String, String>,
    error: Option<String>,
    at: String,
}

/// RFC 3339 in UTC with milliseconds, as in the example.
fn is_time(text: &str) -> bool {
    text.len() == 24 && text.ends_with('Z') && common::clock::parse_rfc3339(text).is_some()
}

#[test]
fn change_events_and_results_are_what_design_says_and_nothing_more() {
    let (place, _sim, _url) = with_stripe();
    let mut api = place.start("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    let url = format!("http://{}/customers", api.address());
    let body = json!({"id": "cust_42", "name": "Ada", "email": "ada@example.com", "phone": "+49 1",
        "description": "first", "address": {"line1": "a", "country": "DE"},
        "metadata": {"plan": "pro"}});
    assert_eq!(ask("POST", &url, Some(&body)).status, 201);
    let one = format!("{url}/cust_42");
    let patch =
        json!({"name": "Countess", "phone": null, "metadata": {"plan": null, "since": "1"}});
    let headers = [("content-type", "application/merge-patch+json")];
    let patched = call("PATCH", &one, &headers, Some(patch.to_string().as_bytes()));
    assert_eq!(patched.expect("an answer").status, 200);
    assert_eq!(ask("DELETE", &one, None).status, 204);
    let lines = until("three are announced", || (api.stdout().len() == 3).then(|| api.stdout()));
    api.terminate();
    assert_eq!(api.wait().code(), Some(0), "{:#?}", api.stderr());

    let events: Vec<Event> = lines.iter().map(|line| strictly(line)).collect();
    for (event, (kind, version)) in
        events.iter().zip([("created", 1), ("updated", 2), ("deleted", 3)])
    {
        assert_eq!(event.specversion, "1.0");
        assert!(uuid_v7(&event.id), "{}", event.id);
        assert_eq!(event.source, "/catalog");
        assert_eq!(event.r#type, format!("catalog.customer.{kind}"));
        assert_eq!((event.subject.as_str(), event.partitionkey.as_str()), ("cust_42", "cust_42"));
        assert!(is_time(&event.time), "{}", event.time);
        assert_eq!(event.datacontenttype, "application/json");
        assert_eq!((event.data.origin.as_str(), event.data.version), ("api", version));
        let customer = &event.data.customer;
        assert_eq!((customer.id.as_str(), customer.version), ("cust_42", version));
        assert!(is_time(&customer.created_at) && is_time(&customer.updated_at));
        assert_eq!(customer.deleted, kind == "deleted");
        assert_eq!(event.data.systems.keys().collect::<Vec<_>>(), ["stripe"]);
    }
    made(&events[0].data);
    edited(&events[1].data);
    let gone = &events[2].data.systems["stripe"];
    assert_eq!((gone.delete, gone.again), (Some(3), None));
    assert_eq!(gone.delete_ids.as_deref().unwrap_or_default(), [""; 0]);

    let input = format!("{}\n", lines.join("\n"));
    let ended = place.run("kafka-to-stripe", &["--from", "-", "--to", "-"], input.as_bytes());
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let results: Vec<Told> = ended.stdout.iter().map(|line| strictly(line)).collect();
    assert!(results.iter().all(|told| told.customer == "cust_42" && told.system == "stripe"));
    // The newest stands for the others, which may or may not have been seen before it came.
    let last = results.iter().find(|told| told.event == events[2].id).expect("its result");
    assert!(["deleted", "skipped"].contains(&last.outcome.as_str()), "{last:?}");
    assert!(last.version == 3 && is_time(&last.at), "{last:?}");
    // One line at a time: each is brought there and told of.
    let mut mover = place.start("kafka-to-stripe", &["--from", "-", "--to", "-"]);
    let other = crate::created("other", "Bob");
    mover.feed(format!("{other}\n").as_bytes());
    let line = until("its result", || mover.stdout().first().cloned());
    let told: Told = strictly(&line);
    assert_eq!((told.outcome.as_str(), told.event.as_str()), ("created", "event-of-other"));
    assert!(told.external_id.is_some_and(|id| id.starts_with("cus_")));
    assert_eq!((told.refused.len(), told.error), (0, None));
}

fn made(data: &Data) {
    let mut changed = data.changed.clone();
    changed.sort();
    let all = ["address", "description", "email", "metadata.plan", "name", "phone"];
    assert_eq!(changed, all);
    let address = data.customer.address.as_ref().expect("an address");
    assert_eq!((address.line1.as_deref(), address.country.as_deref()), (Some("a"), Some("DE")));
    for part in [&address.line2, &address.city, &address.state, &address.postal_code] {
        assert_eq!(*part, None);
    }
    let stripe = &data.systems["stripe"];
    assert_eq!((stripe.id.as_deref(), stripe.acked, stripe.again), (None, 0, None));
    assert!(stripe.first_at.as_deref().is_some_and(is_time), "{stripe:?}");
    let first = stripe.first.as_ref().expect("the create's body");
    assert_eq!(first.name.as_deref(), Some("Ada"));
    assert_eq!(first.email.as_deref(), Some("ada@example.com"));
    assert_eq!(first.phone.as_deref(), Some("+49 1"));
    assert_eq!(first.description.as_deref(), Some("first"));
    assert_eq!(first.metadata.get("plan").map(String::as_str), Some("pro"));
    assert!(first.address.is_some());
}

fn edited(data: &Data) {
    let mut changed = data.changed.clone();
    changed.sort();
    assert_eq!(changed, ["metadata.plan", "metadata.since", "name", "phone"]);
    let customer = &data.customer;
    assert_eq!((customer.name.as_deref(), customer.phone.as_deref()), (Some("Countess"), None));
    assert_eq!(customer.email.as_deref(), Some("ada@example.com"));
    assert_eq!(customer.description.as_deref(), Some("first"));
    assert_eq!(customer.metadata.keys().collect::<Vec<_>>(), ["since"]);
    let stripe = &data.systems["stripe"];
    for field in ["metadata.plan", "metadata.since", "name", "phone"] {
        assert_eq!(stripe.pending.get(field), Some(&2), "{stripe:?}");
    }
    let first = stripe.first.as_ref().expect("frozen until the link is known");
    assert_eq!(first.name.as_deref(), Some("Ada"));
}

fn strictly<T: for<'a> Deserialize<'a>>(line: &str) -> T {
    let parsed = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let json: Json = serde_json::from_str(line).expect("JSON");
    assert!(!json.is_null() && !line.contains(['\n', '\r']));
    let compact = common::record::compact::compact(line.as_bytes()).expect("JSON");
    assert_eq!(String::from_utf8_lossy(&compact), line, "it is compact already");
    parsed
}

fn uuid_v7(text: &str) -> bool {
    text.len() == 36 && text.as_bytes()[14] == b'7' && text.matches('-').count() == 4
}

#[test]
fn the_example_of_design_is_read_whole() {
    let example = json!({"specversion": "1.0", "id": "01920000-0000-7000-8000-000000000000",
        "source": "/catalog", "type": "catalog.customer.updated", "subject": "cust_42",
        "time": "2026-11-22T10:00:00.123Z", "datacontenttype": "application/json",
        "partitionkey": "cust_42",
        "data": {"origin": "api", "version": 7, "changed": ["name"],
            "customer": {"id": "cust_42", "name": "Ada", "email": "ada@example.com",
                "phone": null, "description": null, "address": null, "metadata": {"plan": "pro"},
                "version": 7, "created_at": "2026-11-20T10:00:00.000Z",
                "updated_at": "2026-11-22T10:00:00.123Z"},
            "systems": {"stripe": {"id": "cus_1", "pending": {"name": 7, "phone": 5},
                "acked": 4}}}});
    let change = common::record::Change::parse(example.to_string().as_bytes()).expect("a change");
    let stripe = &change.data.systems["stripe"];
    assert_eq!((stripe.id.as_deref(), stripe.acked, stripe.pending.len()), (Some("cus_1"), 4, 2));
    let printed: Json = serde_json::from_slice(&change.to_line()).expect("JSON");
    assert_eq!(printed, example, "nothing of it is lost or added");
    let _: Event = strictly(&String::from_utf8_lossy(&change.to_line()));
}
