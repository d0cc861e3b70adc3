//! All programs' decisions in one thread, against a simulated catalog, broker and Stripe.
//!
//! The rules are the programs' own functions (`common::sync`); everything around them is made up
//! here from a seed, and can fail between any two effects. What must hold is in [`truth`].

pub mod catalog;
pub mod mix;
pub mod mover;
pub mod rng;
pub mod stripe;
pub mod truth;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::rc::Rc;

use common::record::{Change, Field, Fields, Millis, STRIPE, Snapshot, SyncResult, Value};

use catalog::{Hooked, Question};
use mix::{Act, Mix};
use mover::{Flight, Partition, Slot, Zombie};
use rng::Rng;
use stripe::Stripe;
use truth::Truth;

/// The fields that are edited: a plain one, one that Stripe may refuse, and a metadata key.
pub const FIELDS: usize = 3;

/// The look-up lists customers from a little before the create was first announced, since Stripe's
/// clock is another.
pub const LOOK_SLACK_MS: Millis = 60 * 60 * 1000;

/// No request lands later than this after it was sent: networks forget.
const LANDS_WITHIN_MS: Millis = 20 * 60 * 1000;

/// Rounds of delivering everything after faults have stopped; more means that it never settles.
const ROUNDS_MAX: u32 = 40;

pub fn field(at: usize) -> Field {
    match at {
        0 => Field::Name,
        1 => Field::Phone,
        _ => Field::Metadata("k".into()),
    }
}

/// The whole of it, as it stands.
#[derive(Debug)]
pub struct World {
    pub rng: Rng,
    pub mix: Rc<Mix>,
    pub now: Millis,
    pub customers_max: usize,
    pub two: bool,
    pub pipe: bool,
    // The catalog.
    pub entries: Vec<common::sync::Entry>,
    pub outbox: VecDeque<Rc<Change>>,
    pub relayed: usize,
    /// Records produced and forgotten, for relays that stall.
    pub sent: Vec<Rc<Change>>,
    pub inbox: Vec<bool>,
    pub questions: Vec<Question>,
    pub asked: u32,
    pub next_event: u64,
    // The broker.
    pub partitions: Vec<Partition>,
    pub hooked: Vec<Hooked>,
    pub results: Vec<Rc<SyncResult>>,
    // kafka-to-stripe.
    pub slots: Vec<Slot>,
    pub zombies: Vec<Zombie>,
    pub flights: Vec<Flight>,
    pub next_flight: u64,
    /// Every request sent: its customer, number and idempotency key.
    pub asked_for: Vec<(usize, u64, Option<String>)>,
    // Stripe, and its webhooks on their way, by event.
    pub stripe: Stripe,
    pub webhooks: Vec<usize>,
    sent_out: usize,
    // What must hold.
    pub truth: Vec<Truth>,
    pub failed: Option<String>,
    trace: Option<String>,
    drains: bool,
}

/// How a history ended.
#[derive(Debug)]
pub struct Ended {
    pub failed: Option<String>,
    pub actions: usize,
    pub trace: String,
    pub excused: usize,
    pub customers: usize,
}

/// Runs the history of this seed: `limit` cuts it short before everything is delivered.
pub fn run(seed: u64, mix: &Rc<Mix>, limit: Option<usize>, traced: bool) -> Ended {
    let mut world = World::new(seed, mix, traced);
    let planned = world.rng.between(mix.actions.0 as i64, mix.actions.1 as i64) as usize;
    let planned = limit.unwrap_or(planned).min(planned);
    let mut actions = 0;
    let mut tries = 0;
    while actions < planned && world.failed.is_none() && tries < planned * 20 {
        tries += 1;
        actions += usize::from(world.act());
    }
    if world.failed.is_none() {
        world.drain();
    }
    if world.failed.is_none() {
        world.judge_end();
    }
    Ended {
        failed: world.failed,
        actions,
        trace: world.trace.unwrap_or_default(),
        excused: world.truth.iter().filter(|truth| truth.excused).count(),
        customers: world.truth.len(),
    }
}

impl World {
    fn new(seed: u64, mix: &Rc<Mix>, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let customers_max = 1 + rng.below(mix.customers_max);
        let (two, pipe) = (rng.chance(mix.two), rng.chance(mix.pipe));
        let skew_ms = rng.between(-300, 300) * 1000;
        Self {
            rng,
            mix: Rc::clone(mix),
            now: 1_790_000_000_000,
            customers_max,
            two,
            pipe,
            entries: Vec::new(),
            outbox: VecDeque::new(),
            relayed: 0,
            sent: Vec::new(),
            inbox: Vec::new(),
            questions: Vec::new(),
            asked: 0,
            next_event: 0,
            partitions: Vec::new(),
            hooked: Vec::new(),
            results: Vec::new(),
            slots: Vec::new(),
            zombies: Vec::new(),
            flights: Vec::new(),
            next_flight: 0,
            asked_for: Vec::new(),
            stripe: Stripe { skew_ms, ..Stripe::default() },
            webhooks: Vec::new(),
            sent_out: 0,
            truth: Vec::new(),
            failed: None,
            trace: traced.then(String::new),
            drains: false,
        }
    }

    /// Adds a line to the history, if somebody reads it.
    pub fn log(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = line(self);
            let at = self.now - 1_790_000_000_000;
            if let Some(trace) = &mut self.trace {
                let _ = writeln!(trace, "{:>9}.{:03} {line}", at / 1000, at % 1000);
            }
        }
    }

    /// One thing happens. False if it could not.
    fn act(&mut self) -> bool {
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

    fn perform(&mut self, act: Act) -> bool {
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
            Act::BrokerLoss => self.broker_loss(),
        }
    }

    fn some_flight(&mut self) -> Option<usize> {
        let at = self.rng.below(self.flights.len());
        self.flights.get(at)?.answer.is_none().then_some(at)
    }

    /// Stripe sends each event out once; some never arrive.
    fn send_webhooks(&mut self) {
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
            if !self.rng.chance(self.mix.webhook_dropped) {
                self.webhooks.push(number);
            }
        }
    }

    fn webhook(&mut self) -> bool {
        if self.webhooks.is_empty() {
            return false;
        }
        let at = self.rng.below(self.webhooks.len());
        let again = self.rng.chance(self.mix.webhook_twice) && !self.drains;
        let number = if again { self.webhooks[at] } else { self.webhooks.swap_remove(at) };
        self.stripe.events[number].delivered = true;
        self.hooked.push(Hooked::Event(number));
        true
    }

    /// stripe-tail reads the events and hands on what webhooks missed, or all of it.
    fn tail(&mut self) -> bool {
        let mut any = false;
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
    fn forget_requests(&mut self) {
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
    fn day_gap(&mut self) -> bool {
        while let Some(at) = self.flights.iter().position(|flight| flight.answer.is_none()) {
            self.land(at);
        }
        let hours = [22, 23, 24, 25][self.rng.below(4)];
        self.now += hours * 3_600_000 + self.rng.between(0, 3_600_000);
        self.log(|_| format!("{hours} hours go by"));
        true
    }

    /// The broker comes back empty. The catalog announces again; Stripe's events are read again.
    fn broker_loss(&mut self) -> bool {
        self.log(|_| "the broker is lost".into());
        self.hooked.clear();
        self.results.clear();
        self.questions.clear();
        for partition in &mut self.partitions {
            partition.log.clear();
            partition.committed = 0;
        }
        for customer in 0..self.entries.len() {
            self.crash_mover(customer);
        }
        for customer in 0..self.entries.len() {
            self.assign(customer);
        }
        for event in &mut self.stripe.events {
            event.delivered = false;
        }
        for customer in 0..self.entries.len() {
            self.repeat(customer, true);
        }
        true
    }

    fn side_effect(&mut self) -> bool {
        let object = self.rng.below(self.stripe.customers.len());
        let Some(made) = self.stripe.customers.get(object) else { return false };
        if made.snapshot.deleted {
            return false;
        }
        let kind = common::record::snapshot::EventKind::Updated;
        let previous = common::record::Previous::default();
        self.stripe.event(object, kind, previous, self.now, &mut self.rng);
        true
    }

    fn person_copy(&mut self) -> bool {
        let (from, to) = {
            let count = self.stripe.customers.len();
            (self.rng.below(count), self.rng.below(count))
        };
        if from == to || self.stripe.customers[to].snapshot.deleted {
            return false;
        }
        let source = self.stripe.customers[from].snapshot.clone();
        let known = source.catalog_id.as_deref().and_then(|id| self.customer_named(id));
        // Nobody copies in the second before the catalog knows its own customer.
        let is_linked = known.is_some_and(|at| truth::linked(&self.entries[at]) == Some(from));
        let target = self.entries.iter().any(|entry| truth::linked(entry) == Some(to));
        if !is_linked || !target {
            return false;
        }
        let with_stamp = self.rng.chance(500);
        self.log(|_| format!("a person copies metadata of cus_{from} to cus_{to}: {with_stamp}"));
        let id = format!("cus_{to}");
        let made_for = self.stripe.customers[to].made_for.clone().unwrap_or(id);
        if let Some(customer) = self.customer_named(&made_for) {
            self.excuse(customer, "a person edited the stamp");
            self.truth[customer].unstamped = true;
        }
        self.stripe.customers[to].snapshot.catalog_id = source.catalog_id;
        let metadata = (field(2), source.fields.get(&field(2)).cloned());
        let stamp = source.stamp.filter(|_| with_stamp);
        let author = stripe::Author::Person(self.stripe.order + 1);
        let now = self.now;
        self.stripe.change(to, &[metadata], author, stamp.as_ref(), now, &mut self.rng);
        true
    }

    fn person_unstamp(&mut self) -> bool {
        let object = self.rng.below(self.stripe.customers.len());
        let Some(made) = self.stripe.customers.get_mut(object) else { return false };
        let Some(stamp) = made.snapshot.stamp.clone() else { return false };
        let known = self.entries.iter().position(|entry| truth::linked(entry) == Some(object));
        // Nobody does it in the second before the catalog knows its own customer.
        let Some(customer) = known.filter(|_| !made.snapshot.deleted) else { return false };
        made.snapshot.stamp = None;
        self.excuse(customer, "a person took the stamp off");
        self.truth[customer].unstamped = true;
        let previous = common::record::Previous { fields: Vec::new(), stamp: Some(stamp.version) };
        let kind = common::record::snapshot::EventKind::Updated;
        self.stripe.event(object, kind, previous, self.now, &mut self.rng);
        true
    }

    /// Faults stop; everything is delivered, and what stays pending is announced until it is done.
    fn drain(&mut self) {
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
            if self.failed.is_some() {
                return;
            }
            let due = self.entries.iter().filter_map(|e| common::sync::repeat::due_at(e, STRIPE));
            let Some(due) = due.min() else { return };
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

pub fn show_value(value: Option<&Value>) -> String {
    match value {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Address(_)) => "address".into(),
        None => "-".into(),
    }
}

pub fn show_fields(fields: &Fields) -> String {
    let values = (0..FIELDS).map(|at| show_value(fields.get(&field(at))));
    values.collect::<Vec<_>>().join("/")
}

pub fn show_snapshot(snapshot: &Snapshot) -> String {
    let stamp = snapshot.stamp.as_ref().map_or("none".into(), ToString::to_string);
    let deleted = if snapshot.deleted { " deleted" } else { "" };
    format!("{} {} stamp {stamp}{deleted}", snapshot.id, show_fields(&snapshot.fields))
}
