//! One call of the handler and what follows from it: outputs are delivered and dead letters
//! durable before the loop hears that a record is finished.

use std::sync::Arc;

use log::{debug, warn};

use super::lanes::{Batch, LaneKey};
use super::{Counters, Handler, Verdict, backoff};
use crate::endpoint::dead_letters::{DeadLetter, DeadLetters};
use crate::endpoint::{Delivery, Position, Record, Sink, closed};
use crate::error::{Error, Kind, Result};

/// What the loop does with a record.
#[derive(Debug)]
pub enum Fate {
    Done,
    /// It is a dead letter now.
    Rejected,
    Retry(Error),
    Fatal(Error),
    ClosedPipe,
}

/// A call that ended.
#[derive(Debug)]
pub enum Finished {
    Lane {
        key: LaneKey,
        batch: Batch,
        fates: Vec<Fate>,
    },
    /// A line that was no record.
    Buried {
        at: Position,
        result: Result<()>,
    },
}

/// What a call needs; each call has its own clone.
#[derive(Debug)]
pub struct Worker<K, H> {
    pub sink: K,
    pub dead_letters: DeadLetters,
    pub handler: Arc<H>,
    pub counters: Counters,
}

impl<K: Clone, H> Clone for Worker<K, H> {
    fn clone(&self) -> Self {
        Self {
            sink: self.sink.clone(),
            dead_letters: self.dead_letters.clone(),
            handler: Arc::clone(&self.handler),
            counters: self.counters.clone(),
        }
    }
}

/// A record that can never succeed.
struct Rejection {
    why: String,
    attempts: u32,
}

impl<K: Sink, H: Handler> Worker<K, H> {
    pub async fn act(
        &self,
        key: LaneKey,
        batch: Batch,
        origins: Vec<String>,
        attempt: u32,
    ) -> Finished {
        let verdicts = self.handler.act(batch.to_vec()).await;
        if verdicts.len() != batch.len() {
            let cause = format!("{} verdicts for {} records", verdicts.len(), batch.len());
            let error = Error::reject("act on records", cause);
            let fates = batch.iter().map(|_| Fate::Fatal(error.clone())).collect();
            return Finished::Lane { key, batch, fates };
        }
        let mut outputs = Vec::new();
        let mut rejections = Vec::new();
        let mut fates = Vec::with_capacity(batch.len());
        for (index, verdict) in verdicts.into_iter().enumerate() {
            let (fate, sent) = match verdict {
                Verdict::Done(sent) => (Fate::Done, sent),
                Verdict::Reject { why, attempts, outputs } => {
                    rejections.push((index, Rejection { why, attempts }));
                    (Fate::Rejected, outputs)
                }
                Verdict::Retry(error) => (Fate::Retry(error), Vec::new()),
                Verdict::Fatal(error) => (Fate::Fatal(error), Vec::new()),
            };
            fates.push(fate);
            outputs.extend(sent.into_iter().map(|record| (index, record)));
        }
        for (index, error) in deliver(&self.sink, outputs).await {
            if closed(&error) {
                fates[index] = Fate::ClosedPipe;
                continue;
            }
            match error.kind {
                // The output can never be written, so the record can never be finished.
                Kind::Reject => {
                    let why = format!("its output was refused: {error}");
                    rejections.retain(|(rejected, _)| *rejected != index);
                    rejections.push((index, Rejection { why, attempts: attempt }));
                    fates[index] = Fate::Rejected;
                }
                Kind::Retry => fates[index] = Fate::Retry(error),
                Kind::Fatal => fates[index] = Fate::Fatal(error),
            }
        }
        for (index, rejection) in rejections {
            if !matches!(fates[index], Fate::Rejected) {
                continue;
            }
            let letter = DeadLetter {
                record: batch[index].record.clone(),
                at: batch[index].at,
                origin: origins[index].clone(),
                error: rejection.why,
                attempts: rejection.attempts,
            };
            if let Err(error) = self.put(&letter).await {
                fates[index] = Fate::Fatal(error);
            }
        }
        Finished::Lane { key, batch, fates }
    }

    pub async fn bury(&self, letter: Arc<DeadLetter>) -> Finished {
        Finished::Buried { at: letter.at, result: self.put(&letter).await }
    }

    /// Returns when the dead letter is durable; only an error that time does not heal comes back.
    async fn put(&self, letter: &DeadLetter) -> Result<()> {
        let mut attempts = 0;
        loop {
            match self.dead_letters.put(letter.clone()).await {
                Ok(()) => {
                    self.counters.rejected.inc();
                    let DeadLetter { origin, at, error, .. } = letter;
                    let place = if origin == "-" {
                        format!("- line {}", at.offset)
                    } else {
                        format!("{origin} partition {} offset {}", at.partition, at.offset)
                    };
                    // A line that was no record names itself already.
                    let named = format!("line {}: ", at.offset);
                    let error = error.strip_prefix(&named).unwrap_or(error);
                    warn!("{place}: {error}; kept as a dead letter");
                    return Ok(());
                }
                Err(error) => match error.kind {
                    Kind::Retry => {
                        attempts += 1;
                        again(&error, attempts).await;
                    }
                    // Too large for its topic: not dropped, so the operator must look.
                    Kind::Reject | Kind::Fatal => {
                        return Err(Error::fatal(error.operation, error.cause)
                            .hint("dead letters must go somewhere: --dlq names the place"));
                    }
                },
            }
        }
    }
}

/// Sends all in order and waits for all reports. A sink that gave up is reopened, and everything
/// from its lowest unreported record on is sent again: repeats are expected, gaps are not.
/// Returns the errors that time does not heal, by the place of the record they belong to.
async fn deliver<K: Sink>(sink: &K, outputs: Vec<(usize, Record)>) -> Vec<(usize, Error)> {
    let mut errors = Vec::new();
    let mut left = outputs;
    let mut attempts = 0;
    while !left.is_empty() {
        let (unsent, error) = deliver_once(sink, left, &mut errors).await;
        left = unsent;
        let Some(error) = error else { continue };
        attempts += 1;
        again(&error, attempts).await;
        if let Err(error) = sink.reopen().await {
            match error.kind {
                Kind::Retry => debug!("{error}"),
                Kind::Fatal | Kind::Reject => {
                    errors.extend(left.drain(..).map(|(index, _)| (index, error.clone())));
                }
            }
        }
    }
    errors
}

/// Returns what has to be sent again, and why.
async fn deliver_once<K: Sink>(
    sink: &K,
    outputs: Vec<(usize, Record)>,
    errors: &mut Vec<(usize, Error)>,
) -> (Vec<(usize, Record)>, Option<Error>) {
    let mut sent: Vec<(usize, Record, Delivery)> = Vec::with_capacity(outputs.len());
    let mut failed = None;
    let mut unsent = Vec::new();
    for (index, record) in outputs {
        if failed.is_some() {
            unsent.push((index, record));
            continue;
        }
        match sink.enqueue(record.clone()).await {
            Ok(delivery) => sent.push((index, record, delivery)),
            Err(error) if error.kind == Kind::Retry && !closed(&error) => {
                failed = Some(error);
                unsent.push((index, record));
            }
            Err(error) => errors.push((index, error)),
        }
    }
    let mut again = Vec::new();
    for (index, record, delivery) in sent {
        match delivery.delivered().await {
            // One behind a lost one went through: sent again too, so that the order holds.
            Ok(_) if again.is_empty() => {}
            Ok(_) => again.push((index, record)),
            Err(error) if error.kind == Kind::Retry && !closed(&error) => {
                failed = Some(error);
                again.push((index, record));
            }
            Err(error) => errors.push((index, error)),
        }
    }
    again.extend(unsent);
    (again, failed)
}

async fn again(error: &Error, attempts: u32) {
    // Said at 4, 8, 16 … tries: a short outage is no news, a long one is, but not each second.
    if attempts >= 4 && attempts.is_power_of_two() {
        warn!("{error}; trying again");
    } else {
        debug!("{error}; trying again");
    }
    tokio::time::sleep(backoff::wait(attempts)).await;
}
