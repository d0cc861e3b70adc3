//! Records that wait, in lanes: one lane is acted on by one call at a time, in order; lanes go side
//! by side. Pure state but for the time it is told, so that order and backoff are tested alone.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Policy, backoff};
use crate::endpoint::{Position, Taken};

/// What keeps records in order: a subject, or nothing but the record itself.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum LaneKey {
    Named(String),
    Alone(Position),
}

/// Records handed to one call.
pub type Batch = Arc<Vec<Taken>>;

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Taken>,
    /// Being acted on; kept so that nothing is lost when the call is broken off.
    busy: Option<Batch>,
    /// Tries since the last success.
    attempts: u32,
    /// Not before: the backoff, or the linger of the first record.
    not_before: Option<Instant>,
}

/// All lanes with something in hand.
#[derive(Debug, Default)]
pub struct Lanes {
    by_key: HashMap<LaneKey, Lane>,
    ready: VecDeque<LaneKey>,
    timers: BTreeSet<(Instant, LaneKey)>,
    waiting_records: usize,
    waiting_bytes: usize,
    busy_records: usize,
    busy_bytes: usize,
    busy_calls: usize,
}

fn bytes(taken: &Taken) -> usize {
    taken.record.value.len()
}

impl Lanes {
    pub fn push(&mut self, key: LaneKey, taken: Taken, policy: &Policy, now: Instant) {
        self.waiting_records += 1;
        self.waiting_bytes += bytes(&taken);
        match self.by_key.entry(key) {
            Entry::Vacant(vacant) => {
                let key = vacant.key().clone();
                let mut lane = Lane::default();
                lane.waiting.push_back(taken);
                if policy.linger_ms == 0 {
                    self.ready.push_back(key);
                } else {
                    let at = now + Duration::from_millis(policy.linger_ms);
                    lane.not_before = Some(at);
                    self.timers.insert((at, key));
                }
                vacant.insert(lane);
            }
            Entry::Occupied(mut occupied) => {
                let key = occupied.key().clone();
                let lane = occupied.get_mut();
                lane.waiting.push_back(taken);
                // A full batch need not linger any more; a backoff is kept.
                let lingers = lane.attempts == 0 && lane.busy.is_none();
                if lingers
                    && lane.waiting.len() >= policy.lane_batch_max
                    && let Some(at) = lane.not_before.take()
                {
                    self.timers.remove(&(at, key.clone()));
                    self.ready.push_back(key);
                }
            }
        }
    }

    /// The next lane that may be acted on, and its batch.
    pub fn begin(&mut self, policy: &Policy) -> Option<(LaneKey, Batch, u32)> {
        if self.busy_calls >= policy.in_flight_lanes_max {
            return None;
        }
        let key = self.ready.pop_front()?;
        // Every lane that is ready is there: whoever drops a lane takes it off the list.
        let lane = self.by_key.get_mut(&key)?;
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        while let Some(next) = lane.waiting.front() {
            let full = batch.len() >= policy.lane_batch_max
                || batch_bytes + bytes(next) > policy.lane_batch_bytes_max;
            // One record goes alone, however large.
            if full && !batch.is_empty() {
                break;
            }
            batch_bytes += bytes(next);
            batch.extend(lane.waiting.pop_front());
        }
        self.waiting_records -= batch.len();
        self.waiting_bytes -= batch_bytes;
        self.busy_records += batch.len();
        self.busy_bytes += batch_bytes;
        self.busy_calls += 1;
        let batch = Arc::new(batch);
        lane.busy = Some(Arc::clone(&batch));
        Some((key, batch, lane.attempts + 1))
    }

    /// A call ended. `again` are those of its batch to be tried again, in order; `progress` says
    /// that something of the lane was finished.
    pub fn end(&mut self, key: &LaneKey, again: Vec<Taken>, progress: bool, now: Instant) {
        let Some(lane) = self.by_key.get_mut(key) else { return };
        if let Some(batch) = lane.busy.take() {
            self.busy_records -= batch.len();
            self.busy_bytes -= batch.iter().map(bytes).sum::<usize>();
            self.busy_calls -= 1;
        }
        let failed = !again.is_empty();
        self.waiting_records += again.len();
        self.waiting_bytes += again.iter().map(bytes).sum::<usize>();
        for taken in again.into_iter().rev() {
            lane.waiting.push_front(taken);
        }
        if progress || !failed {
            lane.attempts = 0;
        }
        if failed {
            lane.attempts += 1;
            let at = now + backoff::wait(lane.attempts);
            lane.not_before = Some(at);
            self.timers.insert((at, key.clone()));
        } else if lane.waiting.is_empty() {
            self.by_key.remove(key);
        } else {
            self.ready.push_back(key.clone());
        }
    }

    /// When the next lane wakes.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Lanes whose time has come may begin.
    pub fn wake(&mut self, now: Instant) {
        while let Some((at, _)) = self.timers.first() {
            if *at > now {
                return;
            }
            if let Some((_, key)) = self.timers.pop_first()
                && let Some(lane) = self.by_key.get_mut(&key)
            {
                lane.not_before = None;
                self.ready.push_back(key);
            }
        }
    }

    /// Drops what waits and is not wanted any more; what is being acted on stays. Returns how many.
    pub fn drop_waiting(&mut self, unwanted: impl Fn(Position) -> bool) -> usize {
        let before = self.waiting_records;
        let (mut records, mut waiting_bytes) = (0, 0);
        let (ready, timers) = (&mut self.ready, &mut self.timers);
        self.by_key.retain(|key, lane| {
            lane.waiting.retain(|taken| !unwanted(taken.at));
            records += lane.waiting.len();
            waiting_bytes += lane.waiting.iter().map(bytes).sum::<usize>();
            if !lane.waiting.is_empty() {
                return true;
            }
            if let Some(at) = lane.not_before.take() {
                timers.remove(&(at, key.clone()));
            }
            lane.busy.is_some()
        });
        ready.retain(|key| self.by_key.contains_key(key));
        self.waiting_records = records;
        self.waiting_bytes = waiting_bytes;
        before - records
    }

    /// Everything that is not finished, for a source that does not give it again.
    pub fn take_all(&mut self) -> Vec<Taken> {
        let lanes = std::mem::take(self).by_key;
        let mut all = Vec::new();
        for lane in lanes.into_values() {
            if let Some(batch) = lane.busy {
                all.extend(batch.iter().cloned());
            }
            all.extend(lane.waiting);
        }
        all.sort_by_key(|taken| taken.at);
        all
    }

    pub fn waiting(&self) -> usize {
        self.waiting_records
    }

    pub fn busy(&self) -> usize {
        self.busy_records
    }

    pub fn in_hand(&self) -> (usize, usize) {
        (self.waiting_records + self.busy_records, self.waiting_bytes + self.busy_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Record;

    fn policy() -> Policy {
        Policy { lane_batch_max: 2, in_flight_lanes_max: 2, ..Policy::default() }
    }

    fn taken(offset: i64) -> Taken {
        let record = Record { key: None, value: b"{}".to_vec(), headers: vec![] };
        let at = Position { source: 0, partition: (offset % 2) as i32, offset, epoch: 1 };
        Taken { record, at, fresh: false }
    }

    fn lane(name: &str) -> LaneKey {
        LaneKey::Named(name.to_owned())
    }

    fn offsets(batch: &[Taken]) -> Vec<i64> {
        batch.iter().map(|taken| taken.at.offset).collect()
    }

    #[test]
    fn a_lane_is_begun_once_at_a_time_and_in_order() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for offset in 1..=3 {
            lanes.push(lane("a"), taken(offset), &policy(), now);
        }
        let (key, batch, attempt) = lanes.begin(&policy()).expect("ready");
        assert_eq!((offsets(&batch), attempt), (vec![1, 2], 1));
        assert!(lanes.begin(&policy()).is_none());
        lanes.end(&key, vec![], true, now);
        let (key, batch, _) = lanes.begin(&policy()).expect("the rest");
        assert_eq!(offsets(&batch), [3]);
        lanes.end(&key, vec![], true, now);
        assert_eq!(lanes.in_hand(), (0, 0));
        assert!(lanes.by_key.is_empty());
    }

    #[test]
    fn what_is_tried_again_comes_first_and_newer_records_join_it() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.push(lane("a"), taken(1), &policy(), now);
        let (key, batch, _) = lanes.begin(&policy()).expect("ready");
        lanes.push(lane("a"), taken(2), &policy(), now);
        lanes.end(&key, batch.to_vec(), false, now);
        assert!(lanes.begin(&policy()).is_none(), "it waits for its backoff");
        let at = lanes.next_timer().expect("a backoff");
        lanes.wake(at);
        let (_, batch, attempt) = lanes.begin(&policy()).expect("woken");
        assert_eq!((offsets(&batch), attempt), (vec![1, 2], 2));
    }

    #[test]
    fn no_more_lanes_are_begun_than_allowed() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for (offset, name) in (1..).zip(["a", "b", "c"]) {
            lanes.push(lane(name), taken(offset), &policy(), now);
        }
        let (first, _, _) = lanes.begin(&policy()).expect("one");
        assert!(lanes.begin(&policy()).is_some() && lanes.begin(&policy()).is_none());
        lanes.end(&first, vec![], true, now);
        assert!(lanes.begin(&policy()).is_some());
        assert_eq!((lanes.waiting(), lanes.busy()), (0, 2));
    }

    #[test]
    fn a_batch_lingers_until_its_time_or_until_it_is_full() {
        let policy = Policy { linger_ms: 50, ..policy() };
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.push(lane("a"), taken(1), &policy, now);
        lanes.push(lane("b"), taken(2), &policy, now);
        assert!(lanes.begin(&policy).is_none());
        lanes.push(lane("a"), taken(3), &policy, now);
        let (key, batch, _) = lanes.begin(&policy).expect("full");
        assert_eq!((key, offsets(&batch)), (lane("a"), vec![1, 3]));
        lanes.wake(lanes.next_timer().expect("b lingers"));
        assert_eq!(lanes.begin(&policy).map(|(key, ..)| key), Some(lane("b")));
    }

    #[test]
    fn dropped_records_leave_no_lane_and_no_timer_behind() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for (offset, name) in [(1, "a"), (3, "a"), (5, "b"), (2, "c")] {
            lanes.push(lane(name), taken(offset), &policy(), now);
        }
        let (key, batch, _) = lanes.begin(&policy()).expect("a");
        lanes.end(&key, batch.to_vec(), false, now);
        assert_eq!(lanes.drop_waiting(|at| at.partition == 1), 3);
        assert_eq!(lanes.next_timer(), None);
        let (key, batch, _) = lanes.begin(&policy()).expect("c");
        assert_eq!((key, offsets(&batch)), (lane("c"), vec![2]));
        assert!(lanes.begin(&policy()).is_none());
        assert_eq!(offsets(&lanes.take_all()), [2]);
    }
}
