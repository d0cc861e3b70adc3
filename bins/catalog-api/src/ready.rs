//! Whether what the API takes in gets on its way. It is told by the relay and asked by `/readyz`;
//! the API itself goes on either way.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A record unconfirmed for so long means that the broker is away, or as good as that.
const UNCONFIRMED_SECONDS_MAX: u64 = 5;

const NO_ANSWER_YET: &str = "the broker has not answered yet";
/// Anybody may ask, so where the broker is and what it says stays in the log.
const BROKEN: &str = "changes do not get to the broker; the log says why";

#[derive(Debug)]
pub struct Ready(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Why nothing can be published, in words.
    problem: Option<&'static str>,
    /// Since when the oldest record in flight waits for its delivery report.
    waiting_since: Option<Instant>,
}

impl Default for Ready {
    fn default() -> Self {
        Self(Mutex::new(State { problem: Some(NO_ANSWER_YET), waiting_since: None }))
    }
}

impl Ready {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing can be published. True if that is new, and the log should say why.
    pub fn broken(&self) -> bool {
        self.state().problem.replace(BROKEN) != Some(BROKEN)
    }

    /// It works (again). True if that is new.
    pub fn works(&self) -> bool {
        self.state().problem.take().is_some()
    }

    /// A record begins to wait for its delivery report, or none waits any more.
    pub fn waits(&self, waits: bool) {
        self.state().waiting_since = waits.then(Instant::now);
    }

    pub fn check(&self) -> Result<(), String> {
        let state = self.state();
        if let Some(why) = state.problem {
            return Err(why.to_owned());
        }
        match state.waiting_since.map(|since| since.elapsed()) {
            Some(waited) if waited >= Duration::from_secs(UNCONFIRMED_SECONDS_MAX) => {
                let seconds = waited.as_secs();
                Err(format!("nothing that was published was confirmed for {seconds} s"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_the_relay_says_so_and_not_before() {
        let ready = Ready::default();
        assert!(ready.check().is_err());
        assert!(ready.broken() && !ready.broken(), "the first failure is said too");
        assert!(ready.works() && !ready.works());
        ready.waits(true);
        assert_eq!(ready.check(), Ok(()));
        assert!(ready.broken() && !ready.broken());
        assert_eq!(ready.check(), Err(BROKEN.to_owned()));
    }
}
