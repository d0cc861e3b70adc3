//! The whole pipeline, small and private: its own topics, groups, database and `stripe-sim`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::http::{Reply, as_person, ask, call};
use super::process::{Program, command};
use super::until;

pub const KEY: &str = "sk_test_local";
pub const SECRET: &str = "whsec_local";

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// The programs of a pipeline over a broker, each of which can be killed and started again.
#[derive(Debug)]
pub struct World {
    pub dir: TempDir,
    /// Sets this world's topics and groups apart from those of other tests.
    pub tag: String,
    broker: String,
    pub sim: Program,
    pub sim_url: String,
    pub hook: Option<Program>,
    hook_address: String,
    pub api: Option<Program>,
    api_address: String,
    pub outward: Option<Program>,
    pub inward: Option<Program>,
    pub tail: Option<Program>,
}

fn tag() -> String {
    let n = WORLDS.fetch_add(1, Ordering::Relaxed);
    format!("{}-{n}-{}", std::process::id(), common::clock::now_ms() % 1_000_000)
}

/// A port that was free a moment ago: for servers that must come back at the same address.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl World {
    /// Starts everything but `stripe-tail`. `sim_flags` go to `stripe-sim`.
    pub fn start(broker: &str, sim_flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let hook_address = format!("127.0.0.1:{}", free_port());
        let api_address = format!("127.0.0.1:{}", free_port());
        let mut sim = command("stripe-sim");
        sim.args(["--listen", "127.0.0.1:0", "--webhook-secret", SECRET, "--webhook"]);
        sim.arg(format!("http://{hook_address}/stripewebhook"));
        sim.args(["--webhook-retry-ms", "200"]);
        sim.args(sim_flags);
        let sim = Program::start(sim);
        let sim_url = format!("http://{}", sim.address());
        let mut world = Self {
            dir,
            tag: tag(),
            broker: broker.to_owned(),
            sim,
            sim_url,
            hook: None,
            hook_address,
            api: None,
            api_address,
            outward: None,
            inward: None,
            tail: None,
        };
        world.start_api();
        world.start_hook();
        world.start_outward();
        world.start_inward();
        world.ready();
        world
    }

    pub fn database(&self) -> PathBuf {
        self.dir.path().join("catalog.sqlite3")
    }

    pub fn broker(&self) -> &str {
        &self.broker
    }

    pub fn topic(&self, name: &str) -> String {
        format!("kafka:{name}-{}", self.tag)
    }

    /// A command of this world: its broker, its database, its Stripe.
    pub fn command(&self, program: &str) -> Command {
        let mut command = command(program);
        command
            .current_dir(self.dir.path())
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.broker)
            .env("DATABASE_URL", self.database())
            .env("STRIPE_API_BASE", &self.sim_url)
            .env("STRIPE_SECRET_KEY", KEY)
            .env("STRIPE_WEBHOOK_SECRET", SECRET);
        command
    }

    pub fn start_api(&mut self) {
        self.start_api_with(|_| ());
    }

    /// With other flags or another environment.
    pub fn start_api_with(&mut self, change: impl FnOnce(&mut Command)) {
        // Two cannot listen at one address.
        self.api = None;
        let mut api = self.command("catalog-api");
        api.args(["--listen", &self.api_address, "--to", &self.topic("customer_events")]);
        change(&mut api);
        self.api = Some(Program::start(api));
    }

    pub fn start_hook(&mut self) {
        let mut hook = self.command("stripe-hook");
        hook.args(["--listen", &self.hook_address, "--to", &self.topic("stripe_events")]);
        self.hook = Some(Program::start(hook));
    }

    pub fn start_outward(&mut self) {
        let mut mover = self.command("kafka-to-stripe");
        mover.args(["--from", &self.topic("customer_events")]);
        mover.args(["--to", &self.topic("stripe_results")]);
        mover.args(["--group", &format!("outward-{}", self.tag), "--instance", "test"]);
        mover.args(["--rate", "1000"]);
        self.outward = Some(Program::start(mover));
    }

    pub fn start_inward(&mut self) {
        self.start_inward_with(|_| ());
    }

    /// With other flags or another environment.
    pub fn start_inward_with(&mut self, change: impl FnOnce(&mut Command)) {
        // Of two of one name the older one would be fenced.
        self.inward = None;
        let mut mover = self.command("hook-to-catalog");
        mover.args(["--from", &self.topic("stripe_events")]);
        mover.args(["--from", &self.topic("stripe_results")]);
        mover.args(["--group", &format!("inward-{}", self.tag), "--instance", "test"]);
        change(&mut mover);
        self.inward = Some(Program::start(mover));
    }

    pub fn start_tail(&mut self) {
        let mut tail = self.command("stripe-tail");
        tail.args(["--follow", "--to", &self.topic("stripe_events"), "--state", "tail.json"]);
        self.tail = Some(Program::start(tail));
    }

    /// As a supervisor does: starts a mover again that ended with 69, and with nothing else.
    pub fn supervise(&mut self) {
        if let Some(status) = self.outward.as_mut().and_then(Program::ended) {
            assert_eq!(status.code(), Some(69), "kafka-to-stripe");
            self.start_outward();
        }
        if let Some(status) = self.inward.as_mut().and_then(Program::ended) {
            assert_eq!(status.code(), Some(69), "hook-to-catalog");
            self.start_inward();
        }
    }

    /// Waits until both servers say that they work.
    pub fn ready(&self) {
        for address in [&self.api_address, &self.hook_address] {
            until(&format!("{address} is ready"), || {
                let reply = call("GET", &format!("http://{address}/readyz"), &[], None)?;
                (reply.status == 200).then_some(())
            });
        }
    }

    pub fn api_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api_address)
    }

    pub fn hook_url(&self) -> String {
        format!("http://{}/stripewebhook", self.hook_address)
    }

    /// One call of the catalog's API.
    pub fn api(&self, method: &str, path: &str, body: Option<&Json>) -> Reply {
        ask(method, &self.api_url(path), body)
    }

    /// One call of Stripe's API with another key than the programs': a person's.
    pub fn stripe(&self, method: &str, path: &str, form: &str) -> Reply {
        as_person(method, &format!("{}{path}", self.sim_url), form)
    }

    /// A call that steers `stripe-sim`.
    pub fn steer(&self, method: &str, path: &str, body: Option<&Json>) -> Reply {
        ask(method, &format!("{}/_sim/{path}", self.sim_url), body)
    }

    /// Makes `stripe-sim` misbehave from now on.
    pub fn fault(&self, fault: &Json) {
        let reply = self.steer("POST", "faults", Some(fault));
        assert!(reply.status < 300, "{fault}: {reply:?}");
    }

    /// Every API request that `stripe-sim` got, oldest first.
    pub fn requests(&self) -> Vec<Json> {
        self.sim_lines("requests")
    }

    /// What `stripe-sim` lists under `/_sim/`.
    pub fn sim_lines(&self, what: &str) -> Vec<Json> {
        lines(&self.steer("GET", what, None).body)
    }

    /// Every customer that ever was at Stripe, deleted ones among them.
    pub fn ever_at_stripe(&self) -> Vec<Json> {
        self.sim_lines("customers?deleted=true")
    }

    /// Requests about customers that our programs made, whatever they ask; a person's have another
    /// key, which the log tells apart from ours without showing it.
    pub fn asked_by_us(&self) -> Vec<Json> {
        self.stripe("GET", "/v1/customers?limit=1", "");
        let requests = self.requests();
        let of_person = |it: &&Json| it["path"] == "/v1/customers" && it["params"]["limit"] == "1";
        let person = requests.iter().rev().find(of_person).map(|it| it["key"].clone());
        let ours = |it: &Json| {
            it["path"].as_str().is_some_and(|path| path.starts_with("/v1/customers"))
                && Some(&it["key"]) != person.as_ref()
        };
        requests.into_iter().filter(ours).collect()
    }

    /// Those that write.
    pub fn our_writes(&self) -> Vec<Json> {
        self.asked_by_us().into_iter().filter(|it| it["method"] != "GET").collect()
    }

    /// The customer, once it is in the catalog and `is` what is asked.
    pub fn catalog_until(&self, id: &str, what: &str, is: impl Fn(&Json) -> bool) -> Json {
        until(&format!("the catalog has {id} {what}"), || {
            let reply = self.api("GET", &format!("/customers/{id}"), None);
            (reply.status == 200 && is(&reply.body)).then_some(reply.body)
        })
    }

    /// The customer, once Stripe's `is` what is asked.
    pub fn stripe_until(&self, id: &str, what: &str, is: impl Fn(&Json) -> bool) -> Json {
        until(&format!("Stripe has {id} {what}"), || {
            let reply = self.stripe("GET", &format!("/v1/customers/{id}"), "");
            (reply.status == 200 && is(&reply.body)).then_some(reply.body)
        })
    }

    /// Creates a customer by the API and waits until it is in step. Returns both ids.
    pub fn synced(&self, body: &Json) -> (String, String) {
        let reply = self.api("POST", "/customers", Some(body));
        assert_eq!(reply.status, 201, "{reply:?}");
        let id = reply.body["id"].as_str().expect("an id").to_owned();
        let customer =
            self.catalog_until(&id, "synced", |it| it["sync"]["stripe"]["state"] == "synced");
        let remote = customer["sync"]["stripe"]["id"].as_str().expect("a link").to_owned();
        (id, remote)
    }
}

/// The lines of an NDJSON answer (one line alone was read as JSON already).
fn lines(body: &Json) -> Vec<Json> {
    match body {
        Json::Null => Vec::new(),
        Json::String(text) => {
            text.lines().map(|line| serde_json::from_str(line).expect("a line of NDJSON")).collect()
        }
        one => vec![one.clone()],
    }
}
