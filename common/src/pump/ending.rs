//! How the pump ends: the input's end, a signal, something fatal, a reader that ended. What was taken
//! from a pipe is acted on or kept; nothing new is begun on what a topic will give again.

use std::sync::Arc;
use std::time::Duration;

use log::warn;
use tokio::time::Instant;

use super::{Handler, Pump};
use crate::endpoint::dead_letters::DeadLetter;
use crate::endpoint::{Position, Sink, Source, closed};
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
            Some(Ending::ClosedPipe) if self.drain_until.is_none() => true,
            Some(Ending::End) => idle,
            Some(Ending::Drain) => idle && !self.reading || self.is_out_of_time(),
            // Nothing new is begun: it would end the same way.
            Some(Ending::Fatal(_) | Ending::ClosedPipe) => {
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
        // where reading stopped. Ctrl-C ends the output's reader as well, which is no reason to
        // lose them.
        let takes = drains || self.drain_until.is_some();
        self.reading &= takes && !self.source.replays();
        if drains && self.drain_until.is_none() {
            self.drain_until = Some(Instant::now() + self.limit());
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
        let is_asked = self.drain_until.is_some();
        let kept = match ending {
            _ if self.source.replays() => Ok(0),
            Ending::ClosedPipe if !is_asked => {
                if let Some(first) = self.unfinished().first() {
                    self.say_left_off(first.at, "the output's reader ended: not finished");
                }
                Ok(0)
            }
            Ending::End | Ending::Drain | Ending::Fatal(_) | Ending::ClosedPipe => {
                self.keep_unfinished().await
            }
        };
        let flushed = self.flush(&ending).await;
        let closed = self.source.close().await;
        if let Ending::Fatal(error) = ending {
            // What was not kept is said already.
            for error in [flushed.err(), closed.err()].into_iter().flatten() {
                warn!("{error}");
            }
            return Err(error);
        }
        let kept = kept?;
        flushed?;
        closed?;
        // What a topic gives is counted there: its end by a signal is the usual one.
        let counts = match ending {
            Ending::End => true,
            Ending::Drain | Ending::ClosedPipe => is_asked && !self.source.replays(),
            Ending::Fatal(_) => false,
        };
        Ok(if kept > 0 || counts && self.rejected > 0 { Exit::Failed } else { Exit::Done })
    }

    /// Whoever reads our output may sleep for ever: a program asked to end does not wait so long.
    async fn flush(&self, ending: &Ending) -> Result<()> {
        let sink = &self.worker.sink;
        let flushed = match ending {
            Ending::ClosedPipe => return Ok(()),
            Ending::End => sink.flush().await,
            Ending::Drain | Ending::Fatal(_) => {
                let flushed = tokio::time::timeout(self.limit(), sink.flush()).await;
                flushed.unwrap_or_else(|_| {
                    let operation = format!("write to {}", sink.name());
                    let seconds = self.limit().as_secs();
                    let cause = format!("what was written was not taken within {seconds} s");
                    Err(Error::retry(operation, cause))
                })
            }
        };
        // Only what was delivered is finished, so that nothing is missing.
        flushed.or_else(|error| if closed(&error) { Ok(()) } else { Err(error) })
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.policy.drain_ms_max)
    }

    /// What was taken and is neither finished nor a dead letter, oldest first.
    fn unfinished(&mut self) -> Vec<DeadLetter> {
        let bad = std::mem::take(&mut self.bad).into_values().map(Arc::unwrap_or_clone);
        let taken = self.lanes.take_all().into_iter().map(|taken| DeadLetter {
            record: taken.record,
            at: taken.at,
            origin: self.source.name(taken.at),
            error: "not finished when the program ended".to_owned(),
            attempts: 0,
        });
        let mut letters: Vec<_> = bad.chain(taken).collect();
        letters.sort_by_key(|letter| letter.at);
        letters
    }

    /// Lines taken from a pipe and not finished in time come from nowhere again: they are kept
    /// as dead letters, so that ending a program loses nothing.
    async fn keep_unfinished(&mut self) -> Result<usize> {
        let letters = self.unfinished();
        let places: Vec<_> = letters.iter().map(|letter| letter.at).collect();
        let put = self.worker.dead_letters.put_all(letters);
        let (kept, result) = tokio::time::timeout(self.limit(), put).await.unwrap_or_else(|_| {
            let cause = format!("not written within {} s", self.limit().as_secs());
            (0, Err(Error::retry("keep what was not finished", cause)))
        });
        self.counters.rejected.inc_by(kept as u64);
        if kept > 0 {
            warn!("{kept} lines were not finished and are kept as dead letters");
        }
        if let (Err(error), Some(first)) = (&result, places.get(kept)) {
            let line = first.offset;
            self.say_left_off(*first, &format!("{error}: from line {line} on nothing was kept"));
        }
        result.map(|()| kept)
    }

    /// Of a file or of a program that was fed to us nobody else knows how far we came.
    fn say_left_off(&mut self, at: Position, why: &str) {
        let line = at.offset;
        warn!("{why}: tail -n +{line} goes on from line {line}");
        self.source.left_off();
    }
}
