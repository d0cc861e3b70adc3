//! What may happen next, one thing at a time.

use std::rc::Rc;

use super::World;
use super::mix::Act;

impl World {
    /// One thing happens. False if it could not.
    pub(super) fn act(&mut self) -> bool {
        let total: u32 = self.mix.weights.iter().map(|(weight, _)| weight).sum();
        let mut left = self.rng.below(total as usize) as u32;
        let mix = Rc::clone(&self.mix);
        let act = mix.weights.iter().find(|(weight, _)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        let Some((_, act)) = act else { return false };
        let moved = self.perform(*act);
        self.forget_requests();
        if moved {
            self.now += self.rng.between(0, 1500);
        }
        self.send_webhooks();
        moved
    }

    pub fn perform(&mut self, act: Act) -> bool {
        let customer = self.rng.below(self.entries.len());
        let any = !self.entries.is_empty();
        match act {
            Act::ApiCreate => self.api_create(),
            Act::ApiEdit => self.api_edit(),
            Act::ApiDelete => self.api_delete(),
            Act::PersonCreate => self.person_create(),
            Act::PersonEdit => self.person_edit(),
            Act::PersonDelete => self.person_delete(),
            Act::PersonCopy => self.person_copy(),
            Act::PersonUnstamp => self.person_unstamp(),
            Act::SideEffect => self.side_effect(),
            Act::Relay => self.relay(),
            Act::RelayCrash => self.relay_crash(),
            Act::StaleRelay => self.stale_relay(),
            Act::Mover => any && self.mover(customer),
            Act::Land => self.some_flight().is_some_and(|at| {
                self.land(at);
                true
            }),
            Act::GiveUp => self.some_flight().is_some_and(|at| {
                self.give_up(at);
                true
            }),
            Act::MoverCrash => {
                any && {
                    self.log(|_| format!("the instance of c{customer} crashes"));
                    self.crash_mover(customer);
                    true
                }
            }
            Act::Rebalance => {
                any && self.two && {
                    self.rebalance(customer);
                    true
                }
            }
            Act::Wake => self.wake(),
            Act::Webhook => self.webhook(),
            Act::Hook => self.hook(),
            Act::HookCrash => self.hook_crash(),
            Act::HookRebalance => self.hook_rebalance(),
            Act::Result => self.result(),
            Act::Repeat => any && self.repeat(customer, false),
            Act::Tail => self.tail(),
            Act::Listing => {
                let object = self.rng.below(self.stripe.customers.len());
                object < self.stripe.customers.len() && {
                    self.list(object);
                    true
                }
            }
            Act::Minutes => {
                self.now += self.rng.between(1, 400) * 1000;
                true
            }
            Act::DayGap => self.day_gap(),
            Act::PeriodEdge => any && self.period_edge(customer),
            Act::Redrive => any && self.redrive(customer),
            Act::BrokerLoss => self.broker_loss(),
            Act::BackUp => self.back_up(),
            Act::Restore => self.restore(),
        }
    }

    fn some_flight(&mut self) -> Option<usize> {
        let at = self.rng.below(self.flights.len());
        self.flights.get(at)?.answer.is_none().then_some(at)
    }
}
