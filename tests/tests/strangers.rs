//! Strangers cannot hurt the API: while thousands of hostile connections do what they can, and the
//! table of file descriptors is full, a healthy client is served as before, in little memory; and
//! when they are gone, the server is as it was.
//!
//! `STRANGERS=1` does it with 5,000 idle connections, 500 slow ones and 150 worse; by default it is
//! a tenth of that.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use tests::harness::Program;
use tests::harness::http::call;
use tests::harness::process::command;
use tests::load::healthy::{Load, Seen};
use tests::load::hostile::{Mix, Storm};

/// The most memory that the server may take, under whatever load.
const MEMORY_KB_MAX: usize = 150 * 1024;

/// On a machine that does other things too, so much is no sign of anything.
const NOISE: Duration = Duration::from_millis(25);

/// So many customers of 20 KB each: of some pages of them a socket takes not all at once.
const LARGE_CUSTOMERS: usize = 12;

const PATH: &str = "/customers/ada";

fn start() -> (tempfile::TempDir, Program, SocketAddr) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut api = command("catalog-api");
    api.args(["--listen", "127.0.0.1:0", "--to", "-", "--database"]);
    api.arg(dir.path().join("db.sqlite3")).current_dir(dir.path());
    let api = Program::start(api);
    let address = api.address().parse().expect("an address");
    make(address, br#"{"id":"ada","name":"Ada","email":"ada@example.com"}"#);
    let about = "x".repeat(450);
    let metadata: Vec<_> = (0..45).map(|key| format!("\"k{key}\":\"{about}\"")).collect();
    for number in 0..LARGE_CUSTOMERS {
        let metadata = metadata.join(",");
        let body = format!("{{\"name\":\"Number {number}\",\"metadata\":{{{metadata}}}}}");
        make(address, body.as_bytes());
    }
    (dir, api, address)
}

fn make(address: SocketAddr, body: &[u8]) {
    let headers = [("Content-Type", "application/json")];
    let made = call("POST", &format!("http://{address}/customers"), &headers, Some(body));
    assert_eq!(made.expect("an answer").status, 201);
}

/// Healthy clients: four that keep their connection, and four that connect each time.
fn measure(address: SocketAddr, time: Duration) -> [Seen; 2] {
    [false, true].map(|reconnects| {
        let load = Load { clients: 4, time, pause: Duration::from_millis(5), reconnects };
        load.run(address, PATH)
    })
}

/// A number of the server's from `/proc`.
fn of_process(pid: u32, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    let number = line.trim_start_matches(':').split_whitespace().next().expect(name);
    number.parse().expect(name)
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count()
}

fn sockets(pid: u32) -> usize {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let targets = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// As many descriptors for the clients as this process may have.
fn raise_own_limit(wanted: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < wanted as u64) {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a limit");
    }
}

/// No descriptor beyond those in use.
fn fill_descriptor_table(pid: u32, count: usize) {
    let pid = Pid::from_raw(pid as i32).expect("a pid");
    let count = Some(count as u64);
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: count, maximum }).expect("a limit");
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: not in time");
}

fn check(what: &str, quiet: &[Seen; 2], seen: &[Seen; 2]) {
    for (quiet, seen) in quiet.iter().zip(seen) {
        let (was, is) = (quiet.quantile(0.99), seen.quantile(0.99));
        let (count, median) = (seen.times.len(), seen.quantile(0.5));
        eprintln!("{what}: {count} answers, p50 {median:?}, p99 {is:?}; p99 when quiet {was:?}");
        assert_eq!(seen.failed, 0, "{what}");
        assert!(seen.times.len() > quiet.times.len() / 4, "{what}");
        assert!(is < was * 2 + NOISE, "{what}: p99 {is:?}, quiet {was:?}");
    }
}

#[test]
fn hostile_connections_and_a_full_descriptor_table_hurt_nobody() {
    let is_full = std::env::var("STRANGERS").is_ok_and(|value| value == "1");
    let mix = if is_full { Mix::FULL } else { Mix::FULL.divided_by(10) };
    let time = Duration::from_secs(if is_full { 5 } else { 1 });
    raise_own_limit(mix.count() + 100);
    let (_dir, api, address) = start();
    let pid = api.pid();
    let quiet = measure(address, time);
    assert_eq!(quiet.iter().map(|seen| seen.failed).sum::<usize>(), 0);
    let (sockets_before, threads_before) = (sockets(pid), of_process(pid, "Threads"));

    let storm = Storm::begin(address, mix);
    let most = mix.count() * 9 / 10;
    eventually("they are connected", || storm.connected() >= most && descriptors(pid) >= most);
    std::thread::sleep(time);
    check("hostile connections", &quiet, &measure(address, time));
    let threads = of_process(pid, "Threads");
    assert!(threads <= threads_before + 40, "{threads} threads, {threads_before} before");

    fill_descriptor_table(pid, descriptors(pid));
    check("and a full descriptor table", &quiet, &measure(address, time));
    let memory = of_process(pid, "VmHWM");
    eprintln!("{memory} KB at most, {} connections closed on hostile clients", storm.refused());
    assert!(memory < MEMORY_KB_MAX, "{memory} KB");

    drop(storm);
    eventually("they are forgotten", || sockets(pid) <= sockets_before);
    check("afterwards", &quiet, &measure(address, time));
}
