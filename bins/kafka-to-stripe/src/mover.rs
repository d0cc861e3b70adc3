//! One customer's waiting change events: the newest stands for them all, and is brought to Stripe
//! step by step.

use std::sync::Arc;

use common::clock;
use common::endpoint::{Lease, Record, Taken};
use common::error::{Error, Kind};
use common::pump::{Handler, Verdict};
use common::record::{Change, Outcome, SyncResult};
use common::sync::outbound::{self, Answer, Job, Memory, Step};

use crate::edge::Edge;
use crate::memories::Memories;

/// Steps one event may take. The longest honest way (look, create, a refusal per field, read,
/// update) is far shorter; an event that wants more is tried again later.
const STEPS_MAX: u32 = 200;

/// Brings change events to Stripe.
#[derive(Debug)]
pub struct Mover {
    pub edge: Arc<Edge>,
    pub lease: Lease,
    pub memories: Memories,
}

impl Handler for Mover {
    async fn act(&self, lane: Vec<Taken>) -> Vec<Verdict> {
        let changes: Vec<_> = lane.iter().map(|taken| Change::parse(&taken.record.value)).collect();
        // A repeat or a second relay may bring an older version last: versions decide.
        let newest = changes
            .iter()
            .enumerate()
            .filter_map(|(index, change)| Some((change.as_ref().ok()?.data.version, index)))
            .max();
        let mut verdicts = Vec::with_capacity(lane.len());
        for (index, (change, taken)) in changes.into_iter().zip(&lane).enumerate() {
            verdicts.push(match change {
                Err(error) => reject(&error),
                Ok(change) if newest == Some((change.data.version, index)) => {
                    self.bring(change, taken).await
                }
                // The newest carries all that was still to be done.
                Ok(_) => Verdict::Done(Vec::new()),
            });
        }
        verdicts
    }
}

impl Mover {
    async fn bring(&self, change: Change, taken: &Taken) -> Verdict {
        let customer = change.subject.clone();
        let Some(mut job) = Job::new(change, taken.fresh) else {
            return Verdict::Done(Vec::new());
        };
        let mut memory = self.memories.recall(&customer, taken.at);
        let end = self.step_until_done(&mut job, &mut memory, taken).await;
        self.memories.keep(&customer, taken.at, memory);
        match end {
            Ok(None) => Verdict::Done(Vec::new()),
            Ok(Some(result)) => verdict(&customer, result),
            Err(error) => match error.kind {
                Kind::Retry => Verdict::Retry(error),
                Kind::Reject => reject(&error),
                Kind::Fatal => Verdict::Fatal(error),
            },
        }
    }

    async fn step_until_done(
        &self,
        job: &mut Job,
        memory: &mut Memory,
        taken: &Taken,
    ) -> Result<Option<SyncResult>, Error> {
        for _ in 0..STEPS_MAX {
            let step = outbound::next(job, memory, clock::now_ms());
            match step {
                Step::Nothing => return Ok(None),
                Step::Done(result) => return Ok(Some(result)),
                Step::Look { .. }
                | Step::Create { .. }
                | Step::Update { .. }
                | Step::Read { .. }
                | Step::Delete { .. } => {}
            }
            let answer = match self.perform(&step, taken).await {
                Ok(answer) => answer,
                Err(error) => {
                    outbound::unanswered(memory, &step);
                    return Err(error);
                }
            };
            if let Some(result) = outbound::answered(job, memory, &step, answer, clock::now_ms()) {
                return Ok(Some(result));
            }
        }
        let operation = format!("bring {} to Stripe", job.change.subject);
        Err(Error::retry(operation, format!("not done after {STEPS_MAX} steps")))
    }

    /// Waits for a turn, makes sure that the customer is still ours, and only then asks.
    async fn perform(&self, step: &Step, taken: &Taken) -> Result<Answer, Error> {
        let (edge, waiting) = (Arc::clone(&self.edge), step.clone());
        blocking(move || edge.wait_turn(&waiting)).await?;
        if !self.lease.held(taken.at).await? {
            return Err(Error::retry("ask Stripe", "the partition went to another instance"));
        }
        let (edge, step) = (Arc::clone(&self.edge), step.clone());
        blocking(move || edge.perform(&step)).await
    }
}

fn reject(error: &Error) -> Verdict {
    Verdict::Reject { why: error.to_string(), attempts: 1, outputs: Vec::new() }
}

fn verdict(customer: &str, result: SyncResult) -> Verdict {
    let record =
        Record { key: Some(customer.to_owned()), value: result.to_line(), headers: Vec::new() };
    if result.outcome == Outcome::Failed {
        let why = result.error.unwrap_or_default();
        return Verdict::Reject { why, attempts: 1, outputs: vec![record] };
    }
    Verdict::Done(vec![record])
}

/// Runs it on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => Err(Error::retry("ask Stripe", panicked)),
    }
}
