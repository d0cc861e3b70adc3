//! Edits: answered, shown, announced; each once.

use serde_json::{Value as Json, json};

use crate::support::{Api, folder};

#[test]
fn every_change_is_answered_shown_and_announced_once() {
    let folder = folder();
    let api = Api::start(folder.path());
    let made = api.json("POST", "/customers", &json!({"id": "c1", "name": "Zoë", "phone": "1"}));
    assert_eq!((made.status, made.header("etag")), (201, "\"1\""));
    assert_eq!(made.header("location"), "/customers/c1");
    assert_eq!(made.json()["sync"]["stripe"]["state"], "pending");
    let line = api.line();
    assert_eq!(line["type"], "catalog.customer.created");
    assert_eq!(line["data"]["systems"]["stripe"]["pending"], json!({"name": 1, "phone": 1}));

    let patch = json!({"phone": null, "metadata": {"plan": "pro"}});
    assert_eq!(api.json("PATCH", "/customers/c1/", &patch).header("etag"), "\"2\"");
    assert_eq!(api.line()["data"]["changed"], json!(["phone", "metadata.plan"]));
    // What changes nothing makes no version and no event.
    assert_eq!(api.json("PATCH", "/customers/c1", &patch).header("etag"), "\"2\"");

    let shown = api.get("/customers/c1").json();
    assert_eq!(shown["metadata"], json!({"plan": "pro"}));
    let put = api.json("PUT", "/customers/c1", &json!({"email": "z@example.com"}));
    assert_eq!(put.json()["name"], Json::Null);
    assert_eq!(api.line()["data"]["version"], 3);

    assert_eq!(api.call("DELETE", "/customers/c1", &[], "").status, 204);
    let line = api.line();
    assert_eq!(line["type"], "catalog.customer.deleted");
    assert_eq!(line["data"]["systems"]["stripe"]["delete"], 4);
    assert_eq!(api.get("/customers/c1").status, 404);
    assert_eq!(api.json("POST", "/customers", &json!({"id": "c1", "name": "x"})).status, 409);
    assert!(api.no_line());
}

#[test]
fn of_two_edits_of_one_version_one_wins_and_the_other_is_told() {
    let folder = folder();
    let api = Api::start(folder.path());
    api.json("POST", "/customers", &json!({"id": "c", "name": "a"}));
    let headers = [("Content-Type", "application/json"), ("If-Match", "\"1\"")];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let edit = |n: usize| {
            let api = &api;
            move || {
                let body = json!({"name": format!("edit {n}")}).to_string();
                api.call("PATCH", "/customers/c", &headers, &body).status
            }
        };
        let edits: Vec<_> = (0..20).map(|n| scope.spawn(edit(n))).collect();
        edits.into_iter().map(|edit| edit.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 19);
    assert_eq!(api.get("/customers/c").json()["version"], 2);
    let any = [("If-Match", "*")];
    assert_eq!(api.call("DELETE", "/customers/nobody", &any, "").status, 404);
    assert_eq!(api.call("DELETE", "/customers/c", &[("If-Match", "2")], "").status, 400);
    assert_eq!(api.call("DELETE", "/customers/c", &[("If-Match", "\"1\", \"2\"")], "").status, 204);
}

#[test]
fn equal_requests_at_once_under_one_key_are_done_once() {
    let folder = folder();
    let api = Api::start(folder.path());
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
    let post = |body: &str| api.call("POST", "/customers", &headers, body);
    let mut bodies: Vec<String> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..50).map(|_| scope.spawn(|| post("{\"name\":\"Ada\"}"))).collect();
        posts.into_iter().map(|post| post.join().expect("an answer").body).collect()
    });
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    let again = post("{\"name\":\"Ada\"}");
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
    assert_eq!(again.header("etag"), "\"1\"");
    assert!(again.header("location").starts_with("/customers/"));
    assert_eq!(post("{\"name\":\"Eve\"}").status, 422);
    assert_eq!(api.get("/customers").json().as_array().map(Vec::len), Some(1));
    api.line();
    assert!(api.no_line());
}
