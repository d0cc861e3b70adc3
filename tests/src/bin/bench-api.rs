//! Measures `catalog-api` with very many customers: an import, pages and searches, an export, and
//! how fast the outbox drains into a broker. It prints numbers and judges none of them.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::time::{Duration, Instant};

use common::record::STRIPE;
use common::store::{Query, Store};
use tests::harness::process::{Program, command};
use tests::sim::rng::Rng;

const USAGE: &str = "bench-api [--customers N] [--dir FOLDER] [--broker HOST:PORT] [--skip import]
  measures target/release/catalog-api in FOLDER (default: a temporary one), which needs some
  4 KB of room for each customer; with a broker also how fast the outbox drains";

/// Lines that are sent in one chunk.
const LINES_PER_CHUNK: u64 = 200;
/// Of so many customers one is marked as failed.
const FAILED_ONE_IN: usize = 1_000;
/// How often each list is asked for.
const ROUNDS: usize = 15;

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

struct Api {
    program: Program,
    address: String,
    agent: ureq::Agent,
}

impl Api {
    fn start(folder: &Path, broker: &str) -> Self {
        let mut command = command("catalog-api");
        command.current_dir(folder).args([
            "--listen",
            "127.0.0.1:0",
            "--database",
            "bench.sqlite3",
        ]);
        command.env("KAFKA_BOOTSTRAP_SERVERS", broker);
        let program = Program::start(command);
        let address = program.address();
        Self { program, address, agent: ureq::Agent::new_with_defaults() }
    }

    fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        let mut answer = self.agent.get(url).call().expect("an answer");
        answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("text")
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|l| l.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a number")
    }

    /// KiB in memory now, and at most.
    fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.program.pid());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().nth(0)?.parse().ok()).unwrap_or(0)
    }

    fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn resident_most(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Forgets what was the most up to now.
    fn forget_most(&self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.program.pid()), "5");
    }

    /// Seconds that its processors worked for it.
    fn busy(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.program.pid()));
        let text = text.unwrap_or_default();
        let rest = text.rsplit(')').next().unwrap_or_default();
        let field = |n: usize| rest.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok());
        (field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)) / 100.0
    }
}

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
fn customer(rng: &mut Rng, number: u64, out: &mut String) {
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

fn import(api: &Api, customers: u64) {
    let stream = TcpStream::connect(&api.address).expect("connects");
    let mut sending = stream.try_clone().expect("a second handle");
    let (begun, busy) = (Instant::now(), api.busy());
    let sender = std::thread::spawn(move || {
        let head = "POST /customers HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n\
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

/// The body of an answer that comes in chunks.
struct Chunks {
    stream: BufReader<TcpStream>,
    left: usize,
    ended: bool,
}

impl Chunks {
    fn after_head(stream: TcpStream) -> Self {
        let mut stream = BufReader::with_capacity(64 * 1024, stream);
        let mut line = String::from("head");
        while !line.trim().is_empty() {
            line.clear();
            stream.read_line(&mut line).expect("a head");
        }
        Self { stream, left: 0, ended: false }
    }
}

impl Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 && !self.ended {
            let mut line = String::new();
            while line.trim().is_empty() {
                line.clear();
                if self.stream.read_line(&mut line)? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            let length = usize::from_str_radix(line.trim(), 16);
            self.left = length.map_err(std::io::Error::other)?;
            self.ended = self.left == 0;
        }
        let length = self.left.min(out.len());
        let length = self.stream.read(&mut out[..length])?;
        self.left -= length;
        Ok(length)
    }
}

/// Marks some as failed, as `hook-to-catalog` does.
fn fail_some(folder: &Path) {
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
fn index(folder: &Path) {
    let store = Store::open_reader(&folder.join("bench.sqlite3")).expect("opens");
    let begun = Instant::now();
    while store.search_is_behind().expect("asks") {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{:<44} {:>10.1} s", "until the search index had all", begun.elapsed().as_secs_f64());
}

fn lists(api: &Api, folder: &Path) {
    let store = Store::open_reader(&folder.join("bench.sqlite3")).expect("opens");
    let (mut one, mut number, mut middle) = (None, 0_u64, None);
    let total = api.metric("catalog_customers") as u64;
    let walk = store.for_each(&Query::default(), |entry| {
        number += 1;
        if number == total / 2 {
            middle = Some(entry.customer.updated_at);
        }
        if number == total * 2 / 3 {
            one = Some(entry.customer);
        }
        Ok(())
    });
    walk.expect("reads");
    let one = one.expect("some customers");
    let email = one.fields.text(&common::record::Field::Email).expect("an e-mail").to_owned();
    let rare = &email[..10];
    let since = common::clock::rfc3339(middle.unwrap_or(0));
    let late = common::clock::rfc3339(common::clock::now_ms() + 1_000_000);
    let paths = [
        "/customers".to_owned(),
        "/customers?limit=1000".to_owned(),
        format!("/customers/{}", one.id),
        format!("/customers/{}/history", one.id),
        format!("/customers?email={email}"),
        "/customers?email=nobody@example.com".to_owned(),
        "/customers?sync=failed".to_owned(),
        "/customers?sync=synced".to_owned(),
        "/customers?sync=pending".to_owned(),
        format!("/customers?updated_since={since}"),
        format!("/customers?updated_since={late}"),
        "/customers?updated_since=2000-01-01T00:00:00Z".to_owned(),
        format!("/customers?q={rare}"),
        format!("/customers?q={email}"),
        "/customers?q=example.com".to_owned(),
        "/customers?q=lovelace".to_owned(),
        "/customers?q=LOVELACE%20f".to_owned(),
        "/customers?q=nowhere%20at%20all".to_owned(),
        "/customers?q=zzz".to_owned(),
        "/customers?q=qx".to_owned(),
        "/customers?q=ad".to_owned(),
        "/customers?q=a".to_owned(),
        "/customers?q=%E7%8E%8B".to_owned(),
        "/customers?q=%E5%B0%8F%E6%98%8E".to_owned(),
        "/customers?q=%E9%BE%8D".to_owned(),
        "/customers?q=example.com&sync=failed".to_owned(),
        "/customers?q=lovelace&sync=failed".to_owned(),
        "/customers?q=example.com&sync=synced".to_owned(),
        format!("/customers?q={rare}&updated_since=2000-01-01T00:00:00Z"),
        "/customers?q=example.com&updated_since=2000-01-01T00:00:00Z".to_owned(),
        format!("/customers?q=lovelace&updated_since={since}"),
        "/customers?sync=failed&updated_since=2000-01-01T00:00:00Z".to_owned(),
        "/customers?sync=synced&updated_since=2000-01-01T00:00:00Z".to_owned(),
        "/conflicts".to_owned(),
        "/metrics".to_owned(),
    ];
    println!("{:<60} {:>9} {:>9} {:>8} {:>8}", "list", "median", "most", "rows", "KiB");
    for path in paths {
        let mut times = Vec::new();
        let mut rows = 0;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let text = api.get(&path);
            times.push(begun.elapsed());
            rows = text.matches("\"created_at\"").count();
        }
        times.sort();
        let shown: String = path.chars().take(60).collect();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (median, most) = (ms(times[ROUNDS / 2]), ms(times[ROUNDS - 1]));
        println!("{shown:<60} {median:>6.1} ms {most:>6.1} ms {rows:>8} {:>8}", api.resident());
    }
}

fn export(api: &Api) {
    api.forget_most();
    println!("{:<44} {:>10} KiB", "resident before the export", api.resident());
    let (begun, busy) = (Instant::now(), api.busy());
    let mut stream = TcpStream::connect(&api.address).expect("connects");
    let head = "GET /customers HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\
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
        lines += piece[..length].iter().filter(|byte| **byte == b'\n').count();
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
