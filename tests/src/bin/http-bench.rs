//! What the door costs: answers a second and times of the server that the programs share, beside
//! bare `tiny_http` with the same answer and as many workers, in turns, in one run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::http::{Answer, Handler, Options, Request, Response, Server};
use tests::load::healthy::{Load, Seen};

/// The same as the server's.
const WORKERS: usize = 64;

/// Each server is measured so often, in turns; the middle one counts.
const ROUNDS: usize = 3;

/// How long each measurement takes.
const ROUND: Duration = Duration::from_secs(1);

const BODY: &str = r#"{"id":"cust_42","name":"Ada Lovelace","email":"ada@example.com"}"#;

struct Fixed;

impl Handler for Fixed {
    fn handle(&self, _request: &mut Request) -> Answer {
        Ok(Response::bytes(200, "application/json", BODY.as_bytes().to_vec()))
    }
}

fn main() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let fixed: Arc<dyn Handler> = Arc::new(Fixed);
    let server = match Server::start(Options { program: "http-bench", listen }, &fixed) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("http-bench: error: {error}");
            std::process::exit(1);
        }
    };
    let Some(bare) = bare() else {
        eprintln!("http-bench: error: tiny_http cannot listen");
        std::process::exit(1);
    };
    println!("{:<34} {:>11} {:>11} {:>7}", "clients", "bare", "behind door", "ratio");
    for clients in [1, 4, 16, 64, 256] {
        for reconnects in [false, true] {
            let load = Load { clients, time: ROUND, pause: Duration::ZERO, reconnects };
            compare(load, bare, server.address());
        }
    }
}

/// `tiny_http` as it comes, on a port of its own.
fn bare() -> Option<SocketAddr> {
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").ok()?);
    for _ in 0..WORKERS {
        let server = Arc::clone(&server);
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                let header = tiny_http::Header::from_bytes("Content-Type", "application/json");
                let response = tiny_http::Response::from_string(BODY);
                let _ = match header {
                    Ok(header) => request.respond(response.with_header(header)),
                    Err(()) => request.respond(response),
                };
            }
        });
    }
    server.server_addr().to_ip()
}

fn compare(load: Load, bare: SocketAddr, door: SocketAddr) {
    let (mut of_bare, mut of_door) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_bare.push(load.run(bare, "/customers/cust_42"));
        of_door.push(load.run(door, "/customers/cust_42"));
    }
    let (bare, door) = (middle(of_bare), middle(of_door));
    let kind = if load.reconnects { "a connection each" } else { "connections kept" };
    let what = format!("{} {kind}", load.clients);
    let ratio = door.per_second() / bare.per_second();
    println!("{what:<34} {:>9.0}/s {:>9.0}/s {ratio:>7.2}", bare.per_second(), door.per_second());
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (bare, door) = (bare.quantile(share), door.quantile(share));
        let ratio = door.as_secs_f64() / bare.as_secs_f64();
        println!("{name:>34} {:>11} {:>11} {ratio:>7.2}", micros(bare), micros(door));
    }
    if bare.failed + door.failed > 0 {
        println!("{:>34} {:>11} {:>11}", "failed", bare.failed, door.failed);
    }
}

fn middle(mut all: Vec<Seen>) -> Seen {
    all.sort_by(|one, other| one.per_second().total_cmp(&other.per_second()));
    let middle = all.len() / 2;
    all.swap_remove(middle)
}

fn micros(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}
