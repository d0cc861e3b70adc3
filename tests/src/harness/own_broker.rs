//! A broker of a test's own, to be killed and robbed of its data.

use std::process::Command;

use tempfile::TempDir;

use super::checkout;

#[derive(Debug)]
pub struct OwnBroker {
    dir: TempDir,
    port: u16,
}

impl OwnBroker {
    /// Starts one, or prints why the test is skipped.
    pub fn start(test: &str) -> Option<Self> {
        super::broker(test)?;
        let port = free_ports();
        let broker = Self { dir: tempfile::tempdir().expect("a directory"), port };
        broker.up();
        Some(broker)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it (again), with the data that is there.
    pub fn up(&self) {
        assert!(self.script("start"), "the broker does not start");
    }

    /// SIGKILL.
    pub fn kill(&self) {
        assert!(self.script("kill"), "the broker is not killed");
    }

    /// Kills it and deletes all its data: it will come back empty, with another cluster id.
    pub fn lose_everything(&self) {
        self.kill();
        std::fs::remove_dir_all(self.dir.path().join("data")).expect("its data is deleted");
    }

    fn script(&self, verb: &str) -> bool {
        let (port, controller) = (self.port.to_string(), (self.port + 1).to_string());
        let mut command = Command::new(checkout().join("scripts/kafka"));
        command.arg(verb).arg("--dir").arg(self.dir.path());
        command.args(["--port", &port, "--controller-port", &controller]);
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.script("kill");
    }
}

/// Two ports side by side that were free a moment ago.
fn free_ports() -> u16 {
    loop {
        let first = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = first.local_addr().expect("its address").port();
        if port < u16::MAX && std::net::TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}
