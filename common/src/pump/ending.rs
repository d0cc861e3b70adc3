//! How the pump ends: the input's end, a signal, something fatal, a reader that ended. What was taken
//! from a pipe is acted on or kept; nothing new is begun on what a topic will give again.

use std::time::Duration;

use log::warn;
use tokio::time::Instant;

use super::{Handler, Pump};
use crate::endpoint::dead_letters::DeadLetter;
use crate::endpoint::{Sink, Source};
use crate::error::{Error, Exit, Result};

/// Why the loop ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The input ended.
    End,
    /// A signal came.
    Drain,
    Fatal(Error),
    /// The output's reader ended.
    ClosedPipe,
}

impl<S: Source, K: Sink + Clone + 'static, H: Handler> Pump<S, K, H> {
    pub(super) fn is_finished(&self) -> bool {
        let idle = self.tasks.is_empty() && self.lanes.in_hand().0 == 0;
        match self.ending {
            None => false,
            Some(Ending::ClosedPipe) => true,
            Some(Ending::End) => idle,
            Some(Ending::Drain) => idle && !self.reading || self.is_out_of_time(),
            // Nothing new is begun: it would end the same way.
            Some(Ending::Fatal(_)) => {
                self.tasks.is_empty() && !self.reading || self.is_out_of_time()
            }
        }
    }

    fn is_out_of_time(&self) -> bool {
        self.drain_until.is_some_and(|until| Instant::now() >= until)
    }

    /// The first reason to end counts, but a signal shortens the wait for the end of the input.
    pub(super) fn end(&mut self, ending: Ending) {
        let drains = match &ending {
            Ending::Drain | Ending::Fatal(_) => true,
            Ending::End | Ending::ClosedPipe => false,
        };
        // Lines that were read from a pipe come from nowhere again: they are still taken, up to
        // where reading stopped.
        self.reading &= drains && !self.source.replays();
        if drains && self.drain_until.is_none() {
            let limit = Duration::from_millis(self.policy.drain_ms_max);
            self.drain_until = Some(Instant::now() + limit);
            if self.source.replays() {
                self.lanes.drop_waiting(|_| true);
            } else {
                self.source.stop();
                self.paused = false;
                self.source.pause(false);
            }
        }
        let replace = match (&self.ending, &ending) {
            (None | Some(Ending::End), _)
            | (Some(Ending::Drain), Ending::Fatal(_) | Ending::ClosedPipe) => true,
            (Some(Ending::Drain), Ending::End | Ending::Drain)
            | (Some(Ending::Fatal(_) | Ending::ClosedPipe), _) => false,
        };
        if replace {
            self.ending = Some(ending);
        }
    }

    /// Leaves everything in order and says how it ended.
    pub(super) async fn finish(mut self) -> Result<Exit> {
        self.tasks.shutdown().await;
        let ending = self.ending.take().unwrap_or(Ending::Drain);
        let mut kept = 0;
        if !self.source.replays() && !matches!(ending, Ending::ClosedPipe) {
            kept = self.keep_unfinished().await?;
        }
        let flushed = match ending {
            Ending::ClosedPipe => Ok(()),
            Ending::End | Ending::Drain | Ending::Fatal(_) => self.worker.sink.flush().await,
        };
        self.source.close().await?;
        match ending {
            Ending::Fatal(error) => Err(error),
            Ending::ClosedPipe => Ok(Exit::Done),
            Ending::End | Ending::Drain if kept > 0 => Ok(Exit::Failed),
            Ending::Drain => flushed.map(|()| Exit::Done),
            Ending::End => {
                flushed?;
                Ok(if self.rejected > 0 { Exit::Failed } else { Exit::Done })
            }
        }
    }

    /// Lines taken from a pipe and not finished in time come from nowhere again: they are kept
    /// as dead letters, so that ending a program loses nothing.
    async fn keep_unfinished(&mut self) -> Result<usize> {
        let unfinished = self.lanes.take_all();
        for taken in &unfinished {
            let letter = DeadLetter {
                record: taken.record.clone(),
                at: taken.at,
                origin: self.source.name(taken.at),
                error: "not finished when the program ended".to_owned(),
                attempts: 0,
            };
            self.worker.dead_letters.put(letter).await?;
            self.counters.rejected.inc();
        }
        if !unfinished.is_empty() {
            warn!("{} lines were not finished and are kept as dead letters", unfinished.len());
        }
        Ok(unfinished.len())
    }
}
