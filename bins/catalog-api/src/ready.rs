//! Whether what the API takes in gets on its way. It is told by the relay and asked by `/readyz`;
//! the API itself goes on either way.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A record unconfirmed for so long means that the broker is away, or as good as that.
const UNCONFIRMED_SECONDS_MAX: u64 = 5;

#[derive(Debug)]
pub struct Ready(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Why nothing can be published, in words.
    problem: Option<String>,
    /// Since when the oldest record in flight waits for its delivery report.
    waiting_since: Option<Instant>,
}

impl Default for Ready {
    fn default() -> Self {
        let problem = Some("the broker has not answered yet".to_owned());
        Self(Mutex::new(State { problem, waiting_since: None }))
    }
}

impl Ready {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing can be published, and why. True if that is new.
    pub fn broken(&self, why: impl Into<String>) -> bool {
        self.state().problem.replace(why.into()).is_none()
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
        if let Some(why) = &state.problem {
            return Err(why.clone());
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
        assert!(ready.works() && !ready.works());
        ready.waits(true);
        assert_eq!(ready.check(), Ok(()));
        assert!(ready.broken("the broker is away") && !ready.broken("the broker is away"));
        assert_eq!(ready.check(), Err("the broker is away".to_owned()));
    }
}
