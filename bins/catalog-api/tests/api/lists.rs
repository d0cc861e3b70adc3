//! Lists: pages, filters, streams.

use serde_json::{Value as Json, json};

use crate::support::{Api, folder};

#[test]
fn pages_follow_the_link_and_a_stream_holds_the_same() {
    let folder = folder();
    let api = Api::start(folder.path());
    for n in 0..7 {
        api.json("POST", "/customers", &json!({"name": format!("Ada {n}"), "email": "a@b"}));
    }
    api.json("POST", "/customers", &json!({"name": "Eve"}));
    let (mut path, mut names) = ("/customers?limit=3&q=ADA".to_owned(), Vec::new());
    loop {
        let page = api.get(&path);
        for customer in page.json().as_array().expect("an array") {
            names.push(customer["name"].as_str().expect("a name").to_owned());
        }
        let link = page.header("link");
        let Some((next, _)) = link.split_once('>') else { break };
        path = next.trim_start_matches('<').to_owned();
    }
    assert_eq!(names, (0..7).map(|n| format!("Ada {n}")).collect::<Vec<_>>());
    let ndjson = [("Accept", "application/x-ndjson")];
    let stream = api.call("GET", "/customers?q=ada", &ndjson, "");
    assert_eq!(stream.header("content-type"), "application/x-ndjson");
    let streamed: Vec<_> = stream
        .body
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).expect("JSON")["name"].clone())
        .collect();
    assert_eq!(json!(streamed), json!(names));
    assert_eq!(api.get("/customers?email=A@B&limit=10").json().as_array().map(Vec::len), Some(7));
    assert_eq!(api.get("/customers?sync=synced").body, "[]");
    assert_eq!(api.get("/customers?updated_since=2999-01-01T00:00:00Z").body, "[]");
}

#[test]
fn a_cursor_of_another_kind_of_list_is_refused_before_a_line_is_sent() {
    let folder = folder();
    let api = Api::start(folder.path());
    for id in ["a", "b"] {
        assert_eq!(api.json("POST", "/customers", &json!({"id": id})).status, 201);
    }
    let since = "/customers?limit=1&updated_since=2020-01-01T00:00:00Z";
    for (list, other) in [("/customers?limit=1", since), (since, "/customers?limit=1")] {
        let page = api.get(list);
        let (_, cursor) = page.header("link").split_once("cursor=").expect("a next page");
        let (cursor, _) = cursor.split_once(['&', '>']).expect("it ends");
        for accept in ["application/json", "application/x-ndjson"] {
            let path = format!("{other}&cursor={cursor}");
            let reply = api.call("GET", &path, &[("Accept", accept)], "");
            assert_eq!(reply.status, 400, "{path} as {accept}: {}", reply.body);
            assert_eq!(reply.json()["errors"][0]["field"], "cursor");
        }
    }
}
