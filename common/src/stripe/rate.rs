//! How fast we may ask Stripe: so many requests a second per named operation and in all, fewer
//! after Stripe said "too many", none while the account is paused. First come, first served.
//!
//! The arithmetic is pure ([`Buckets`], time passed in); [`Rate`] puts it between threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::key::StripeKey;

/// Stripe's default for a live account, over all operations.
pub const LIVE_PER_S: f64 = 100.0;
/// Stripe's default for a sandbox, over all operations.
pub const TEST_PER_S: f64 = 25.0;
/// Stripe's default for one named operation over all ids.
pub const ENDPOINT_PER_S: f64 = 25.0;
/// What may come at once after a quiet moment: this long's worth, and at least one request.
const BURST_S: f64 = 0.05;
/// After "too many" the rate is halved, but never below this share of what is allowed.
const SHARE_MIN: f64 = 1.0 / 32.0;
/// From half the rate back to all of it takes a minute: Stripe's other users have it too.
const RECOVERY_PER_S: f64 = 0.5 / 60.0;
/// Several requests in flight hear "too many" of the same moment: they halve the rate once.
const HALVE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Waiting less than this is not worth a timer.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// The named operations, each with a limit of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Endpoint {
    Create,
    Update,
    Retrieve,
    Delete,
    ListCustomers,
    Events,
}

const ENDPOINTS: usize = 6;

/// Requests a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub all_per_s: f64,
    pub endpoint_per_s: f64,
}

impl Limits {
    /// Stripe's defaults for this kind of key, or `rate` requests a second in all. A rate above
    /// the default says that other limits hold here: then it bounds each operation too.
    pub fn new(key: &StripeKey, rate: Option<f64>) -> Self {
        let default = if key.is_test() { TEST_PER_S } else { LIVE_PER_S };
        let all_per_s = rate.filter(|rate| rate.is_finite() && *rate > 0.0).unwrap_or(default);
        let endpoint_per_s =
            if all_per_s > default { all_per_s } else { ENDPOINT_PER_S.min(all_per_s) };
        Self { all_per_s, endpoint_per_s }
    }
}

/// The rate, shared by the threads that ask Stripe.
#[derive(Debug)]
pub struct Rate {
    started: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    buckets: Buckets,
    /// Per operation, who waits, in order of arrival.
    queues: [VecDeque<u64>; ENDPOINTS],
    next_ticket: u64,
    closed: bool,
}

impl Rate {
    pub fn new(limits: Limits) -> Self {
        Self {
            started: Instant::now(),
            state: Mutex::new(State {
                buckets: Buckets::new(limits),
                queues: std::array::from_fn(|_| VecDeque::new()),
                next_ticket: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Blocks until one more request may go out. False when [`Rate::close`] was called: then
    /// nothing may. Those who wait for one operation are served in order.
    pub fn take(&self, endpoint: Endpoint) -> bool {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queues[endpoint as usize].push_back(ticket);
        loop {
            if state.closed {
                state.queues[endpoint as usize].retain(|waiting| *waiting != ticket);
                return false;
            }
            if state.queues[endpoint as usize].front() != Some(&ticket) {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            match state.buckets.take(self.started.elapsed(), endpoint) {
                Ok(()) => {
                    state.queues[endpoint as usize].pop_front();
                    self.changed.notify_all();
                    return true;
                }
                Err(wait) => {
                    let waited = self.changed.wait_timeout(state, wait);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Takes without waiting: how long to wait otherwise. Those who block come first.
    pub fn try_take(&self, endpoint: Endpoint) -> Result<(), Duration> {
        let mut state = self.lock();
        if state.queues[endpoint as usize].is_empty() {
            return state.buckets.take(self.started.elapsed(), endpoint);
        }
        Err(WAIT_MIN)
    }

    /// Stripe said "too many": half as fast from now on, recovering slowly.
    pub fn slow_down(&self) {
        self.lock().buckets.slow_down(self.started.elapsed());
    }

    /// Nothing goes out for this long, whoever asks; the longest of several pauses counts.
    pub fn pause(&self, pause: Duration) {
        self.lock().buckets.pause(self.started.elapsed() + pause);
    }

    /// Lets go of everybody who waits.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// How many wait for a turn.
    pub fn waiting(&self) -> usize {
        self.lock().queues.iter().map(VecDeque::len).sum()
    }

    /// Requests a second that may go out now, over all operations and for one of them.
    pub fn now(&self) -> Limits {
        self.lock().buckets.now(self.started.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain numbers: they are as good after a panic elsewhere as before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token bucket per operation and one for all. Times are counted from any fixed moment.
#[derive(Debug)]
pub struct Buckets {
    limits: Limits,
    all: Bucket,
    each: [Bucket; ENDPOINTS],
    /// The share of the limits that is used since Stripe said "too many".
    share: f64,
    share_at: Duration,
    halved_at: Option<Duration>,
    paused_until: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    const START: Self = Self { tokens: 1.0, at: Duration::ZERO };

    fn fill(&mut self, now: Duration, per_s: f64) {
        let gained = now.saturating_sub(self.at).as_secs_f64() * per_s;
        self.tokens = (self.tokens + gained).min((per_s * BURST_S).max(1.0));
        self.at = now;
    }

    fn wait_s(&self, per_s: f64) -> f64 {
        (1.0 - self.tokens).max(0.0) / per_s
    }
}

impl Buckets {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: Bucket::START,
            each: [Bucket::START; ENDPOINTS],
            share: 1.0,
            share_at: Duration::ZERO,
            halved_at: None,
            paused_until: Duration::ZERO,
        }
    }

    /// Takes one request's token, or says how long to wait before asking again.
    pub fn take(&mut self, now: Duration, endpoint: Endpoint) -> Result<(), Duration> {
        if now < self.paused_until {
            return Err(self.paused_until.saturating_sub(now));
        }
        let Limits { all_per_s, endpoint_per_s } = self.now(now);
        let each = &mut self.each[endpoint as usize];
        self.all.fill(now, all_per_s);
        each.fill(now, endpoint_per_s);
        let wait_s = self.all.wait_s(all_per_s).max(each.wait_s(endpoint_per_s));
        if wait_s > 0.0 {
            return Err(Duration::from_secs_f64(wait_s).max(WAIT_MIN));
        }
        self.all.tokens -= 1.0;
        each.tokens -= 1.0;
        Ok(())
    }

    pub fn slow_down(&mut self, now: Duration) {
        if self.halved_at.is_some_and(|at| now < at + HALVE_AGAIN_AFTER) {
            return;
        }
        self.recover(now);
        self.share = (self.share / 2.0).max(SHARE_MIN);
        self.halved_at = Some(now);
    }

    pub fn pause(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
    }

    /// The limits as they are now.
    pub fn now(&mut self, now: Duration) -> Limits {
        self.recover(now);
        Limits {
            all_per_s: self.limits.all_per_s * self.share,
            endpoint_per_s: self.limits.endpoint_per_s * self.share,
        }
    }

    fn recover(&mut self, now: Duration) {
        let passed_s = now.saturating_sub(self.share_at).as_secs_f64();
        self.share = (self.share + passed_s * RECOVERY_PER_S).min(1.0);
        self.share_at = now;
    }
}

#[cfg(test)]
mod tests;
