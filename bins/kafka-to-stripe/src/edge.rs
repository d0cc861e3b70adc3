//! Performs one step at Stripe and says what came of it, in the words of the sync rules. What time
//! may heal comes back as an error of kind `Retry`; what concerns the account slows everybody.

use std::sync::Arc;
use std::time::Duration;

use common::error::{Error, Kind, Result};
use common::record::Millis;
use common::stripe::rate::{Endpoint, Rate};
use common::stripe::{CallError, Client, Looker, Reply, Scope, Verdict, mapping, verdict};
use common::sync::outbound::{Answer, Found, Step};

/// After the network, Stripe or the account's rate failed one request, nobody asks for this long.
const ACCOUNT_PAUSE: Duration = Duration::from_millis(500);

/// Stripe, from where this program stands. Blocking: for threads of their own.
#[derive(Debug)]
pub struct Edge {
    client: Client,
    rate: Arc<Rate>,
    looker: Looker,
}

impl Edge {
    pub fn new(client: Client, rate: Arc<Rate>) -> Self {
        let looker = Looker::new(client.clone(), Arc::clone(&rate));
        Self { client, rate, looker }
    }

    /// Nobody waits for a turn any longer, and no further request goes out.
    pub fn close(&self) {
        self.rate.close();
    }

    /// Waits until this step may go out.
    pub fn wait_turn(&self, step: &Step) -> Result<()> {
        let endpoint = match step {
            Step::Create { .. } => Endpoint::Create,
            Step::Update { .. } => Endpoint::Update,
            Step::Read { .. } => Endpoint::Retrieve,
            Step::Delete { .. } => Endpoint::Delete,
            // A look-up takes a turn for each of its pages.
            Step::Look { .. } | Step::Nothing | Step::Done(_) => return Ok(()),
        };
        if self.rate.take(endpoint) {
            Ok(())
        } else {
            Err(Error::retry("ask Stripe", "the program is stopping"))
        }
    }

    /// Performs the step.
    pub fn perform(&self, step: &Step) -> Result<Answer> {
        match step {
            Step::Look { customer, since, .. } => self.look(customer, *since),
            Step::Create { customer, fields, without, stamp, key } => {
                let params = mapping::create_params(customer, fields, without, stamp);
                self.answer(self.client.create(&params, key))
            }
            Step::Update { customer, id, fields, stamp, key } => {
                let pairs = fields.iter().map(|(field, value)| (field, value.as_ref()));
                let params = mapping::update_params(customer, pairs, stamp);
                self.answer(self.client.update(id, &params, key))
            }
            Step::Read { id } => self.answer(self.client.retrieve(id)),
            Step::Delete { id } => self.answer(self.client.delete(id)),
            Step::Nothing | Step::Done(_) => {
                Err(Error::reject("ask Stripe", "there is nothing to ask"))
            }
        }
    }

    fn look(&self, customer: &str, since: Millis) -> Result<Answer> {
        use common::stripe::Found as Seen;
        Ok(Answer::Found(match self.looker.look(customer, since / 1000)? {
            Seen::Live(snapshots) => match snapshots.into_iter().next() {
                Some(snapshot) => Found::Live { id: snapshot.id },
                None => Found::Absent,
            },
            Seen::Gone(id) => Found::Gone { id },
            Seen::Absent => Found::Absent,
        }))
    }

    fn answer(&self, called: std::result::Result<Reply, CallError>) -> Result<Answer> {
        let too_many = matches!(&called, Ok(reply) if reply.status == 429);
        match verdict(called) {
            Verdict::Customer { snapshot, replayed, .. } => {
                Ok(Answer::Customer { snapshot, replayed })
            }
            Verdict::Refused { field: Some(field), why, .. } => Ok(Answer::Refused { field, why }),
            Verdict::Refused { field: None, param, why } => {
                Ok(Answer::Failed { why: format!("{param}: {why}") })
            }
            Verdict::KeyReused => Ok(Answer::KeyReused),
            Verdict::Missing => Ok(Answer::Missing),
            Verdict::StoredError(_) => Ok(Answer::StoredError),
            Verdict::Failed(why) => Ok(Answer::Failed { why }),
            Verdict::Retry { error, scope } => {
                match scope {
                    Scope::Account if too_many => self.rate.slow_down(),
                    Scope::Account => self.rate.pause(ACCOUNT_PAUSE),
                    Scope::Customer => {}
                }
                Err(error)
            }
            Verdict::Fatal(error) => Err(Error { kind: Kind::Fatal, ..error }),
        }
    }
}
