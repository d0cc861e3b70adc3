//! Many customers in one request.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value as Json, json};

use crate::support::{Api, LIMIT, folder};

const NDJSON: [(&str, &str); 1] = [("Content-Type", "application/x-ndjson")];

fn results(body: &str) -> Vec<Json> {
    body.lines().map(|line| serde_json::from_str(line).expect("a result a line")).collect()
}

#[test]
fn each_line_has_its_result_in_order_and_no_error_stops_the_rest() {
    let folder = folder();
    let api = Api::start(folder.path());
    api.json("POST", "/customers", &json!({"id": "old", "name": "Old", "phone": "1"}));
    api.json("POST", "/customers", &json!({"id": "dead", "name": "Dead"}));
    api.call("DELETE", "/customers/dead", &[], "");
    for _ in 0..3 {
        api.line();
    }
    let long = "x".repeat(1024 * 1024);
    let body = format!(
        "{{\"name\":\"New\"}}\n\n{{\"id\":\"old\",\"name\":\"Older\"}}\r\n  \r\n{{\"id\":\"old\",\
         \"name\":\"Older\"}}\n{{\"email\":\"x\",\"fax\":1}}\nnot json\n{{\"id\":\"dead\",\"name\":\
         \"x\"}}\n{{\"id\":\"own\",\"email\":\"a@b\"}}\n{{\"id\":\"own\",\"name\":\"x\"}}\n[1]\n\
         {{\"name\":\"{long}\"}}\n{{\"id\":\"cus_1\",\"name\":\"x\"}}\n{{\"id\":\"e\"}}\n\
         {{\"name\":\"a\",\"name\":\"b\"}}\n{{\"name\":\"Last\"}}"
    );
    let answer = api.call("POST", "/customers", &NDJSON, &body);
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    let results = results(&answer.body);
    let short: Vec<_> = results
        .iter()
        .map(|result| (result["line"].clone(), result["status"].clone(), result["version"].clone()))
        .collect();
    let expected = [
        (1, 201, json!(1)),
        (3, 200, json!(2)),
        (5, 200, json!(2)),
        (6, 422, Json::Null),
        (7, 400, Json::Null),
        (8, 409, Json::Null),
        (9, 201, json!(1)),
        (10, 200, json!(2)),
        (11, 422, Json::Null),
        (12, 413, Json::Null),
        (13, 422, Json::Null),
        (14, 422, Json::Null),
        (15, 400, Json::Null),
        (16, 201, json!(1)),
    ];
    assert_eq!(
        short,
        expected.map(|(line, status, version)| (json!(line), json!(status), version))
    );
    assert_eq!(results[1], json!({"line": 3, "id": "old", "status": 200, "version": 2}));
    let errors = |index: usize| results[index]["errors"].as_array().expect("errors").clone();
    assert_eq!(errors(3).len(), 2);
    assert!(errors(4)[0]["message"].as_str().is_some_and(|text| text.contains("column")));
    assert_eq!(errors(5)[0]["field"], "id");
    // Each that changed something was announced, in order, and nobody else.
    let announced: Vec<_> = (0..5).map(|_| api.line()["subject"].clone()).collect();
    assert_eq!(announced[1..4], [json!("old"), json!("own"), json!("own")]);
    assert_eq!(announced[0], results[0]["id"]);
    assert!(api.no_line());
    // Replaced as by PUT: what a line does not name is empty now.
    assert_eq!(api.get("/customers/old").json()["phone"], Json::Null);
    assert_eq!(api.get("/customers").json().as_array().map(Vec::len), Some(4));
}

#[test]
fn what_was_exported_can_be_imported_elsewhere_and_again() {
    let (one, two) = (folder(), folder());
    let (from, to) = (Api::start(one.path()), Api::start(two.path()));
    for n in 0..300 {
        let body = json!({"id": format!("c{n}"), "name": format!("N {n}"), "metadata": {"k": "v"},
            "address": {"city": "Rome"}});
        from.json("POST", "/customers", &body);
    }
    let accept = [("Accept", "application/x-ndjson")];
    let export = from.call("GET", "/customers", &accept, "").body;
    assert_eq!(export.lines().count(), 300);
    for status in [201, 200] {
        let answer = to.call("POST", "/customers", &NDJSON, &export);
        let results = results(&answer.body);
        assert_eq!(results.len(), 300);
        assert!(results.iter().all(|result| result["status"] == status && result["version"] == 1));
    }
    assert_eq!(to.get("/customers/c7").json()["address"]["city"], "Rome");
}

#[test]
fn thousands_of_lines_share_commits() {
    let folder = folder();
    let api = Api::start(folder.path());
    let mut body = String::new();
    for n in 0..5_000 {
        let _ = writeln!(body, "{{\"id\":\"c{n}\",\"email\":\"c{n}@example.com\"}}");
    }
    let commits = || {
        let metrics = api.get("/metrics").body;
        let line = metrics.lines().find(|line| line.starts_with("catalog_commits_total "));
        let number = line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok());
        number.expect("a number")
    };
    let before = commits();
    let answer = api.call("POST", "/customers", &NDJSON, &body);
    let results = results(&answer.body);
    assert_eq!(results.len(), 5_000);
    for (n, result) in results.iter().enumerate() {
        assert_eq!((&result["line"], &result["status"]), (&json!(n + 1), &json!(201)));
    }
    assert!(commits() - before < 1_000.0, "{} commits", commits() - before);
    assert_eq!(api.get("/customers?email=C4999@example.com").json()[0]["id"], "c4999");
}

/// A connection that sends a body in chunks, as they come.
struct Chunks(TcpStream, BufReader<TcpStream>);

impl Chunks {
    fn open(api: &Api) -> Self {
        let address = api.url.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let head = "POST /customers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
                    Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("sends");
        let answer = BufReader::new(stream.try_clone().expect("a second handle"));
        Self(stream, answer)
    }

    /// At most so many results, in the order they come. What is no result, of head and chunks, is
    /// skipped; a result never lies in two chunks unless there is much to tell.
    fn results(&mut self, max: usize) -> Vec<Json> {
        let mut results = Vec::new();
        let mut line = String::new();
        while results.len() < max {
            let mut more = String::new();
            if self.1.read_line(&mut more).unwrap_or(0) == 0 {
                break;
            }
            // A chunk that ends within a result: its end and the next one's size are left out.
            let part = more.trim_end_matches(['\r', '\n']);
            let is_framing =
                part.is_empty() || part.len() == 5 && u32::from_str_radix(part, 16).is_ok();
            if is_framing || line.is_empty() && !part.starts_with('{') {
                continue;
            }
            line.push_str(part);
            if let Ok(result) = serde_json::from_str(&line) {
                results.push(result);
                line.clear();
            }
        }
        results
    }

    fn send(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.0.write_all(chunk.as_bytes()).expect("sends");
    }
}

#[test]
fn a_body_that_breaks_off_is_told_and_its_last_line_is_not_done() {
    let folder = folder();
    let api = Api::start(folder.path());
    let mut chunks = Chunks::open(&api);
    chunks.send("{\"id\":\"whole\",\"name\":\"x\"}\n{\"id\":\"part\",\"name\":\"x\"}");
    // Neither the end of the line nor that of the body ever comes.
    chunks.0.shutdown(std::net::Shutdown::Write).expect("shuts");
    let told = chunks.results(2);
    assert_eq!((&told[0]["status"], &told[0]["id"]), (&json!(201), &json!("whole")));
    assert_eq!((&told[1]["status"], &told[1]["errors"][0]["field"]), (&json!(400), &json!("body")));
    assert_eq!(api.get("/customers/part").status, 404);
}

#[test]
fn a_client_that_reads_nothing_before_it_has_sent_all_is_served() {
    let folder = folder();
    let api = Api::start(folder.path());
    let mut chunks = Chunks::open(&api);
    let lines = 60_000;
    // Lines that are refused make long answers: far more than the buffers between the two hold.
    for _ in 0..lines / 100 {
        chunks.send(&"{\"fax\":1,\"email\":\"x\",\"phone\":2}\n".repeat(100));
    }
    chunks.send("{\"id\":\"last\",\"name\":\"x\"}\n");
    chunks.0.write_all(b"0\r\n\r\n").expect("ends");
    let results = chunks.results(usize::MAX);
    assert_eq!(results.len(), lines + 1);
    let numbers: Vec<_> = results.iter().filter_map(|result| result["line"].as_u64()).collect();
    assert!(numbers.into_iter().eq(1..=lines as u64 + 1));
    assert_eq!(results[lines]["id"], "last");
}

#[test]
fn a_result_comes_while_the_body_still_does() {
    let folder = folder();
    let api = Api::start(folder.path());
    let mut chunks = Chunks::open(&api);
    for n in 1..4 {
        chunks.send(&format!("{{\"id\":\"c{n}\",\"name\":\"x\"}}\n"));
        let result = chunks.results(1).remove(0);
        assert_eq!((&result["line"], &result["status"]), (&json!(n), &json!(201)));
        assert_eq!(api.get(&format!("/customers/c{n}")).status, 200);
    }
}

#[test]
fn what_was_answered_before_a_kill_is_there_after_it() {
    let folder = folder();
    let mut api = Api::start(folder.path());
    let mut chunks = Chunks::open(&api);
    let mut sending = chunks.0.try_clone().expect("a second handle");
    let sender = std::thread::spawn(move || {
        for n in 0..100_000 {
            let line = format!("{{\"id\":\"c{n}\",\"name\":\"x\"}}\n");
            if sending.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).is_err() {
                return;
            }
        }
    });
    let told = chunks.results(2_000);
    api.signal("-KILL");
    api.wait();
    sender.join().expect("ends");
    let api = Api::start(folder.path());
    let accept = [("Accept", "application/x-ndjson")];
    let export = api.call("GET", "/customers", &accept, "").body;
    let there: std::collections::HashSet<Json> =
        results(&export).into_iter().map(|customer| customer["id"].clone()).collect();
    assert_eq!(told.len(), 2_000);
    assert!(told.iter().all(|result| there.contains(&result["id"])));
    // And each was announced: what was not published yet is now.
    let waiting: std::collections::HashSet<Json> =
        (0..there.len()).map(|_| api.line()["subject"].clone()).collect();
    assert!(told.iter().all(|result| waiting.contains(&result["id"])));
}

#[test]
fn headers_that_are_for_one_customer_are_refused() {
    let folder = folder();
    let api = Api::start(folder.path());
    for header in ["Idempotency-Key", "If-Match"] {
        let headers = [NDJSON[0], (header, "\"1\"")];
        let answer = api.call("POST", "/customers", &headers, "{\"name\":\"x\"}\n");
        assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (400, &json!(header)));
    }
    assert_eq!(api.call("POST", "/customers", &NDJSON, "\n").body, "");
    assert_eq!(api.get("/customers").body, "[]");
}
