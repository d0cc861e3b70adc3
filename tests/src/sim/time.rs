//! What happens by itself: webhooks go out, time goes by, the broker is lost; and how a history ends.

use std::rc::Rc;

use common::record::STRIPE;

use super::hook::Hooked;
use super::mix::Mix;
use super::requests::Flight;
use super::stripe::KEY_KEPT_MS;
use super::{World, show_snapshot};
use crate::sync::outbound::{KEY_PERIOD_MS, KEY_TRUST_MS};
use crate::sync::repeat;

/// No request lands later than this after it was sent: networks forget.
const LANDS_WITHIN_MS: i64 = 20 * 60 * 1000;

/// Rounds of delivering everything after faults have stopped; more means that it never settles.
const ROUNDS_MAX: u32 = 40;

impl World {
    /// Stripe sends each event out once; some never arrive.
    pub(super) fn send_webhooks(&mut self) {
        self.inbox.resize(self.stripe.events.len(), false);
        while self.sent_out < self.stripe.events.len() {
            let number = self.sent_out;
            self.sent_out += 1;
            self.log(|w| {
                let event = &w.stripe.events[number];
                format!(
                    "Stripe makes evt_{number} {:?} at {} {} previous {:?}",
                    event.kind,
                    event.created,
                    show_snapshot(&event.snapshot),
                    event.previous
                )
            });
            if !self.mix.one_way && !self.rng.fault(self.mix.webhook_dropped) {
                self.webhooks.push(number);
            }
        }
    }

    pub(super) fn webhook(&mut self) -> bool {
        if self.webhooks.is_empty() {
            return false;
        }
        let at = self.rng.below(self.webhooks.len());
        let again = !self.drains && self.rng.fault(self.mix.webhook_twice);
        let number = if again { self.webhooks[at] } else { self.webhooks.swap_remove(at) };
        self.stripe.events[number].delivered = true;
        self.hooked.push(Hooked::Event(number));
        true
    }

    /// stripe-tail reads the events and hands on what webhooks missed, or all of it.
    pub(super) fn tail(&mut self) -> bool {
        let mut any = false;
        if self.mix.one_way {
            return false;
        }
        for number in 0..self.stripe.events.len() {
            if !self.stripe.events[number].delivered {
                self.stripe.events[number].delivered = true;
                self.hooked.push(Hooked::Event(number));
                any = true;
            }
        }
        any
    }

    /// What has not landed by now never will.
    pub(super) fn forget_requests(&mut self) {
        let now = self.now;
        let old =
            |flight: &Flight| flight.answer.is_none() && now - flight.sent_at > LANDS_WITHIN_MS;
        while let Some(at) = self.flights.iter().position(old) {
            if self.mix.lost > 0 {
                self.lose(at);
            } else {
                self.land(at);
                return;
            }
        }
    }

    /// A day goes by. Requests under way land before, or never.
    pub(super) fn day_gap(&mut self) -> bool {
        while let Some(at) = self.flights.iter().position(|flight| flight.answer.is_none()) {
            self.land(at);
        }
        let hours = [22, 23, 24, 25][self.rng.below(4)];
        self.now += hours * 3_600_000 + self.rng.between(0, 3_600_000);
        self.log(|_| format!("{hours} hours go by"));
        true
    }

    /// Time goes on to about the next moment at which a create's keys change or are forgotten.
    pub(super) fn period_edge(&mut self, customer: usize) -> bool {
        let first_at = self.entries[customer].systems.get(STRIPE).and_then(|sync| sync.first_at);
        let Some(first_at) = first_at else { return false };
        let edge = [KEY_TRUST_MS, KEY_PERIOD_MS, KEY_KEPT_MS][self.rng.below(3)];
        let at = first_at + edge + self.rng.between(-10, 10) * 60_000;
        if at <= self.now {
            return false;
        }
        self.now = at;
        self.log(|_| {
            format!("it is {} min after c{customer} was announced", (at - first_at) / 60_000)
        });
        self.forget_requests();
        true
    }

    /// The broker comes back empty. The catalog announces again; Stripe's events are read again.
    pub(super) fn broker_loss(&mut self) -> bool {
        self.log(|_| "the broker is lost".into());
        self.hooked.clear();
        self.results.clear();
        self.questions.clear();
        for customer in 0..self.slots.len() {
            self.detach(customer);
        }
        for partition in 0..self.partitions.len() {
            self.partitions[partition].log.clear();
            self.partitions[partition].put_back.clear();
            self.partitions[partition].committed = 0;
            self.assign(partition);
        }
        for event in &mut self.stripe.events {
            event.delivered = false;
        }
        for customer in 0..self.entries.len() {
            self.repeat(customer, true);
        }
        true
    }

    /// Faults stop; everything is delivered, and what stays pending is announced until it is done.
    pub(super) fn drain(&mut self) {
        let mix = Mix {
            lost: 0,
            answer_lost: 0,
            stored_error: 0,
            webhook_dropped: 0,
            crash: 0,
            slow: 0,
            ..Mix::clone(&self.mix)
        };
        self.mix = Rc::new(mix);
        self.drains = true;
        self.log(|_| "faults stop".into());
        for _ in 0..ROUNDS_MAX {
            self.deliver();
            self.judge_prompt();
            if self.failed.is_some() {
                return;
            }
            let known = self.entries.iter().zip(&self.lost).filter(|(_, lost)| !**lost);
            let due = known.filter_map(|(entry, _)| repeat::due_at(entry, STRIPE)).min();
            let Some(due) = due else { return };
            self.now = self.now.max(due) + 1;
            for customer in 0..self.entries.len() {
                self.repeat(customer, false);
            }
        }
        self.fail(|| "it never settles: something is announced again and again".into());
    }

    fn deliver(&mut self) {
        for _ in 0..2000 {
            while let Some(at) = self.flights.iter().position(|flight| flight.answer.is_none()) {
                self.land(at);
            }
            self.send_webhooks();
            let mut moved = self.tail_if_quiet();
            moved |= self.relay() | self.webhook() | self.hook() | self.result() | self.wake();
            for customer in 0..self.entries.len() {
                moved |= self.mover(customer);
            }
            if !moved || self.failed.is_some() {
                return;
            }
            self.now += 200;
        }
        self.fail(|| "it never comes to rest".into());
    }

    fn tail_if_quiet(&mut self) -> bool {
        self.webhooks.is_empty() && self.hooked.is_empty() && self.tail()
    }
}
