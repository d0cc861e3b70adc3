//! Starts programs, watches them, and stops exactly what it started.

pub mod browser;
pub mod http;
pub mod own_broker;
pub mod pipes;
pub mod process;
pub mod topic;
pub mod webhooks;
pub mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use browser::Browser;
pub use own_broker::OwnBroker;
pub use pipes::Pipes;
pub use process::Program;
pub use topic::Topic;
pub use world::World;

/// How long anything may take to happen before a test fails. Generous: a healthy run never waits
/// this long, and a slow machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Waits until `look` gives something, and fails with `what` when patience ends.
///
/// # Panics
/// When it does not happen in time.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// The broker's address that `make test` gives; without one, prints why the test is skipped.
pub fn broker(test: &str) -> Option<String> {
    let address = std::env::var("KAFKA_TEST_BOOTSTRAP").ok().filter(|text| !text.is_empty());
    if address.is_none() {
        let reason = std::env::var("TEST_KAFKA_SKIP").unwrap_or_else(|_| {
            "KAFKA_TEST_BOOTSTRAP names no broker; make test starts one".into()
        });
        eprintln!("skipped: {test}: {reason}");
    }
    address
}
