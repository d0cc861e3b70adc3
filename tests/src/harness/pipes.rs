//! The pipeline without a broker: the programs joined by pipes, over one database and `stripe-sim`.

use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::http::{Reply, as_person, ask};
use super::process::{Program, command};
use super::world::{KEY, SECRET};

/// A folder and a Stripe of a test's own, and the programs that are started over them.
#[derive(Debug)]
pub struct Pipes {
    pub dir: TempDir,
    pub sim: Program,
    sim_url: String,
}

impl Pipes {
    /// Starts `stripe-sim`.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut sim = command("stripe-sim");
        sim.args(["--listen", "127.0.0.1:0"]);
        let sim = Program::start(sim);
        let sim_url = format!("http://{}", sim.address());
        Self { dir, sim, sim_url }
    }

    fn environment(&self, command: &mut Command) {
        command
            .current_dir(self.dir.path())
            .env("DATABASE_URL", self.dir.path().join("catalog.sqlite3"))
            .env("STRIPE_API_BASE", &self.sim_url)
            .env("STRIPE_SECRET_KEY", KEY)
            .env("STRIPE_WEBHOOK_SECRET", SECRET);
    }

    pub fn program(&self, name: &str, flags: &[&str]) -> Program {
        let mut command = command(name);
        self.environment(&mut command);
        command.args(flags);
        Program::start(command)
    }

    /// Each program's stdout is the next one's stdin; all of their stderr is read.
    pub fn line(&self, programs: &[(&str, &[&str])]) -> Vec<Program> {
        let mut line = Vec::new();
        let mut upstream = None;
        for (index, (name, flags)) in programs.iter().enumerate() {
            let mut command = command(name);
            self.environment(&mut command);
            command.args(*flags);
            let last = index + 1 == programs.len();
            let (program, output) = Program::in_line(command, upstream.take(), last);
            upstream = output;
            line.push(program);
        }
        line
    }

    /// One call of Stripe's API with another key than the programs': a person's.
    pub fn stripe(&self, method: &str, path: &str, form: &str) -> Reply {
        as_person(method, &format!("{}{path}", self.sim_url), form)
    }

    /// Makes `stripe-sim` misbehave from now on.
    pub fn fault(&self, fault: &Json) {
        let reply = ask("POST", &format!("{}/_sim/faults", self.sim_url), Some(fault));
        assert!(reply.status < 300, "{fault}: {reply:?}");
    }

    pub fn stripe_customers(&self) -> Vec<Json> {
        let reply = self.stripe("GET", "/v1/customers?limit=100", "");
        reply.body["data"].as_array().cloned().unwrap_or_default()
    }
}
