//! Ending on a signal: the first SIGTERM or SIGINT asks everybody to finish what is in hand, the
//! second ends the process at once. Nothing relies on it for correctness: `kill -9` is always safe.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::error::{Error, Result};

/// Says whether the program was asked to end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks for the end: what a signal does, or a test.
#[derive(Clone, Debug)]
pub struct Trigger(watch::Sender<bool>);

/// A pair for programs that end for reasons of their own, and for tests.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    pub fn request(&self) {
        // send_replace: also when nobody listens yet.
        self.0.send_replace(true);
    }
}

impl Shutdown {
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the end is asked for. Cancel-safe.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone: then nobody can ask any more.
        if self.0.wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The future's result, or `None` when the end was asked for first.
    pub async fn unless<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut shutdown = self.clone();
        tokio::select! {
            () = shutdown.requested() => None,
            value = future => Some(value),
        }
    }
}

/// Listens to SIGTERM and SIGINT from now on (inside a tokio runtime).
pub fn on_signals() -> Result<Shutdown> {
    let listen = |kind| signal(kind).map_err(|error| Error::fatal("listen to signals", error));
    let (terminate, interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let (trigger, shutdown) = channel();
    tokio::spawn(watch_signals(terminate, interrupt, trigger));
    Ok(shutdown)
}

async fn watch_signals(mut terminate: Signal, mut interrupt: Signal, trigger: Trigger) {
    let _ = either(&mut terminate, &mut interrupt).await;
    trigger.request();
    let code = either(&mut terminate, &mut interrupt).await;
    // Asked twice: whoever asks does not want to wait, and everything is safe under kill -9.
    std::process::exit(code);
}

/// The exit status a shell shows for the signal that came: 128 and its number.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => 128 + SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => 128 + SignalKind::interrupt().as_raw_value(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_seen_by_those_who_came_later() {
        let (trigger, shutdown) = channel();
        assert!(!shutdown.is_requested());
        assert_eq!(shutdown.unless(async { 7 }).await, Some(7));
        trigger.request();
        let mut late = shutdown.clone();
        late.requested().await;
        assert!(late.is_requested());
        assert_eq!(shutdown.unless(std::future::pending::<u8>()).await, None);
    }
}
