//! A batch of records: all their effects in one transaction, then Stripe is asked about the few
//! that are in doubt, and their effects come in a second one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use common::clock;
use common::endpoint::Taken;
use common::error::{Error, Kind, Result};
use common::pump::{Handler, Verdict};
use common::record::StripeEvent;
use common::store::{Store, Tx};

use crate::apply::{self, Applied, Question, Read};
use crate::ask::Ask;
use crate::input::Input;

/// How often a doubt is asked about anew when something else came in meanwhile.
const ASKED_AGAIN_MAX: u32 = 5;

/// Brings Stripe's side to the catalog.
#[derive(Clone, Debug)]
pub struct Mover {
    pub store: Arc<Mutex<Store>>,
    /// `None` without a key: then doubts wait for the next observation.
    pub ask: Option<Arc<Ask>>,
}

impl Handler for Mover {
    async fn act(&self, batch: Vec<Taken>) -> Vec<Verdict> {
        let mover = self.clone();
        let records = batch.len();
        let work = move || mover.act_blocking(&batch);
        match tokio::task::spawn_blocking(work).await {
            Ok(verdicts) => verdicts,
            Err(panicked) => {
                let error = Error::retry("apply records", panicked);
                vec![Verdict::Retry(error); records]
            }
        }
    }
}

/// The doubts about one Stripe customer, and the records that raised them.
#[derive(Debug)]
struct Open {
    question: Question,
    records: Vec<usize>,
    event_ids: Vec<String>,
}

impl Mover {
    fn act_blocking(&self, batch: &[Taken]) -> Vec<Verdict> {
        let inputs: Vec<_> = batch.iter().map(|taken| Input::parse(&taken.record.value)).collect();
        let (mut verdicts, applied) = self.apply_all(&inputs);
        let mut open: BTreeMap<String, Open> = BTreeMap::new();
        for (index, applied) in applied.into_iter().enumerate() {
            if let Some(Applied::Doubt(question)) = applied {
                let event_id = match &inputs[index] {
                    Ok(Input::Event(StripeEvent::Customer { id, .. })) => Some(id.clone()),
                    Ok(_) | Err(_) => None,
                };
                let of = open.entry(question.external_id.clone()).or_insert_with(|| Open {
                    question: question.clone(),
                    records: Vec::new(),
                    event_ids: Vec::new(),
                });
                of.question.doubt = of.question.doubt.clone().and(question.doubt);
                of.records.push(index);
                of.event_ids.extend(event_id);
            }
        }
        // One question answers all the doubts of a batch about one customer.
        for of in open.into_values() {
            let settled = self.settle(&of);
            for index in of.records {
                verdicts[index] = match &settled {
                    Ok(()) => Verdict::Done(Vec::new()),
                    Err(error) => verdict(error),
                };
            }
        }
        verdicts
    }

    /// Applies them in one transaction; if that is refused for good, each in one of its own, so
    /// that only the one to blame is refused.
    fn apply_all(&self, inputs: &[Result<Input>]) -> (Vec<Verdict>, Vec<Option<Applied>>) {
        let now = clock::now_ms();
        let all = self.write(|tx| {
            let one = |input: &Result<Input>| match input {
                Ok(input) => apply::apply(tx, input, now).map(Some),
                Err(_) => Ok(None),
            };
            inputs.iter().map(one).collect::<Result<Vec<_>>>()
        });
        let each: Vec<Result<Option<Applied>>> = match all {
            Ok(applied) => applied.into_iter().map(Ok).collect(),
            Err(error) if error.kind == Kind::Reject && inputs.len() > 1 => inputs
                .iter()
                .map(|input| match input {
                    Ok(input) => self.write(|tx| apply::apply(tx, input, now).map(Some)),
                    Err(_) => Ok(None),
                })
                .collect(),
            Err(error) => inputs.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut verdicts = Vec::with_capacity(inputs.len());
        let mut applied = Vec::with_capacity(inputs.len());
        for (input, did) in inputs.iter().zip(each) {
            verdicts.push(match (input, &did) {
                (Err(bad), _) => verdict(bad),
                (Ok(_), Err(error)) => verdict(error),
                (Ok(_), Ok(_)) => Verdict::Done(Vec::new()),
            });
            applied.push(did.ok().flatten());
        }
        (verdicts, applied)
    }

    fn settle(&self, open: &Open) -> Result<()> {
        let mut question = open.question.clone();
        let Some(ask) = &self.ask else {
            log::warn!(
                "customer {} is in doubt and there is no key to read it from Stripe: \
                 the next event about it settles it",
                question.customer
            );
            let nothing = Read { snapshot: None, date: 0 };
            return self.settle_with(&question, &nothing, &open.event_ids).map(|_| ());
        };
        for _ in 0..=ASKED_AGAIN_MAX {
            // What was observed before the question is older than the answer.
            question.doubt.observed = self.observed(&question)?;
            let read = ask.read(&question.external_id)?;
            match self.settle_with(&question, &read, &open.event_ids)? {
                Applied::Done => return Ok(()),
                Applied::Doubt(again) => question = again,
            }
        }
        let operation = format!("settle the doubt about customer {}", question.customer);
        Err(Error::retry(operation, "something else comes in whenever Stripe is asked"))
    }

    fn settle_with(&self, question: &Question, read: &Read, ids: &[String]) -> Result<Applied> {
        self.write(|tx| apply::settle(tx, question, read, ids, clock::now_ms()))
    }

    fn observed(&self, question: &Question) -> Result<u64> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = store.entry(&question.customer)?;
        let sync = entry.as_ref().and_then(|entry| entry.systems.get(common::record::STRIPE));
        Ok(sync.map_or(question.doubt.observed, |sync| sync.observed))
    }

    fn write<T>(&self, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).write(work)
    }
}

fn verdict(error: &Error) -> Verdict {
    match error.kind {
        Kind::Retry => Verdict::Retry(error.clone()),
        Kind::Reject => Verdict::reject(error.to_string()),
        Kind::Fatal => Verdict::Fatal(error.clone()),
    }
}
