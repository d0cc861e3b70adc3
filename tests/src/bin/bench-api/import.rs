//! An import of very many customers, and what makes them like real ones.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::record::STRIPE;
use common::store::{Query, Store};
use tests::sim::rng::Rng;

use crate::api::Api;
use crate::chunks::Chunks;

/// Lines that are sent in one chunk.
const LINES_PER_CHUNK: u64 = 200;
/// Of so many customers one is marked as failed.
const FAILED_ONE_IN: usize = 1_000;

const FIRST: [&str; 12] = [
    "Ada",
    "Grace",
    "Alan",
    "Zoë",
    "Søren",
    "Łukasz",
    "王",
    "Παύλος",
    "Ivan",
    "Maria",
    "Fatima",
    "Kofi",
];
const LAST: [&str; 12] = [
    "Lovelace",
    "Hopper",
    "Turing",
    "Dvořák",
    "O'Neill",
    "Müller",
    "小明",
    "Νικολάου",
    "Petrov",
    "García",
    "Haddad",
    "Mensah",
];

/// A customer like any other.
pub fn customer(rng: &mut Rng, number: u64, out: &mut String) {
    let mut pick = |texts: &[&'static str]| texts[rng.below(texts.len())];
    let (first, last) = (pick(&FIRST), pick(&LAST));
    let city = pick(&["Berlin", "Paris", "Rome", "London", "Athens", "Lagos"]);
    let plan = pick(&["free", "pro", "team"]);
    let word = rng.draw() >> 24;
    let _ = writeln!(
        out,
        "{{\"name\":\"{first} {last} {word:x}\",\"email\":\"{word:010x}.{number}@example.com\",\
         \"phone\":\"+44 {:07}\",\"address\":{{\"line1\":\"{} High Street\",\"city\":\"{city}\",\
         \"postal_code\":\"{}\",\"country\":\"GB\"}},\"metadata\":{{\"plan\":\"{plan}\",\
         \"account\":\"{number}\"}}}}",
        number % 10_000_000,
        number % 300,
        number % 90_000,
    );
}

pub fn import(api: &Api, customers: u64) {
    let stream = TcpStream::connect(&api.address).expect("connects");
    let mut sending = stream.try_clone().expect("a second handle");
    let (begun, busy) = (Instant::now(), api.busy());
    let sender = std::thread::spawn(move || {
        let head = "POST /customers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
                    Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        sending.write_all(head.as_bytes()).expect("sends");
        let (mut rng, mut text, mut number) = (Rng::new(1), String::new(), 0);
        while number < customers {
            text.clear();
            for _ in 0..LINES_PER_CHUNK.min(customers - number) {
                customer(&mut rng, number, &mut text);
                number += 1;
            }
            write!(sending, "{:x}\r\n{text}\r\n", text.len()).expect("sends");
        }
        sending.write_all(b"0\r\n\r\n").expect("sends");
    });
    let (mut done, mut marked) = (0_u64, Instant::now());
    for line in BufReader::new(Chunks::after_head(stream)).lines() {
        let line = line.expect("a line");
        if line.contains("\"status\":201") {
            done += 1;
            if done.is_multiple_of(100_000) {
                let rate = 100_000.0 / marked.elapsed().as_secs_f64();
                println!("{:<44} {rate:>10.0} /s {:>10} KiB", format!("  {done}"), api.resident());
                marked = Instant::now();
            }
        } else {
            panic!("refused: {line}");
        }
    }
    sender.join().expect("sent");
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(done, customers, "results are missing");
    println!("{:<44} {:>10.0} /s", "import", done as f64 / seconds);
    println!(
        "{:<44} {:>10.1} µs",
        "  processor time each",
        (api.busy() - busy) / done as f64 * 1e6
    );
    println!(
        "{:<44} {:>10.0}",
        "  customers in a commit",
        done as f64 / api.metric("catalog_commits_total")
    );
    println!("{:<44} {:>10} KiB", "  resident at most", api.resident_most());
}

/// Marks some as failed, as `hook-to-catalog` does.
pub fn fail_some(folder: &Path) {
    let path = folder.join("bench.sqlite3");
    let mut store = Store::open(&path).expect("opens");
    let mut ids = Vec::new();
    let mut count = 0_usize;
    let reader = Store::open_reader(&path).expect("opens");
    let walk = reader.for_each(&Query::default(), |entry| {
        if count.is_multiple_of(FAILED_ONE_IN) {
            ids.push(entry.customer.id);
        }
        count += 1;
        Ok(())
    });
    walk.expect("reads");
    for some in ids.chunks(100) {
        let work = |tx: &common::store::Tx| {
            for id in some {
                if let Some(mut entry) = tx.entry(id)? {
                    if let Some(sync) = entry.systems.get_mut(STRIPE) {
                        sync.error = Some("refused".to_owned());
                    }
                    tx.save(&entry)?;
                }
            }
            Ok(())
        };
        store.write(work).expect("saves");
    }
}

/// Waits until the search knows all of them.
pub fn index(folder: &Path) {
    let store = Store::open_reader(&folder.join("bench.sqlite3")).expect("opens");
    let begun = Instant::now();
    while store.search_is_behind().expect("asks") {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{:<44} {:>10.1} s", "until the search index had all", begun.elapsed().as_secs_f64());
}
