//! What hook-to-catalog does: it takes results in (`take_result`), and events (`take_event`), or
//! asks Stripe about an event in doubt and takes the answer in (`ask_about`).
//!
//! Nothing happens when the record of an event in doubt is taken: there is a question now, which
//! says what the event said. So that is no act of its own. Of every event that waits it is kept
//! whether it would have been in doubt at any moment since it came (`find_doubts`); from then on
//! Stripe may be asked about it, and as long as it is not in doubt it may be taken in as well: as
//! if its record was taken then, or comes only now.
//!
//! Nor can anything come between the question and its answer that could not come before or after:
//!
//! - an event that counts makes the answer void, and it is asked again (rule 7). That this is so
//!   is looked at with every answer (`is_void`);
//! - an edit by the API, a result, and an event that is stale do not change what Stripe answers:
//!   they come before the question as well;
//! - what happens at Stripe, or in the mover, does not change what is done with the answer: it
//!   comes after that as well.
//!
//! So a crash with a question open, a question lost, and a record that comes again because its
//! offset was not stored are nothing: the first two leave the event as it was, and after its
//! transaction the inbox knows it.

use std::rc::Rc;

use super::super::World;
use super::super::hook::{Hooked, Question};
use super::super::stripe::Stripe;
use super::{Scope, Times};
use crate::sync::inbound::on_snapshot;
use crate::sync::results;
use crate::sync::{Doubt, Seen};
use common::record::STRIPE;

/// So many results may be the next one in `World::result`.
const RESULTS_NEXT: usize = 3;

impl World {
    /// Whether this event would be in doubt now.
    fn doubt_of(&self, number: usize) -> Option<Doubt> {
        let event = &self.stripe.events[number];
        let mut entry = self.entries[0].clone();
        let seen = Seen::Event { created: event.created, previous: &event.previous };
        on_snapshot(&mut entry, STRIPE, &event.snapshot, &seen, &self.policy, self.now).doubt
    }

    /// Of the records that wait, from this one on: whether an event is in doubt changes only with
    /// what was seen.
    pub(super) fn find_doubts(&mut self, from: usize) {
        for at in from..self.hooked.len() {
            let Hooked::Event(number) = self.hooked[at] else { continue };
            if self.is_open(number) {
                continue;
            }
            if let Some(doubt) = self.doubt_of(number) {
                let object = Stripe::index(&self.stripe.events[number].snapshot.id).unwrap_or(0);
                let event = Some(number);
                self.questions.push(Question { customer: 0, object, event, doubt, answer: None });
            }
        }
    }

    fn is_open(&self, number: usize) -> bool {
        self.questions.iter().any(|question| question.event == Some(number))
    }

    /// Whether anything that waits can be taken in: it is not in doubt now.
    pub(super) fn may_take(&self, at: usize) -> bool {
        match self.hooked[at] {
            Hooked::Event(number) => !self.is_open(number) || self.doubt_of(number).is_none(),
            Hooked::Listed(_) => false,
        }
    }

    pub(super) fn take_event(&mut self) -> bool {
        let at = self.rng.below(self.hooked.len());
        // The first choice is between questions and records.
        let which = [0].into_iter().filter(|_| !self.questions.is_empty());
        let choices: Vec<u32> = which.chain((self.hooked.len() > 1).then_some(at as u32)).collect();
        self.with(&choices, Self::hook)
    }

    /// One that comes again is to do nothing: so it need not.
    pub(super) fn take_result(&mut self) -> bool {
        let at = self.rng.below(self.results.len().min(RESULTS_NEXT));
        let result = Rc::clone(&self.results[at]);
        self.with(&[at as u32], Self::result);
        let mut again = self.entries[0].clone();
        results::on_result(&mut again, &result, self.policy.deletes, self.now);
        if again != self.entries[0] {
            self.fail(|| "a result does something when it comes again".into());
        }
        true
    }

    /// In the same second as the last change at Stripe, or later.
    pub(super) fn ask_about(&mut self, scope: &Scope) -> bool {
        let at = self.rng.below(self.questions.len());
        let later = scope.times != Times::Same && self.rng.below(2) == 1;
        self.tick(later);
        let last = self.questions.len() - 1;
        self.questions.swap(at, last);
        let choices = [last as u32];
        self.with(&choices, Self::question);
        if !self.is_void(last) {
            self.fail(|| "an answer counts though something was observed meanwhile".into());
        }
        self.with(&choices, Self::question)
    }

    /// Would this answer be asked for again, and nothing else be done, had anything been observed
    /// since it was asked for?
    fn is_void(&self, at: usize) -> bool {
        let question = &self.questions[at];
        let Some((snapshot, _, date)) = &question.answer else { return false };
        let mut entry = self.entries[0].clone();
        let mut doubt = question.doubt.clone();
        doubt.observed = doubt.observed.wrapping_sub(1);
        let seen = Seen::Read { date: *date, doubt: &doubt };
        let took = on_snapshot(&mut entry, STRIPE, snapshot, &seen, &self.policy, self.now);
        // With a doubt nothing else is done.
        took.doubt.is_some_and(|again| {
            (&again.late, &again.edits) == (&question.doubt.late, &question.doubt.edits)
        })
    }
}
