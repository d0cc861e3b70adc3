//! Sends events to the endpoints: in the order they happened unless a fault says otherwise, one
//! at a time for each customer and endpoint, several customers at once; again, later and later,
//! until an answer is 2xx. It must never follow a redirect or reuse a signature.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::faults::Post;
use crate::sim::Sim;
use crate::store::{Entry, Event};
use crate::{clock, list, lock, pretty, sign};

/// Deliveries at once.
const WORKERS: usize = 8;
/// An endpoint that has not answered by then has failed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Tries until an event is given up; it stays in the list of events.
const ATTEMPTS_MAX: u32 = 12;
/// The wait between two tries doubles up to this.
const RETRY_MS_MAX: u64 = 60_000;
/// Stripe's automatic tries end after three days.
const AGE_MAX_S: i64 = 3 * 24 * 3600;
const STACK_BYTES: usize = 512 * 1024;

/// One try to come.
#[derive(Clone, Debug)]
struct Job {
    event: String,
    subject: String,
    endpoint: usize,
    attempt: u32,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By time, then by number.
    due: BTreeMap<(Instant, u64), Job>,
    /// Endpoint and customer of what is being sent.
    busy: HashSet<(usize, String)>,
    last: u64,
    stopping: bool,
    counts: Counts,
}

/// What `GET /_sim/webhooks` shows.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    pub queued: usize,
    pub sending: usize,
    pub delivered: u64,
    pub failed_tries: u64,
    pub given_up: u64,
}

#[derive(Debug)]
pub struct Queue {
    endpoints: Vec<String>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Queue {
    pub fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints, waiting: Mutex::default(), changed: Condvar::new() }
    }

    /// Sends an event to every endpoint that has not had it.
    pub fn push(&self, event: &Event, post: Post) {
        let due = Instant::now() + Duration::from_millis(post.delay_ms);
        let mut waiting = lock(&self.waiting);
        for (endpoint, url) in self.endpoints.iter().enumerate() {
            if !event.pending.contains(url) {
                continue;
            }
            for _ in 0..=usize::from(post.duplicate) {
                waiting.add(due, Job::first(event, endpoint));
            }
        }
        self.changed.notify_all();
    }

    /// Sends an event to every endpoint once more, whether they had it or not.
    pub fn resend(&self, event: &Event) {
        let mut waiting = lock(&self.waiting);
        for endpoint in 0..self.endpoints.len() {
            waiting.add(Instant::now(), Job::first(event, endpoint));
        }
        self.changed.notify_all();
    }

    pub fn counts(&self) -> Counts {
        let waiting = lock(&self.waiting);
        Counts { queued: waiting.due.len(), sending: waiting.busy.len(), ..waiting.counts }
    }

    pub fn clear(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.due.clear();
        waiting.counts = Counts::default();
    }

    pub fn stop(&self) {
        lock(&self.waiting).stopping = true;
        self.changed.notify_all();
    }

    /// Waits for the next try whose customer is free; `None` when the simulator stops.
    fn take(&self) -> Option<Job> {
        let mut waiting = lock(&self.waiting);
        loop {
            if waiting.stopping {
                return None;
            }
            let now = Instant::now();
            if let Some(job) = waiting.next(now) {
                return Some(job);
            }
            let later = waiting.due.range((now, 0)..).next().map(|((due, _), _)| *due);
            waiting = match later {
                Some(due) => {
                    let time = due.saturating_duration_since(now);
                    let woken = self.changed.wait_timeout(waiting, time);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn done(&self, job: &Job, outcome: Outcome) {
        let mut waiting = lock(&self.waiting);
        waiting.busy.remove(&(job.endpoint, job.subject.clone()));
        match outcome {
            Outcome::Delivered => waiting.counts.delivered += 1,
            Outcome::Gone => {}
            Outcome::GivenUp => {
                waiting.counts.failed_tries += 1;
                waiting.counts.given_up += 1;
            }
            Outcome::Again(wait) => {
                waiting.counts.failed_tries += 1;
                waiting.add(Instant::now() + wait, Job { attempt: job.attempt + 1, ..job.clone() });
            }
        }
        self.changed.notify_all();
    }
}

impl Job {
    fn first(event: &Event, endpoint: usize) -> Self {
        Self { event: event.id.clone(), subject: event.subject.clone(), endpoint, attempt: 1 }
    }
}

impl Waiting {
    fn add(&mut self, due: Instant, job: Job) {
        self.last += 1;
        self.due.insert((due, self.last), job);
    }

    fn next(&mut self, now: Instant) -> Option<Job> {
        let ready = self.due.range(..=(now, u64::MAX));
        let free = |job: &Job| !self.busy.contains(&(job.endpoint, job.subject.clone()));
        let at = ready.filter(|(_, job)| free(job)).map(|(at, _)| *at).next()?;
        let job = self.due.remove(&at)?;
        self.busy.insert((job.endpoint, job.subject.clone()));
        Some(job)
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Delivered,
    Again(Duration),
    GivenUp,
    /// The event is no longer known.
    Gone,
}

/// Starts the senders, and takes up what an earlier run had not delivered.
pub fn start(sim: &Arc<Sim>) -> std::io::Result<Vec<JoinHandle<()>>> {
    if sim.config.webhooks.is_empty() {
        return Ok(Vec::new());
    }
    let oldest = sim.clock.now_s() - AGE_MAX_S;
    for event in lock(&sim.store).events.values().filter(|event| event.created >= oldest) {
        sim.queue.push(event, Post::default());
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(TIMEOUT))
        .proxy(None)
        .user_agent("Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .accept("*/*; q=0.5, application/xml")
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (sim, agent) = (Arc::clone(sim), agent.clone());
        let worker = thread::Builder::new().name("webhook".into()).stack_size(STACK_BYTES);
        workers.push(worker.spawn(move || {
            while let Some(job) = sim.queue.take() {
                let outcome = deliver(&sim, &agent, &job);
                sim.queue.done(&job, outcome);
            }
        })?);
    }
    Ok(workers)
}

fn deliver(sim: &Sim, agent: &ureq::Agent, job: &Job) -> Outcome {
    let Some(url) = sim.config.webhooks.get(job.endpoint) else { return Outcome::Gone };
    let body = match lock(&sim.store).event(&job.event) {
        // The body is the event as it was made, not as the list shows it now.
        Some(event) => pretty(&list::parse(&event.json)),
        None => return Outcome::Gone,
    };
    let failure = match post(sim, agent, url, &body) {
        Ok(()) => {
            let delivered = Some((job.event.clone(), url.clone()));
            let entry = Entry { delivered, ..Entry::default() };
            if let Err(error) = lock(&sim.store).commit(entry) {
                log::error!("{error}");
            }
            return Outcome::Delivered;
        }
        Err(failure) => failure,
    };
    if job.attempt >= ATTEMPTS_MAX {
        log::warn!("webhook {} to {url}: {failure}; given up", job.event);
        return Outcome::GivenUp;
    }
    let doublings = job.attempt.saturating_sub(1).min(16);
    let wait_ms = sim.config.webhook_retry_ms.saturating_mul(1 << doublings).clamp(1, RETRY_MS_MAX);
    log::info!("webhook {} to {url}: {failure}; again in {wait_ms} ms", job.event);
    Outcome::Again(Duration::from_millis(wait_ms))
}

fn post(sim: &Sim, agent: &ureq::Agent, url: &str, body: &str) -> Result<(), String> {
    // The machine's clock, since the receiver compares with its own, not with the simulator's.
    let signature = sign::header(&sim.config.webhook_secrets, clock::machine_s(), body);
    let sent = agent
        .post(url)
        .header("Cache-Control", "no-cache")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Stripe-Signature", signature)
        .send(body);
    match sent {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("answered {}", answer.status().as_u16())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on has failed
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(vec!["http://a".into()])
    }

    fn event(id: &str, subject: &str) -> Event {
        Event {
            seq: 1,
            id: id.into(),
            kind: "customer.updated".into(),
            subject: subject.into(),
            created: 0,
            json: Box::default(),
            pending: vec!["http://a".into()],
        }
    }

    #[test]
    fn one_customer_is_sent_one_event_at_a_time_and_others_pass() {
        let queue = queue();
        queue.push(&event("e1", "a"), Post::default());
        queue.push(&event("e2", "a"), Post::default());
        queue.push(&event("e3", "b"), Post::default());
        let first = queue.take().unwrap();
        let second = queue.take().unwrap();
        assert_eq!((first.event.as_str(), second.event.as_str()), ("e1", "e3"));
        queue.done(&first, Outcome::Delivered);
        assert_eq!(queue.take().unwrap().event, "e2");
        assert_eq!(queue.counts().delivered, 1);
    }

    #[test]
    fn a_failed_one_waits_and_later_ones_do_not() {
        let queue = queue();
        queue.push(&event("e1", "a"), Post::default());
        let first = queue.take().unwrap();
        queue.push(&event("e2", "a"), Post::default());
        queue.done(&first, Outcome::Again(Duration::from_secs(60)));
        assert_eq!(queue.take().unwrap().event, "e2");
        assert_eq!(queue.counts().queued, 1);
    }

    #[test]
    fn a_stopped_queue_lets_its_workers_go() {
        let queue = queue();
        queue.push(&event("e1", "a"), Post { delay_ms: 60_000, ..Post::default() });
        queue.stop();
        assert!(queue.take().is_none());
    }
}
