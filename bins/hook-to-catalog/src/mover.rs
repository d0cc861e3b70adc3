//! What waits of one customer: all its effects in one transaction (shared with other customers'
//! that wait), then Stripe is asked if the rules are in doubt, and that has its effects.

use std::sync::Arc;

use common::clock;
use common::endpoint::Taken;
use common::error::{Error, Kind, Result};
use common::pump::{Handler, Verdict};
use common::record::{STRIPE, StripeEvent};
use common::store::Writer;
use common::sync::Policy;

use crate::apply::{self, Applied, Here, Question, Read};
use crate::ask::{Ask, Doubts};
use crate::input::Input;

/// How often a doubt is asked about anew when something else came in meanwhile.
const ASKED_AGAIN_MAX: u32 = 5;

/// Brings Stripe's side to the catalog.
#[derive(Clone, Debug)]
pub struct Mover {
    pub writer: Writer,
    /// `None` without a key: then one write of the stamp settles a doubt.
    pub ask: Option<Arc<Ask>>,
    pub doubts: Doubts,
    pub policy: Arc<Policy>,
}

impl Handler for Mover {
    async fn act(&self, lane: Vec<Taken>) -> Vec<Verdict> {
        let (mover, records) = (self.clone(), lane.len());
        match tokio::task::spawn_blocking(move || mover.act_blocking(&lane)).await {
            Ok(verdicts) => verdicts,
            Err(panicked) => {
                let error = Error::retry("apply records", panicked);
                (0..records).map(|_| Verdict::Retry(error.clone())).collect()
            }
        }
    }
}

/// A doubt, and the records and events that raised it.
#[derive(Debug)]
struct Open {
    question: Question,
    records: Vec<usize>,
    event_ids: Vec<String>,
}

impl Mover {
    fn act_blocking(&self, lane: &[Taken]) -> Vec<Verdict> {
        let mut inputs = Vec::with_capacity(lane.len());
        let mut verdicts = Vec::with_capacity(lane.len());
        for (index, taken) in lane.iter().enumerate() {
            match Input::parse(&taken.record.value) {
                Ok(input) => {
                    inputs.push((index, input));
                    verdicts.push(Verdict::Done(Vec::new()));
                }
                Err(error) => verdicts.push(verdict(&error)),
            }
        }
        let inputs = Arc::new(inputs);
        let applied = self.apply_all(&inputs);
        let mut open: Vec<Open> = Vec::new();
        for ((index, input), applied) in inputs.iter().zip(applied) {
            match applied {
                Ok(Applied::Done) => {}
                Ok(Applied::PutAside) => self.doubts.raised.inc(),
                Ok(Applied::Doubt(question)) => {
                    self.doubts.raised.inc();
                    raise(&mut open, question, *index, input);
                }
                Err(error) => verdicts[*index] = verdict(&error),
            }
        }
        // Without a key none is left open.
        let Some(ask) = &self.ask else { return verdicts };
        for of in open {
            if let Err(error) = self.settle(&of, ask) {
                for index in of.records {
                    verdicts[index] = verdict(&error);
                }
            }
        }
        verdicts
    }

    /// Applies them together; if that is refused for good, each alone, so that only the one to
    /// blame is refused.
    fn apply_all(&self, inputs: &Arc<Vec<(usize, Input)>>) -> Vec<Result<Applied>> {
        let (now, asks) = (clock::now_ms(), self.ask.is_some());
        let apply = |from: usize, to: usize| {
            let (inputs, policy) = (Arc::clone(inputs), Arc::clone(&self.policy));
            self.writer.run(move |tx| {
                let here = Here { now, asks, policy: &policy };
                inputs[from..to].iter().map(|(_, input)| apply::apply(tx, input, here)).collect()
            })
        };
        match apply(0, inputs.len()) {
            Ok::<Vec<Applied>, _>(applied) => applied.into_iter().map(Ok).collect(),
            Err(error) if error.kind == Kind::Reject && inputs.len() > 1 => (0..inputs.len())
                .map(|index| apply(index, index + 1)?.pop().ok_or_else(|| error.clone()))
                .collect(),
            Err(error) => inputs.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn settle(&self, open: &Open, ask: &Ask) -> Result<()> {
        let mut question = open.question.clone();
        for _ in 0..=ASKED_AGAIN_MAX {
            // What was observed before the question is older than its answer.
            question.doubt.observed = self.observed(&question)?;
            self.doubts.asked.inc();
            let read = ask.read(&question.external_id)?;
            match self.settle_with(&question, &read, &open.event_ids)? {
                Applied::Done | Applied::PutAside => return Ok(()),
                Applied::Doubt(again) => question = again,
            }
        }
        let operation = format!("settle the doubt about customer {}", question.customer);
        Err(Error::retry(operation, "something else comes in whenever Stripe is asked"))
    }

    fn settle_with(&self, question: &Question, read: &Read, ids: &[String]) -> Result<Applied> {
        let (question, read, ids) = (question.clone(), read.clone(), ids.to_vec());
        let (now, policy) = (clock::now_ms(), Arc::clone(&self.policy));
        self.writer.run(move |tx| {
            let here = Here { now, asks: true, policy: &policy };
            apply::settle(tx, &question, &read, &ids, here)
        })
    }

    fn observed(&self, question: &Question) -> Result<u64> {
        let (id, known) = (question.customer.clone(), question.doubt.observed);
        self.writer.run(move |tx| {
            let entry = tx.entry(&id)?;
            let sync = entry.as_ref().and_then(|entry| entry.systems.get(STRIPE));
            Ok(sync.map_or(known, |sync| sync.observed))
        })
    }
}

/// One question answers all the doubts of a batch about one customer.
fn raise(open: &mut Vec<Open>, question: Question, index: usize, input: &Input) {
    let event_id = match input {
        Input::Event(StripeEvent::Customer { id, .. }) => Some(id.clone()),
        Input::Event(StripeEvent::Other { .. }) | Input::Result(_) | Input::Snapshot(_) => None,
    };
    match open.iter_mut().find(|of| of.question.external_id == question.external_id) {
        Some(of) => {
            of.question.doubt = of.question.doubt.clone().and(question.doubt);
            of.records.push(index);
            of.event_ids.extend(event_id);
        }
        None => open.push(Open {
            question,
            records: vec![index],
            event_ids: event_id.into_iter().collect(),
        }),
    }
}

fn verdict(error: &Error) -> Verdict {
    match error.kind {
        Kind::Retry => Verdict::Retry(error.clone()),
        Kind::Reject => {
            Verdict::Reject { why: error.to_string(), attempts: 1, outputs: Vec::new() }
        }
        Kind::Fatal => Verdict::Fatal(error.clone()),
    }
}
