//! Who made which version.

use serde_json::{Value as Json, json};

use crate::support::{Api, folder};

#[test]
fn a_history_has_every_version_oldest_first_also_of_the_deleted() {
    let folder = folder();
    let api = Api::start(folder.path());
    api.json("POST", "/customers", &json!({"id": "c", "name": "n0", "email": "a@b"}));
    for n in 1..6 {
        api.json(
            "PATCH",
            "/customers/c",
            &json!({"name": format!("n{n}"), "metadata": {"k": "v"}}),
        );
    }
    api.call("DELETE", "/customers/c", &[], "");
    let all = api.get("/customers/c/history").json();
    let all = all.as_array().expect("an array");
    let of =
        |name: &str| json!(all.iter().map(|version| version[name].clone()).collect::<Vec<_>>());
    assert_eq!(of("version"), json!([1, 2, 3, 4, 5, 6, 7]));
    assert!(all.iter().all(|version| version["origin"] == "api" && version["at"].is_string()));
    assert_eq!(all[0]["changed"], json!(["name", "email"]));
    assert_eq!(all[1]["changed"], json!(["name", "metadata.k"]));
    assert_eq!(all[2]["changed"], json!(["name"]));
    assert_eq!(all[6]["changed"], json!([]));

    let (mut path, mut paged) = ("/customers/c/history?limit=3&after=1".to_owned(), Vec::new());
    loop {
        let page = api.get(&path);
        paged.extend(page.json().as_array().expect("an array").clone());
        let Some((next, _)) = page.header("link").split_once('>') else { break };
        next.trim_start_matches('<').clone_into(&mut path);
    }
    assert_eq!(paged, all[1..]);
    let ndjson = [("Accept", "application/x-ndjson")];
    let stream = api.call("GET", "/customers/c/history", &ndjson, "");
    let lines = stream.body.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    assert_eq!(lines.collect::<Vec<Json>>(), *all);
    // The other way round.
    let (mut path, mut paged) = ("/customers/c/history?limit=3&before=7".to_owned(), Vec::new());
    loop {
        let page = api.get(&path);
        paged.extend(page.json().as_array().expect("an array").clone());
        let Some((next, _)) = page.header("link").split_once('>') else { break };
        next.trim_start_matches('<').clone_into(&mut path);
    }
    let newest_first: Vec<Json> = all[..6].iter().rev().cloned().collect();
    assert_eq!(paged, newest_first);
    let stream = api.call("GET", "/customers/c/history?before=7", &ndjson, "");
    let lines = stream.body.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    assert_eq!(lines.collect::<Vec<Json>>(), newest_first);
    for (path, status) in [
        ("/customers/c/history?before=x", 400),
        ("/customers/c/history?before=3&after=1", 400),
        ("/customers/nobody/history", 404),
        ("/customers/c/history?after=x", 400),
        ("/customers/c/history?after=-1", 400),
        ("/customers/c/history?after=18446744073709551615", 400),
        ("/customers/c/history?limit=1001", 400),
        ("/customers/c/history?cursor=1", 400),
    ] {
        assert_eq!(api.get(path).status, status, "{path}");
    }
}

#[test]
fn a_resync_of_all_is_a_new_version_that_brings_every_field() {
    let folder = folder();
    let api = Api::start(folder.path());
    api.json("POST", "/customers", &json!({"id": "c", "name": "Ada", "metadata": {"k": "v"}}));
    api.line();
    assert_eq!(api.call("POST", "/customers/c/resync", &[], "").json()["version"], 1);
    let again = api.line();
    assert_eq!(again["data"]["systems"]["stripe"]["again"], true);
    let answer = api.call("POST", "/customers/c/resync?all", &[], "");
    assert_eq!((answer.status, answer.header("etag")), (202, "\"2\""));
    let line = api.line();
    let part = &line["data"]["systems"]["stripe"];
    let all = json!({"name": 2, "email": 2, "phone": 2, "description": 2, "address": 2,
        "metadata.k": 2});
    assert_eq!((&part["pending"], &part["again"]), (&all, &Json::Null));
    let history = api.get("/customers/c/history").json();
    assert_eq!((&history[1]["version"], &history[1]["changed"]), (&json!(2), &json!([])));
    assert_eq!(api.call("POST", "/customers/c/resync?all=maybe", &[], "").status, 400);
    assert_eq!(api.call("POST", "/customers/nobody/resync?all", &[], "").status, 404);
}
