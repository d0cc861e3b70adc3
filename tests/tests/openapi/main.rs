//! The API's description and the API are the same: every path and method, every example, and what
//! the server really answers, down to the headers.

mod answers;
mod schema;
mod server;

use std::collections::BTreeSet;

use serde_json::Value as Json;
use tests::harness::checkout;
use tests::harness::http::call;

use schema::Document;
use server::Server;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The description as it is in the checkout, and so in the program.
fn description() -> Json {
    let path = checkout().join("bins/catalog-api/web/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("it is there")).expect("JSON")
}

fn objects<'a>(json: &'a Json, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Json)> {
    let members = json.pointer(pointer).and_then(Json::as_object);
    members.into_iter().flatten().map(|(name, json)| (name.as_str(), json))
}

#[test]
fn the_program_serves_the_description_of_its_own_version() {
    let server = Server::start(&[]);
    let served = call("GET", &server.url("/openapi.json"), &[], None).expect("an answer");
    let description = description();
    assert_eq!(served.body, description);
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_path_and_method_is_described_and_no_other() {
    let server = Server::start(&[]);
    let description = description();
    for (path, item) in objects(&description, "/paths") {
        let described: BTreeSet<_> = METHODS
            .into_iter()
            .filter(|method| item.get(*method).is_some())
            .map(str::to_uppercase)
            .collect();
        // TRACE does nothing anywhere, and whoever refuses it says what would do.
        let url = server.url(&path.replace(['{', '}'], ""));
        let refused = call("TRACE", &url, &[], None).expect("an answer");
        assert_eq!(refused.status, 405, "{path}: {refused:?}");
        let allowed: BTreeSet<_> = refused
            .header("allow")
            .expect("what would do")
            .split(", ")
            .filter(|method| !["HEAD", "OPTIONS"].contains(method))
            .map(str::to_owned)
            .collect();
        assert_eq!(allowed, described, "{path}");
    }
    // What the router knows stands in its source, each path as metrics name it.
    let source = checkout().join("bins/catalog-api/src/route.rs");
    let source = std::fs::read_to_string(source).expect("the router");
    let (source, _) = source.split_once("#[cfg(test)]").expect("its tests come last");
    let texts = source.split('"').skip(1).step_by(2);
    let routes: BTreeSet<_> = texts.filter(|text| text.starts_with('/')).collect();
    let described: BTreeSet<_> = objects(&description, "/paths").map(|(path, _)| path).collect();
    assert_eq!(routes, described);
}

#[test]
fn every_operation_has_a_name_of_its_own_a_summary_and_a_tag() {
    let description = description();
    let tags: Vec<_> =
        description["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    let mut names = BTreeSet::new();
    for (path, item) in objects(&description, "/paths") {
        for (method, operation) in objects(item, "").filter(|(name, _)| METHODS.contains(name)) {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name), "{name} is used twice");
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(tags.contains(&&operation["tags"][0]), "{method} {path}");
        }
    }
}

#[test]
fn every_example_is_valid() {
    let description = description();
    let mut count = 0;
    visit(Document(&description), &description, "", &mut count);
    assert!(count > 60, "only {count} examples were found");
}

/// Checks the examples of this part of the description and of all below it.
fn visit(document: Document, json: &Json, at: &str, count: &mut usize) {
    let mut check = |schema, example: &Json| {
        *count += 1;
        let faults = document.faults(schema, example);
        assert!(faults.is_empty(), "{at}: {faults:#?}");
    };
    if let Some(schema) = json.get("schema") {
        let named = json.get("examples").and_then(Json::as_object);
        let named = named.into_iter().flatten().map(|(_, it)| &document.resolve(it)["value"]);
        for example in json.get("example").into_iter().chain(named) {
            check(schema, example);
            for line in json.get("x-itemSchema").iter().flat_map(|_| lines(example)) {
                check(&json["x-itemSchema"], &line);
            }
        }
    } else if let Some(examples) = json.get("examples").and_then(Json::as_array) {
        for example in examples {
            check(json, example);
        }
    }
    match json {
        Json::Object(members) => members.iter().for_each(|(name, below)| {
            // What an example holds is data, whatever its members are called.
            if !["example", "examples"].contains(&name.as_str()) {
                visit(document, below, &format!("{at}/{name}"), count);
            }
        }),
        Json::Array(items) => items.iter().for_each(|item| visit(document, item, at, count)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// The lines of an NDJSON text.
fn lines(text: &Json) -> Vec<Json> {
    let text = text.as_str().expect("lines");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON a line")).collect()
}
