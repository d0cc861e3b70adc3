//! The one thing all threads share: configuration, clock, store, faults, what is in flight. Locks
//! are held for moments only and never while waiting; where two are held, the store's comes first.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::error::Result;

use crate::Config;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::lock;
use crate::requests::RequestLog;
use crate::store::{Entry, Store};
use crate::webhook::Queue;

#[derive(Debug)]
pub struct Sim {
    pub config: Config,
    pub clock: Clock,
    pub store: Mutex<Store>,
    pub faults: Mutex<Faults>,
    pub requests: Mutex<RequestLog>,
    pub queue: Queue,
    pub pause: Pause,
    flight: Mutex<Flight>,
    ids: Mutex<fastrand::Rng>,
    window: Mutex<Window>,
}

impl Sim {
    pub fn new(config: Config, store: Store) -> std::result::Result<Self, String> {
        let seed = config.seed.unwrap_or_else(|| fastrand::u64(..));
        let mut faults = Faults::new(seed);
        for spec in &config.faults {
            faults.add(spec.clone())?;
        }
        let clock = Clock::default();
        clock.set_offset_ms(store.clock_offset_ms);
        clock.freeze(faults.spec().same_second.unwrap_or(false));
        // After a restart the same seed must not give out the same ids again.
        let ids = fastrand::Rng::with_seed(seed.wrapping_add(store.next_seq() << 20));
        Ok(Self {
            queue: Queue::new(config.webhooks.clone()),
            config,
            clock,
            store: Mutex::new(store),
            faults: Mutex::new(faults),
            requests: Mutex::default(),
            pause: Pause::default(),
            flight: Mutex::default(),
            ids: Mutex::new(ids),
            window: Mutex::new(Window { since: Instant::now(), count: 0 }),
        })
    }

    /// An id nobody has yet.
    pub fn new_id(&self, prefix: &str, chars: usize, taken: impl Fn(&str) -> bool) -> String {
        let mut rng = lock(&self.ids);
        loop {
            let mut id = prefix.to_owned();
            id.extend((0..chars).map(|_| rng.alphanumeric()));
            if !taken(&id) {
                return id;
            }
        }
    }

    /// Commits to the store in hand; the event, if there is one, goes out at once.
    pub fn commit(&self, store: &mut Store, entry: Entry) -> Result<()> {
        let event = entry.event.clone();
        if entry.customer.is_some() || event.is_some() || entry.kept.is_some() {
            store.commit(entry)?;
        }
        if let Some(event) = event {
            let post = lock(&self.faults).webhook();
            if !post.drop {
                self.queue.push(&event, post);
            }
        }
        Ok(())
    }

    /// Counts a request against the account's limit; false when it is over.
    pub fn within_rate(&self) -> bool {
        let rate = lock(&self.faults).spec().rate.unwrap_or(self.config.rate);
        if rate == 0 {
            return true;
        }
        let mut window = lock(&self.window);
        if window.since.elapsed() >= Duration::from_secs(1) {
            *window = Window { since: Instant::now(), count: 0 };
        }
        window.count += 1;
        window.count <= rate
    }

    /// Marks an idempotency key as in use; `None` when it is already.
    pub fn reserve_key(&self, key: &str) -> Option<Reserved<'_>> {
        let taken = lock(&self.flight).keys.insert(key.to_owned());
        taken.then(|| Reserved { sim: self, key: Some(key.to_owned()), customer: None })
    }

    /// Locks a customer for as long as its operation is held up; `None` when it is locked.
    pub fn reserve_customer(&self, id: &str) -> Option<Reserved<'_>> {
        let taken = lock(&self.flight).customers.insert(id.to_owned());
        taken.then(|| Reserved { sim: self, key: None, customer: Some(id.to_owned()) })
    }

    pub fn customer_is_locked(&self, id: &str) -> bool {
        lock(&self.flight).customers.contains(id)
    }
}

#[derive(Debug, Default)]
struct Flight {
    keys: HashSet<String>,
    customers: HashSet<String>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    count: u32,
}

/// Given back when it is dropped, however the request ends.
#[derive(Debug)]
pub struct Reserved<'a> {
    sim: &'a Sim,
    key: Option<String>,
    customer: Option<String>,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut flight = lock(&self.sim.flight);
        if let Some(key) = &self.key {
            flight.keys.remove(key);
        }
        if let Some(customer) = &self.customer {
            flight.customers.remove(customer);
        }
    }
}

/// A sleep that ends when the simulator stops.
#[derive(Debug, Default)]
pub struct Pause {
    stopping: Mutex<bool>,
    changed: Condvar,
}

impl Pause {
    pub fn sleep_ms(&self, ms: u64) {
        if ms == 0 {
            return;
        }
        let stopping = lock(&self.stopping);
        drop(
            self.changed
                .wait_timeout_while(stopping, Duration::from_millis(ms), |stopping| !*stopping)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    pub fn stop(&self) {
        *lock(&self.stopping) = true;
        self.changed.notify_all();
    }
}
