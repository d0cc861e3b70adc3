//! Goes from state to state, depth first, in several threads. Worlds stay with their thread; what
//! is handed on to another is the history that leads there.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::World;
use super::acts::{self, Did};
use super::fast::AsIs;
use super::{Explored, Left, Scope, finish, first, tell};
use crate::in_force::break_rule;

/// How a state came about.
struct Link {
    did: Did,
    before: Option<Rc<Link>>,
}

struct Node {
    world: World,
    left: Left,
    hash: u64,
    link: Option<Rc<Link>>,
}

/// A thread hands on work when it has this many states open and somebody has none.
const HAND_ON_FROM: usize = 4;

/// Sets of states, so that threads seldom wait for each other.
const SHARDS: usize = 256;

/// What the threads share.
struct Shared {
    scope: Scope,
    seen: Vec<Mutex<HashSet<u64, AsIs>>>,
    /// Histories whose last state somebody is to go on from: worlds stay with their thread.
    handed_on: Mutex<Vec<Vec<Did>>>,
    /// States that are open, everywhere.
    open: AtomicUsize,
    idle: AtomicUsize,
    states: AtomicU64,
    steps: AtomicU64,
    ends: AtomicU64,
    stopped: AtomicBool,
    failed: Mutex<Option<String>>,
    ended: Option<Mutex<HashSet<String>>>,
    started: Instant,
}

/// Goes through all of it; says what both sides were in the end if it `tells`.
pub(super) fn go(scope: Scope, tells: bool) -> (Explored, HashSet<String>) {
    let shared = Shared {
        scope,
        seen: (0..SHARDS).map(|_| Mutex::default()).collect(),
        handed_on: Mutex::new(vec![Vec::new()]),
        open: AtomicUsize::new(1),
        idle: AtomicUsize::new(0),
        states: AtomicU64::new(0),
        steps: AtomicU64::new(0),
        ends: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
        failed: Mutex::default(),
        ended: tells.then(Mutex::default),
        started: Instant::now(),
    };
    std::thread::scope(|threads| {
        for _ in 0..scope.threads.max(1) {
            // A broken rule may make something that goes deep.
            let thread = std::thread::Builder::new().stack_size(64 << 20);
            if thread.spawn_scoped(threads, || shared.work()).is_err() {
                shared.stopped.store(true, Ordering::Relaxed);
            }
        }
    });
    let failed = shared.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let explored = Explored {
        states: shared.states.into_inner(),
        steps: shared.steps.into_inner(),
        ends: shared.ends.into_inner(),
        complete: !shared.stopped.into_inner() && failed.is_none(),
        failed,
    };
    let ended =
        shared.ended.map(|ended| ended.into_inner().unwrap_or_else(PoisonError::into_inner));
    (explored, ended.unwrap_or_default())
}

impl Shared {
    /// One thread goes on from what it is handed, as long as anybody has anything.
    fn work(&self) {
        break_rule(self.scope.broken);
        self.idle.fetch_add(1, Ordering::SeqCst);
        while self.open.load(Ordering::SeqCst) > 0 && !self.stopped.load(Ordering::Relaxed) {
            let history = self.handed_on.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(history) = history else {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            };
            self.idle.fetch_sub(1, Ordering::SeqCst);
            if let Some(node) = self.again(&history) {
                self.deepen(node);
            }
            self.idle.fetch_add(1, Ordering::SeqCst);
        }
        break_rule(None);
    }

    fn again(&self, history: &[Did]) -> Option<Node> {
        let (mut world, mut left) = first(&self.scope, false)?;
        let mut link = None;
        for did in history {
            did.again(&mut world, &mut left, &self.scope);
            link = Some(Rc::new(Link { did: did.clone(), before: link }));
        }
        let hash = world.hash(left);
        Some(Node { world, left, hash, link })
    }

    fn deepen(&self, node: Node) {
        let mut open = vec![node];
        let mut steps = 0;
        while let Some(node) = open.pop() {
            if open.len() >= HAND_ON_FROM && self.idle.load(Ordering::Relaxed) > 0 {
                // The oldest one has most before it.
                let oldest = open.swap_remove(0);
                let mut handed_on = self.handed_on.lock().unwrap_or_else(PoisonError::into_inner);
                handed_on.push(history(oldest.link.as_ref()));
            }
            let states = self.states.fetch_add(1, Ordering::Relaxed);
            let is_over = states >= self.scope.states_max
                || states.is_multiple_of(1024) && self.started.elapsed() > self.scope.within;
            if is_over {
                self.stopped.store(true, Ordering::Relaxed);
            }
            if self.stopped.load(Ordering::Relaxed) {
                break;
            }
            self.from(node, &mut open, &mut steps);
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
        self.steps.fetch_add(steps, Ordering::Relaxed);
    }

    /// All that may happen next.
    fn from(&self, node: Node, open: &mut Vec<Node>, steps: &mut u64) {
        let mut works = false;
        let quiet = node.world.is_quiet(node.left);
        let goes_on = node.world.has_work() || !node.world.flights.is_empty();
        for kind in acts::kinds(node.left).filter(|kind| !(quiet && goes_on && kind.is_inbound())) {
            kind.each(&node.world, node.left, &self.scope, |mut world, left, did| {
                *steps += 1;
                let hash = world.hash(left);
                // What goes round and round is no work: then deliveries never come to rest.
                works |= kind.works() && hash != node.hash;
                if quiet && kind.is_inbound() && world.broke_quiet(&node.world) {
                    world.fail(|| "the catalog was not quiet: the explorer is wrong".into());
                }
                if let Some(why) = &world.failed {
                    self.fail(why, node.link.as_ref(), Some(&did));
                } else if self.is_new(&world, left, hash) {
                    let link = Some(Rc::new(Link { did, before: node.link.clone() }));
                    self.open.fetch_add(1, Ordering::SeqCst);
                    open.push(Node { world, left, hash, link });
                }
            });
        }
        if !works {
            self.ends.fetch_add(1, Ordering::Relaxed);
            self.end(node);
        }
    }

    /// With more faults left the same may happen, and more: it is new only with more than before.
    fn is_new(&self, world: &World, left: Left, hash: u64) -> bool {
        let is_new = self.insert(hash);
        if is_new {
            for faults in 0..left.faults {
                self.insert(world.hash(Left { faults, ..left }));
            }
        }
        is_new
    }

    fn insert(&self, hash: u64) -> bool {
        let shard = &self.seen[(hash >> 32) as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner).insert(hash)
    }

    /// Faults stop, everything is delivered, and then both sides are to be equal.
    fn end(&self, node: Node) {
        let Node { mut world, link, .. } = node;
        finish(&mut world);
        if let Some(why) = &world.failed {
            self.fail(why, link.as_ref(), None);
        }
        if let Some(ended) = &self.ended {
            ended.lock().unwrap_or_else(PoisonError::into_inner).insert(world.both_sides());
        }
    }

    fn fail(&self, why: &str, link: Option<&Rc<Link>>, last: Option<&Did>) {
        let mut history = history(link);
        history.extend(last.cloned());
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            *failed = Some(format!("{}{why}", tell(&self.scope, &history)));
        }
        self.stopped.store(true, Ordering::Relaxed);
    }
}

fn history(link: Option<&Rc<Link>>) -> Vec<Did> {
    let mut history = Vec::new();
    let mut link = link;
    while let Some(one) = link {
        history.push(one.did.clone());
        link = one.before.as_ref();
    }
    history.reverse();
    history
}
