//! The partitions we hold, as plain state: what to do with each record read from them. Pure, so
//! that reading ahead and superseding are tested without a broker. Never talks to one.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::offsets::Unfinished;
use crate::endpoint::Position;

/// Topic (by its place among ours) and partition.
pub type Key = (u16, i32);

/// What is to be done with a record that was read.
#[derive(Debug, Eq, PartialEq)]
pub enum Step {
    /// Hand it on.
    Deliver { epoch: u32, fresh: bool },
    /// A newer one of its key waits behind it: it is finished. The offset to store, if it moved.
    Superseded { store: Option<i64> },
    /// Only looked at, or a left-over of an older assignment.
    Skip,
    /// The watermark is reached: read again from here.
    SeekBack { to: i64 },
}

#[derive(Debug)]
enum Phase {
    /// Read up to the watermark, to know the newest record of each key.
    Ahead,
    /// The way back is under way: what still arrives comes from the way there.
    Back,
    Deliver,
}

#[derive(Debug)]
struct Partition {
    epoch: u32,
    /// Where it is read from: the committed offset, or the oldest record.
    start: i64,
    /// The high watermark when it was assigned.
    watermark: i64,
    phase: Phase,
    newest: Newest,
    unfinished: Unfinished,
    at_end: bool,
}

/// The newest offset of each key. Keys are kept as two 64-bit hashes under random seeds: a million
/// customers fit, and two keys alike (one record wrongly left out) is beyond all odds.
#[derive(Debug, Default)]
struct Newest {
    offsets: HashMap<(u64, u64), i64>,
    seeds: (RandomState, RandomState),
}

impl Newest {
    fn key(&self, key: &str) -> (u64, u64) {
        (self.seeds.0.hash_one(key), self.seeds.1.hash_one(key))
    }

    fn remember(&mut self, key: &str, offset: i64) {
        let hash = self.key(key);
        self.offsets.insert(hash, offset);
    }

    /// Whether a newer one was seen. The newest itself is forgotten once it is asked about.
    fn supersedes(&mut self, key: &str, offset: i64) -> bool {
        if self.offsets.is_empty() {
            return false;
        }
        let hash = self.key(key);
        match self.offsets.get(&hash) {
            Some(newest) if *newest > offset => true,
            Some(_) => {
                self.offsets.remove(&hash);
                false
            }
            None => false,
        }
    }
}

/// All partitions we hold, each with the count of its assignment.
#[derive(Debug, Default)]
pub struct Partitions {
    held: HashMap<Key, Partition>,
    epoch: u32,
}

impl Partitions {
    /// A new assignment: what was read before it is not ours to finish.
    pub fn assign(&mut self, list: &[(Key, i64, i64)], read_ahead: bool) {
        self.epoch += 1;
        for (key, start, watermark) in list {
            let ahead = read_ahead && start < watermark;
            let partition = Partition {
                epoch: self.epoch,
                start: *start,
                watermark: *watermark,
                phase: if ahead { Phase::Ahead } else { Phase::Deliver },
                newest: Newest::default(),
                unfinished: Unfinished::default(),
                at_end: false,
            };
            self.held.insert(*key, partition);
        }
    }

    /// Returns those that were held.
    pub fn revoke(&mut self, list: &[Key]) -> Vec<Key> {
        list.iter().copied().filter(|key| self.held.remove(key).is_some()).collect()
    }

    /// A record was read. Without a key it is never superseded.
    pub fn read(&mut self, of: Key, key: Option<&str>, offset: i64) -> Step {
        let Some(partition) = self.held.get_mut(&of) else { return Step::Skip };
        match partition.phase {
            Phase::Ahead => {
                if offset < partition.watermark
                    && let Some(key) = key
                {
                    partition.newest.remember(key, offset);
                }
                if offset + 1 >= partition.watermark { partition.turn_back() } else { Step::Skip }
            }
            Phase::Back => Step::Skip,
            Phase::Deliver => {
                partition.unfinished.read(offset);
                let fresh = offset >= partition.watermark;
                if key.is_some_and(|key| partition.newest.supersedes(key, offset)) {
                    return Step::Superseded { store: partition.unfinished.done(offset) };
                }
                Step::Deliver { epoch: partition.epoch, fresh }
            }
        }
    }

    /// The partition was read to its end: also where gaps in the offsets (a compacted topic,
    /// transactions) hide the watermark.
    pub fn end(&mut self, of: Key) -> Step {
        let Some(partition) = self.held.get_mut(&of) else { return Step::Skip };
        match partition.phase {
            Phase::Ahead => partition.turn_back(),
            Phase::Back => Step::Skip,
            Phase::Deliver => {
                partition.at_end = true;
                Step::Skip
            }
        }
    }

    /// The way back is done: what is read from now on is delivered.
    pub fn back(&mut self, of: Key) {
        if let Some(partition) = self.held.get_mut(&of) {
            partition.phase = Phase::Deliver;
        }
    }

    /// Those that should be read again from their start, where the way back failed before.
    pub fn turning_back(&self) -> Vec<(Key, i64)> {
        let back = |partition: &Partition| matches!(partition.phase, Phase::Back);
        let turning = self.held.iter().filter(|(_, partition)| back(partition));
        turning.map(|(key, partition)| (*key, partition.start)).collect()
    }

    /// Returns the offset to store, if finishing this record moved it.
    pub fn done(&mut self, at: Position) -> Option<i64> {
        let partition = self.held.get_mut(&(at.source, at.partition))?;
        if partition.epoch == at.epoch { partition.unfinished.done(at.offset) } else { None }
    }

    pub fn is_current(&self, at: Position) -> bool {
        let held = self.held.get(&(at.source, at.partition));
        held.is_some_and(|partition| partition.epoch == at.epoch)
    }

    /// The lowest unfinished offsets, of partitions from which something was read.
    pub fn lowest(&self) -> Vec<(Key, i64)> {
        let lowest = |(key, partition): (&Key, &Partition)| {
            partition.unfinished.lowest().map(|offset| (*key, offset))
        };
        self.held.iter().filter_map(lowest).collect()
    }

    pub fn keys(&self) -> Vec<Key> {
        self.held.keys().copied().collect()
    }

    /// Where reading stands: everything before it was read (or is not there any more).
    pub fn next_offset(&self, of: Key) -> Option<i64> {
        let partition = self.held.get(&of)?;
        Some(partition.unfinished.next().unwrap_or(partition.start))
    }

    pub fn all_at_end(&self) -> bool {
        !self.held.is_empty() && self.held.values().all(|partition| partition.at_end)
    }
}

impl Partition {
    fn turn_back(&mut self) -> Step {
        self.phase = Phase::Back;
        Step::SeekBack { to: self.start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Key = (0, 3);

    fn deliver(epoch: u32, fresh: bool) -> Step {
        Step::Deliver { epoch, fresh }
    }

    #[test]
    fn without_reading_ahead_records_are_delivered_as_they_come() {
        let mut partitions = Partitions::default();
        partitions.assign(&[(P, 5, 7)], false);
        assert_eq!(partitions.read(P, Some("a"), 5), deliver(1, false));
        assert_eq!(partitions.read(P, Some("a"), 6), deliver(1, false));
        assert_eq!(partitions.read(P, Some("a"), 7), deliver(1, true));
        assert_eq!(partitions.read((0, 4), Some("a"), 7), Step::Skip);
    }

    #[test]
    fn read_ahead_delivers_only_the_newest_of_each_key_up_to_the_watermark() {
        let mut partitions = Partitions::default();
        partitions.assign(&[(P, 5, 10)], true);
        let keys = [Some("a"), Some("b"), None, Some("a")];
        for (offset, key) in (5..).zip(keys) {
            assert_eq!(partitions.read(P, key, offset), Step::Skip);
        }
        assert_eq!(partitions.read(P, Some("c"), 9), Step::SeekBack { to: 5 });
        // Still from the way there.
        assert_eq!(partitions.read(P, Some("a"), 10), Step::Skip);
        assert_eq!(partitions.turning_back(), [(P, 5)]);
        partitions.back(P);
        assert!(partitions.turning_back().is_empty());
        assert_eq!(partitions.read(P, Some("a"), 5), Step::Superseded { store: Some(6) });
        assert_eq!(partitions.read(P, Some("b"), 6), deliver(1, false));
        assert_eq!(partitions.read(P, None, 7), deliver(1, false));
        assert_eq!(partitions.read(P, Some("a"), 8), deliver(1, false));
        assert_eq!(partitions.read(P, Some("c"), 9), deliver(1, false));
        // Beyond the watermark nothing is known of what follows: all are delivered, fresh.
        assert_eq!(partitions.read(P, Some("a"), 10), deliver(1, true));
        assert_eq!(partitions.read(P, Some("a"), 11), deliver(1, true));
    }

    #[test]
    fn a_superseded_record_moves_the_offset_only_when_those_before_it_are_finished() {
        let mut partitions = Partitions::default();
        partitions.assign(&[(P, 0, 3)], true);
        for (offset, key) in [(0, "b"), (1, "a")] {
            assert_eq!(partitions.read(P, Some(key), offset), Step::Skip);
        }
        assert_eq!(partitions.read(P, Some("a"), 2), Step::SeekBack { to: 0 });
        partitions.back(P);
        partitions.read(P, Some("b"), 0);
        assert_eq!(partitions.read(P, Some("a"), 1), Step::Superseded { store: Some(0) });
        let at = |offset, epoch| Position { source: 0, partition: 3, offset, epoch };
        assert_eq!(partitions.done(at(0, 1)), Some(2));
        assert_eq!(partitions.lowest(), [(P, 2)]);
    }

    #[test]
    fn the_end_of_the_partition_counts_as_its_watermark() {
        let mut partitions = Partitions::default();
        partitions.assign(&[(P, 0, 10)], true);
        assert_eq!(partitions.read(P, Some("a"), 0), Step::Skip);
        assert_eq!(partitions.end(P), Step::SeekBack { to: 0 });
        assert!(!partitions.all_at_end());
        partitions.back(P);
        assert_eq!(partitions.read(P, Some("a"), 0), deliver(1, false));
        partitions.end(P);
        assert!(partitions.all_at_end());
    }

    #[test]
    fn an_empty_partition_is_not_read_ahead() {
        let mut partitions = Partitions::default();
        partitions.assign(&[(P, 4, 4)], true);
        assert_eq!(partitions.read(P, Some("a"), 4), deliver(1, true));
    }

    #[test]
    fn what_was_read_in_an_older_assignment_is_not_ours_to_finish() {
        let mut partitions = Partitions::default();
        partitions.assign(&[(P, 0, 0), ((0, 4), 0, 0)], false);
        partitions.read(P, None, 0);
        let old = Position { source: 0, partition: 3, offset: 0, epoch: 1 };
        assert!(partitions.is_current(old));
        assert_eq!(partitions.revoke(&[P, (0, 9)]), [P]);
        assert!(!partitions.is_current(old));
        partitions.assign(&[(P, 0, 1)], false);
        partitions.read(P, None, 0);
        assert!(!partitions.is_current(old));
        assert_eq!(partitions.done(old), None);
        assert_eq!(partitions.done(Position { epoch: 2, ..old }), Some(1));
        assert!(partitions.is_current(Position { partition: 4, epoch: 1, ..old }));
    }
}
