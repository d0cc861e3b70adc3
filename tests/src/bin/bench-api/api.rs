//! The program that is measured, and what the system knows of it.

use std::path::Path;

use tests::harness::process::{Program, command};

pub struct Api {
    program: Program,
    pub address: String,
    agent: ureq::Agent,
}

impl Api {
    pub fn start(folder: &Path, broker: &str) -> Self {
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

    pub fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        let mut answer = self.agent.get(url).call().expect("an answer");
        answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("text")
    }

    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|l| l.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a number")
    }

    /// KiB in memory now, and at most.
    pub fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.program.pid());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().nth(0)?.parse().ok()).unwrap_or(0)
    }

    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    pub fn resident_most(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Forgets what was the most up to now.
    pub fn forget_most(&self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.program.pid()), "5");
    }

    /// Seconds that its processors worked for it.
    pub fn busy(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.program.pid()));
        let text = text.unwrap_or_default();
        let rest = text.rsplit(')').next().unwrap_or_default();
        let field = |n: usize| rest.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok());
        (field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)) / 100.0
    }
}
