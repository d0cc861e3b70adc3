//! Texts in any script, and JSON at its edges.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::support::{Api, folder};

#[test]
fn names_in_any_script_are_kept_as_typed_and_found_as_meant() {
    let folder = folder();
    let api = Api::start(folder.path());
    let names = [
        "Zoë O’Hara",
        "ΟΔΟΣ Παπαδόπουλος",
        "王小明",
        "Straße",
        "İstanbul Şirketi",
        "محمد علي",
        "👩‍👩‍👧 Family",
        "Ｆｕｌｌｗｉｄｔｈ",
        "a\u{301}rbol",
        "O\"Brien\\ 100%_*",
        "tab\tand\nline",
        "\u{202e}rtl\u{feff}",
    ];
    for (n, name) in names.iter().enumerate() {
        let body =
            json!({"id": format!("c{n}"), "name": name, "email": format!("Ü{n}@Exämple.com")});
        assert_eq!(api.json("POST", "/customers", &body).json()["name"], *name);
    }
    let found = |q: &str| -> Vec<String> {
        let mut path = "/customers?q=".to_owned();
        for byte in q.bytes() {
            let _ = write!(path, "%{byte:02X}");
        }
        let page = api.get(&path).json();
        let page = page.as_array().expect("an array").clone();
        page.iter().map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for (q, id) in [
        ("ZOË o’h", "c0"),
        ("zoe\u{308}", "c0"),
        ("οδοσ", "c1"),
        ("ΠΑΠΑΔΌΠΟΥΛΟΣ", "c1"),
        ("小明", "c2"),
        ("王", "c2"),
        ("STRASSE", "c3"),
        ("straße", "c3"),
        ("istanbul", "c4"),
        ("ŞİRKETİ", "c4"),
        ("علي", "c5"),
        ("👩‍👧", "c6"),
        ("fullwidth", "c7"),
        ("ÁRBOL", "c8"),
        ("n\\ 100%_*", "c9"),
        ("b\ta", "c10"),
        ("D\nL", "c10"),
        ("rtl", "c11"),
    ] {
        assert_eq!(found(q), [id], "{q}");
    }
    assert_eq!(found("EXÄMPLE").len(), names.len());
    assert_eq!(api.get("/customers?email=%C3%BC3@EX%C3%84MPLE.com").json()[0]["id"], "c3");
}

#[test]
fn null_absent_and_empty_are_one_and_the_same() {
    let folder = folder();
    let api = Api::start(folder.path());
    let body = json!({"id": "c", "name": "x", "email": "", "phone": null, "address": {"city": ""},
        "metadata": {"k": ""}});
    let made = api.json("POST", "/customers", &body).json();
    for field in ["email", "phone", "address", "description"] {
        assert_eq!(made[field], Json::Null, "{field}");
    }
    assert_eq!(made["metadata"], json!({}));
    for patch in [json!({"email": null}), json!({"email": ""}), json!({}), json!({"metadata": {}})]
    {
        assert_eq!(api.json("PATCH", "/customers/c", &patch).header("etag"), "\"1\"", "{patch}");
    }
}

#[test]
fn json_at_its_edges_is_refused_in_words() {
    let folder = folder();
    let api = Api::start(folder.path());
    let json_type = [("Content-Type", "application/json")];
    for (body, status, word) in [
        ("{\"name\":\"a\",\"name\":\"b\"}", 400, "\\\"name\\\" stands twice"),
        ("{\"name\":\"\\ud800\"}", 400, "hex escape"),
        ("{\"name\":\"\\u0000\"}", 422, "NUL"),
        ("{\"name\":1e999}", 400, "number out of range"),
        ("{\"name\":123456789012345678901234567890}", 422, "is a number"),
        ("{\"id\":5,\"name\":\"a\"}", 422, "must be a string, but is a number"),
        ("{\"id\":\"a/b\",\"name\":\"a\"}", 422, "A-Z a-z 0-9"),
        ("{\"name\":\"a\",}", 400, "in line 1"),
        ("\"text\"", 422, "must be a JSON object, but is a string"),
        (" ", 400, "empty"),
        ("{\"name\":\"a\",\"metadata\":{\"\":\"x\"}}", 422, "must not be empty"),
        ("{\"name\":\"a\",\"metadata\":{\"k\":null,\"l\":{}}}", 422, "is an object"),
        ("{\"name\":\"a\",\"address\":[]}", 422, "is an array"),
    ] {
        let answer = api.call("POST", "/customers", &json_type, body);
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body.contains(word), "{body}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    for (path, status) in [
        ("/customers/%00", 404),
        ("/customers/a%2Fb", 404),
        ("/customers/%", 404),
        ("/customers/%C3%28", 400),
        ("/customers//", 404),
        ("/customers/..", 404),
    ] {
        assert_eq!(api.get(path).status, status, "{path}");
    }
    assert_eq!(api.get(&format!("/customers/{}", "x".repeat(1000))).status, 404);
    assert_eq!(api.get(&format!("/customers/{}", "x".repeat(20_000))).status, 414);
    assert_eq!(api.get(&format!("/customers?q={}", "x".repeat(513))).status, 400);
    assert_eq!(api.get("/customers").body, "[]");
}
