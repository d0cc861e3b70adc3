//! Asks Stripe for a customer that the rules are in doubt about. Reading is all it may do.

use std::sync::Arc;

use common::clock;
use common::error::{Error, Result};
use common::metrics::{IntCounter, Metrics};
use common::stripe::client::Client;
use common::stripe::rate::{Endpoint, Rate};
use common::stripe::{Verdict, verdict};

use crate::apply::Read;

/// How often Stripe's side was in doubt, and how often it was asked.
#[derive(Clone, Debug)]
pub struct Doubts {
    pub raised: IntCounter,
    pub asked: IntCounter,
}

impl Doubts {
    pub fn new(metrics: &Metrics) -> Result<Self> {
        Ok(Self {
            raised: metrics.counter(
                "hook_to_catalog_doubts_total",
                "snapshots that left it in doubt what Stripe has",
            )?,
            asked: metrics.counter(
                "hook_to_catalog_reads_total",
                "customers read from Stripe to settle a doubt",
            )?,
        })
    }
}

/// Stripe, to be read. Blocking: for threads of their own.
#[derive(Debug)]
pub struct Ask {
    pub client: Client,
    pub rate: Arc<Rate>,
}

impl Ask {
    /// The customer as Stripe has it now, and the time of Stripe's answer.
    pub fn read(&self, id: &str) -> Result<Read> {
        if !self.rate.take(Endpoint::Retrieve) {
            return Err(Error::retry("read customer from Stripe", "the program is stopping"));
        }
        let called = self.client.retrieve(id);
        let answered_at = called.as_ref().ok().and_then(|reply| reply.date);
        let too_many = matches!(&called, Ok(reply) if reply.status == 429);
        // An answer without a date is dated by our own clock: it is seconds old at most.
        let date = answered_at.unwrap_or_else(|| clock::now_ms() / 1000);
        match verdict(called) {
            Verdict::Customer { snapshot, .. } => Ok(Read { snapshot, date }),
            // A deleted customer is answered as deleted: this one was never there for this key.
            Verdict::Missing => Err(Error::reject(
                "read customer from Stripe",
                format!("Stripe does not know {id}: is the key of another account or mode?"),
            )),
            Verdict::Retry { error, .. } | Verdict::StoredError(error) => {
                if too_many {
                    self.rate.slow_down();
                }
                Err(error)
            }
            Verdict::Fatal(error) => Err(error),
            Verdict::Failed(why) | Verdict::Refused { why, .. } => {
                Err(Error::reject("read customer from Stripe", why))
            }
            Verdict::KeyReused => {
                Err(Error::reject("read customer from Stripe", "a GET has no idempotency key"))
            }
        }
    }
}
