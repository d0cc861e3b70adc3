//! What a person or a script sees of each program alone: its flags, its words, its exit codes, its
//! records; and what it makes of bad input. No broker is needed.

mod api;
mod away;
mod dead_letters;
mod hook;
mod inward;
mod outward;
mod settings;
mod signals;
mod usage;
mod wire;

use std::process::ExitStatus;

use common::clock;
use serde_json::{Value as Json, json};
use tests::harness::Program;
use tests::harness::process::command;

/// A key that can be told from everything else in an output.
pub const KEY: &str = "sk_test_neverprinted";
pub const SECRET: &str = "whsec_neverprinted";

/// An address where nobody answers.
pub const NOBODY: &str = "127.0.0.1:1";

/// A folder and an environment of one's own for the programs that are tried in it.
#[derive(Debug)]
pub struct Place {
    pub dir: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Place {
    /// With no variable set: as on a machine that knows nothing of us.
    pub fn bare() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory"), environment: Vec::new() }
    }

    /// With everything set that a program asks for, and no broker.
    pub fn usual() -> Self {
        Self::bare()
            .with("KAFKA_BOOTSTRAP_SERVERS", NOBODY)
            .with("STRIPE_SECRET_KEY", KEY)
            .with("STRIPE_WEBHOOK_SECRET", SECRET)
            .with("STRIPE_API_BASE", format!("http://{NOBODY}"))
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }

    pub fn start(&self, program: &str, flags: &[&str]) -> Program {
        let mut command = command(program);
        command.current_dir(self.dir.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(flags);
        Program::start(command)
    }

    /// Starts it, feeds it, and waits for its end.
    pub fn run(&self, program: &str, flags: &[&str], input: &[u8]) -> Ended {
        let mut running = self.start(program, flags);
        running.feed(input);
        running.close_stdin();
        let status = running.wait();
        Ended::of(&running, status)
    }

    pub fn dead_letters_text(&self, program: &str) -> String {
        let path = self.dir.path().join(format!("{program}.dlq.ndjson"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// The dead letters that this program wrote.
    pub fn dead_letters(&self, program: &str) -> Vec<Json> {
        let text = self.dead_letters_text(program);
        text.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect()
    }
}

/// What a program left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl Ended {
    pub fn of(program: &Program, status: ExitStatus) -> Self {
        Self { code: status.code(), stdout: program.stdout(), stderr: program.stderr() }
    }

    pub fn said(&self) -> String {
        self.stderr.join("\n")
    }

    /// The program ended with this code and an error in its own name that says these words; stdout
    /// was silent, and no secret is in it.
    pub fn failed(&self, program: &str, code: i32, words: &[&str]) {
        let said = self.said();
        assert_eq!(self.code, Some(code), "{program}: {said}");
        let mark = format!("{program}: error: ");
        assert!(self.stderr.iter().any(|line| line.starts_with(&mark)), "{program}: {said}");
        for word in words {
            assert!(said.contains(word), "{program} does not say {word:?}: {said}");
        }
        assert_eq!(self.stdout, [""; 0], "{program}: stdout is for records");
        self.keeps_secrets();
    }

    pub fn keeps_secrets(&self) {
        for line in self.stderr.iter().chain(&self.stdout) {
            assert!(!line.contains("neverprinted"), "a secret is shown: {line}");
        }
    }
}

/// `stripe-sim`, and a place whose programs take it for Stripe.
pub fn with_stripe() -> (Place, Program, String) {
    let sim = Place::bare().start("stripe-sim", &["--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", sim.address());
    (Place::usual().with("STRIPE_API_BASE", &url), sim, url)
}

/// The change event of a customer just made, as `catalog-api` prints it.
pub fn created(id: &str, name: &str) -> Json {
    let now = clock::rfc3339(clock::now_ms());
    let fields = json!({"name": name, "email": null, "phone": null, "description": null,
        "address": null, "metadata": {}});
    let mut customer = fields.clone();
    for (member, value) in [
        ("id", json!(id)),
        ("version", json!(1)),
        ("created_at", json!(now)),
        ("updated_at", json!(now)),
    ] {
        customer[member] = value;
    }
    json!({"specversion": "1.0", "id": format!("event-of-{id}"), "source": "/catalog",
        "type": "catalog.customer.created", "subject": id, "time": now,
        "datacontenttype": "application/json", "partitionkey": id,
        "data": {"origin": "api", "version": 1, "changed": ["name"], "customer": customer,
            "systems": {"stripe": {"pending": {"name": 1}, "acked": 0, "first": fields,
                "first_at": now}}}})
}
