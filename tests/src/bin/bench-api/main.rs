//! Measures `catalog-api` with very many customers: an import, pages and searches, an export, and
//! how fast the outbox drains into a broker. It prints numbers and judges none of them.

mod api;
mod chunks;
mod import;
mod lists;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::chunks::Chunks;
use crate::import::{fail_some, import, index};
use crate::lists::lists;

const USAGE: &str = "bench-api [--customers N] [--dir FOLDER] [--broker HOST:PORT] [--skip import]
  measures target/release/catalog-api in FOLDER (default: a temporary one), which needs some
  4 KB of room for each customer; with a broker also how fast the outbox drains";

struct Args {
    customers: u64,
    folder: Option<PathBuf>,
    broker: Option<String>,
    import: bool,
}

fn usage(why: &str) -> ! {
    eprintln!("bench-api: error: {why}\nbench-api: hint: {USAGE}");
    exit(2);
}

fn args() -> Args {
    let mut args = Args { customers: 1_000_000, folder: None, broker: None, import: true };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let Some(value) = words.next() else { usage(&format!("{flag} needs a value")) };
        match (flag.as_str(), value.as_str()) {
            ("--customers", number) => match number.replace('_', "").parse() {
                Ok(number) => args.customers = number,
                Err(_) => usage("--customers: not a number"),
            },
            ("--dir", folder) => args.folder = Some(folder.into()),
            ("--broker", broker) => args.broker = Some(broker.to_owned()),
            ("--skip", "import") => args.import = false,
            (flag, _) => usage(&format!("unknown: {flag}")),
        }
    }
    args
}

fn main() {
    let args = args();
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = args.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    // Nobody listens on port 1: what is written stays in the outbox.
    let api = Api::start(&folder, "127.0.0.1:1");
    println!("{:<44} {:>10} KiB", "resident at the start", api.resident());
    if args.import {
        import(&api, args.customers);
        fail_some(&folder);
        index(&folder);
    }
    lists(&api, &folder);
    export(&api);
    drop(api);
    if let Some(broker) = &args.broker {
        drain(&folder, broker);
    }
}

fn export(api: &Api) {
    api.forget_most();
    println!("{:<44} {:>10} KiB", "resident before the export", api.resident());
    let (begun, busy) = (Instant::now(), api.busy());
    let mut stream = TcpStream::connect(&api.address).expect("connects");
    let head = "GET /customers HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\
                Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("asks");
    let mut chunks = Chunks::after_head(stream);
    let (mut piece, mut bytes, mut lines) = (vec![0; 256 * 1024], 0, 0);
    loop {
        let length = chunks.read(&mut piece).expect("reads");
        if length == 0 {
            break;
        }
        bytes += length;
        lines += piece[..length].split(|byte| *byte == b'\n').count() - 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{:<44} {:>10.0} /s", "export", lines as f64 / seconds);
    println!("{:<44} {:>10.1} MB/s", "  of NDJSON", bytes as f64 / seconds / 1e6);
    println!(
        "{:<44} {:>10.1} µs",
        "  processor time each",
        (api.busy() - busy) / lines as f64 * 1e6
    );
    println!("{:<44} {:>10} KiB", "  resident at most", api.resident_most());
}

fn drain(folder: &Path, broker: &str) {
    let api = Api::start(folder, broker);
    let waiting = api.metric("catalog_outbox_changes");
    println!("{:<44} {waiting:>10.0}", "changes that wait in the outbox");
    while api.metric("catalog_changes_published_total") == 0.0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (begun, busy) = (Instant::now(), api.busy());
    let before = api.metric("catalog_changes_published_total");
    let mut marked = (Instant::now(), before);
    while api.metric("catalog_outbox_changes") > 0.0 {
        std::thread::sleep(Duration::from_millis(200));
        if marked.0.elapsed() > Duration::from_secs(10) {
            let now = api.metric("catalog_changes_published_total");
            let rate = (now - marked.1) / marked.0.elapsed().as_secs_f64();
            println!("{:<44} {rate:>10.0} /s {:>10} KiB", format!("  {now}"), api.resident());
            marked = (Instant::now(), now);
        }
    }
    let (seconds, count) = (begun.elapsed().as_secs_f64(), waiting - before);
    println!("{:<44} {:>10.0} /s", "published", count / seconds);
    println!("{:<44} {:>10.1} µs", "  processor time each", (api.busy() - busy) / count * 1e6);
    println!("{:<44} {:>10} KiB", "  resident at most", api.resident_most());
}
