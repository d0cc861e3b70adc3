//! Requests to Stripe under way: they land, get lost, or land after their sender gave up on them.

use super::World;
use super::stripe::Fate;
use crate::in_force::holds;
use crate::sync::outbound::{self, Answer, Found, Step};
use crate::sync::rules::Rule;

/// A request under way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub number: u64,
    pub step: Step,
    pub customer: usize,
    /// The order of changes at Stripe when it was sent: what changed since did so meanwhile.
    pub sent: u32,
    pub sent_at: i64,
    /// Its sender gave up on it, crashed or lost the partition.
    pub detached: bool,
    pub answer: Option<Result<Answer, ()>>,
}

impl World {
    /// A request reaches Stripe, or is lost on the way.
    pub fn land(&mut self, at: usize) {
        if self.flights[at].answer.is_some() {
            return;
        }
        let fate = if self.rng.fault(self.mix.lost) {
            None
        } else if self.rng.fault(self.mix.answer_lost) {
            Some(Fate::AnswerLost)
        } else if self.rng.fault(self.mix.stored_error) {
            Some(Fate::StoredError(self.rng.chance(500)))
        } else {
            Some(Fate::Fine)
        };
        let Some(fate) = fate else {
            self.lose(at);
            return;
        };
        let now = self.now;
        let step = std::mem::replace(&mut self.flights[at].step, Step::Nothing);
        let (answer, effect) = self.stripe.perform(&step, fate, now, &mut self.rng);
        let flight = &mut self.flights[at];
        let (number, detached, sent) = (flight.number, flight.detached, flight.sent);
        let customer = flight.customer;
        self.log(|_| format!("#{number} lands ({fate:?}): {}", show_answer(answer.as_ref())));
        let truth = &self.truth[customer];
        let may_be_two = truth.restored || truth.unstamped;
        if matches!(answer, Ok(Answer::KeyReused)) && !may_be_two {
            self.fail(|| format!("one key, two requests: {}", show(&step)));
        }
        if let Some(effect) = effect {
            let other = |of: &&(usize, u64, Option<String>)| {
                of.0 == customer && of.1 > number && of.2.as_deref() != key_of(&step)
            };
            let overtaken = effect.last > sent || self.asked_for.iter().any(|of| other(&of));
            self.judge_effect(customer, &step, &effect, detached && overtaken);
        }
        self.flights[at].step = step;
        self.flights[at].answer = Some(answer);
        self.drop_if_detached(at);
    }

    pub fn lose(&mut self, at: usize) {
        let number = self.flights[at].number;
        self.log(|_| format!("#{number} is lost"));
        let is_look = matches!(self.flights[at].step, Step::Look { .. });
        let failed = if is_look && !holds(Rule::FailedLookIsNoAnswer) {
            Ok(Answer::Found(Found::Absent))
        } else {
            Err(())
        };
        self.flights[at].answer = Some(failed);
        self.drop_if_detached(at);
    }

    fn drop_if_detached(&mut self, at: usize) {
        let number = self.flights[at].number;
        let waited = self.zombies.iter().any(|zombie| zombie.slot.waits == Some(number));
        if self.flights[at].detached && !waited {
            self.flights.swap_remove(at);
        }
    }

    /// The sender stops waiting for its answer and will try again; the request may still land.
    pub fn give_up(&mut self, at: usize) {
        let (number, customer) = (self.flights[at].number, self.flights[at].customer);
        if self.flights[at].answer.is_some() || self.slots[customer].waits != Some(number) {
            return;
        }
        self.log(|_| format!("c{customer} gives up on #{number}"));
        self.flights[at].detached = true;
        self.slots[customer].waits = None;
        outbound::unanswered(&mut self.slots[customer].memory, &self.flights[at].step);
        self.retry(customer);
    }

    pub fn detach(&mut self, customer: usize) {
        if let Some(number) = self.slots[customer].waits
            && let Some(at) = self.flights.iter().position(|flight| flight.number == number)
        {
            self.flights[at].detached = true;
            if self.flights[at].answer.is_some() {
                self.drop_if_detached(at);
            }
        }
    }
}

pub fn key_of(step: &Step) -> Option<&str> {
    match step {
        Step::Create { key, .. } | Step::Update { key, .. } => Some(key),
        _ => None,
    }
}

pub fn show(step: &Step) -> String {
    match step {
        Step::Create { customer, fields, without, stamp, key } => format!(
            "create {customer} {} without {without:?} stamp {stamp} key {key}",
            super::show_fields(fields)
        ),
        Step::Update { id, fields, stamp, key, .. } => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(field, value)| format!("{field}={}", super::show_value(value.as_ref())))
                .collect();
            format!("update {id} {} stamp {stamp} key {key}", fields.join(" "))
        }
        other => format!("{other:?}"),
    }
}

fn show_answer(answer: Result<&Answer, &()>) -> String {
    match answer {
        Ok(Answer::Customer { snapshot, replayed }) => {
            format!(
                "{}{}",
                super::show_snapshot(snapshot),
                if *replayed { " replayed" } else { "" }
            )
        }
        Ok(other) => format!("{other:?}"),
        Err(()) => "no answer".into(),
    }
}
