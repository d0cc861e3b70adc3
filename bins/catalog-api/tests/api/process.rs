//! How it starts and ends.

use std::io::{BufRead, BufReader, Read};

use serde_json::json;

use crate::support::{Api, command, folder};

#[test]
fn what_is_pending_is_announced_again_to_a_new_pipe() {
    let folder = folder();
    let mut api = Api::start(folder.path());
    api.json("POST", "/customers", &json!({"id": "c", "name": "Ada"}));
    api.line();
    api.signal("-KILL");
    api.wait();
    let mut api = Api::start(folder.path());
    let line = loop {
        // Killed before the row was deleted, it may come as it was once more.
        let line = api.line();
        if line["data"]["systems"]["stripe"]["again"] == json!(true) {
            break line;
        }
    };
    assert_eq!((line["subject"].as_str(), &line["data"]["version"]), (Some("c"), &json!(1)));
    api.signal("-TERM");
    assert_eq!(api.wait(), Some(0));
}

#[test]
fn a_second_one_on_the_same_file_is_refused() {
    let folder = folder();
    let _api = Api::start(folder.path());
    let output = command(folder.path()).output().expect("it ends");
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("error: ") && said.contains("another catalog-api"), "{said}");
}

#[test]
fn a_closed_pipe_ends_the_server_with_69() {
    let folder = folder();
    let mut process = command(folder.path()).spawn().expect("catalog-api starts");
    drop(process.stdout.take());
    let mut stderr = BufReader::new(process.stderr.take().expect("stderr"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("stderr");
    let url = line.trim().replace("catalog-api: listening on ", "http://");
    let post = ureq::post(format!("{url}/customers")).header("Content-Type", "application/json");
    let _ = post.send("{\"name\":\"Ada\"}");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("stderr");
    assert_eq!(process.wait().expect("it ends").code(), Some(69), "{rest}");
}
