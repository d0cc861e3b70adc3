//! Which dead letters of one partition were put back: all below an offset, and some above it. The
//! broker keeps it as the group's committed offset, and the ranges above in the text beside it.
//!
//! So whoever looks at the group's lag sees what is left at most, and a selection is remembered
//! exactly. What does not fit is forgotten: then a letter is put back twice, which is harmless.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The broker keeps 4,096 bytes beside an offset, unless it is told otherwise.
const TEXT_BYTES_MAX: usize = 4_000;

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Redriven {
    /// All below it were put back, or are not there any more.
    next: i64,
    /// Ranges above it: first offset, and one past the last.
    above: BTreeMap<i64, i64>,
}

impl Redriven {
    /// From what the group committed, for a partition that begins at `low` and ends before `end`.
    pub fn read(committed: Option<(i64, &str)>, low: i64, end: i64) -> Self {
        // Beyond the end: the topic is another one than it was, and nothing of it was put back.
        let (next, text) = committed.filter(|(next, _)| *next <= end).unwrap_or((low, ""));
        let mut redriven = Self { next: next.max(low), above: BTreeMap::new() };
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else {
                continue;
            };
            if redriven.next <= first && first <= last && last < end {
                redriven.above.insert(first, last + 1);
            }
        }
        redriven.close_up();
        redriven
    }

    /// The first that was not put back.
    pub fn next(&self) -> i64 {
        self.next
    }

    pub fn contains(&self, offset: i64) -> bool {
        let before = self.above.range(..=offset).next_back();
        offset < self.next || before.is_some_and(|(_, past)| offset < *past)
    }

    pub fn add(&mut self, offset: i64) {
        if self.contains(offset) {
            return;
        }
        let past = self.above.remove(&(offset + 1)).unwrap_or(offset + 1);
        match self.above.range_mut(..offset).next_back() {
            Some((_, end)) if *end == offset => *end = past,
            Some(_) | None => {
                self.above.insert(offset, past);
            }
        }
        self.close_up();
    }

    /// What the group is to commit: the offset, and the text beside it. The highest ranges are left
    /// out where there is no room.
    pub fn mark(&self) -> (i64, String) {
        let mut text = String::new();
        for (first, past) in &self.above {
            let fits = text.len();
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = if *past == first + 1 {
                write!(text, "{comma}{first}")
            } else {
                write!(text, "{comma}{first}-{}", past - 1)
            };
            if text.len() > TEXT_BYTES_MAX {
                text.truncate(fits);
                break;
            }
        }
        (self.next, text)
    }

    fn close_up(&mut self) {
        while let Some(first) = self.above.first_entry().filter(|first| *first.key() <= self.next) {
            self.next = self.next.max(first.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_remembered_exactly_and_the_offset_moves_over_what_is_complete() {
        let mut redriven = Redriven::read(None, 5, 100);
        for (offset, mark) in [
            (7, (5, "7")),
            (9, (5, "7,9")),
            (8, (5, "7-9")),
            (8, (5, "7-9")),
            (20, (5, "7-9,20")),
            (6, (5, "6-9,20")),
            (5, (10, "20")),
        ] {
            redriven.add(offset);
            let (next, text) = redriven.mark();
            assert_eq!((next, text.as_str()), mark, "after {offset}");
            assert_eq!(Redriven::read(Some((next, &text)), 5, 100), redriven);
        }
        let put_back: Vec<i64> = (0..30).filter(|offset| redriven.contains(*offset)).collect();
        assert_eq!(put_back, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20]);
    }

    #[test]
    fn what_the_group_says_of_another_topic_or_in_other_words_is_no_reason_to_skip_a_letter() {
        assert_eq!(Redriven::read(Some((50, "60")), 0, 10).next(), 0, "recreated, and shorter");
        assert_eq!(Redriven::read(Some((3, "")), 8, 10).next(), 8, "the oldest are gone");
        let odd = Redriven::read(Some((3, "x,9-4,-1,4-5,8-99,")), 0, 20);
        assert_eq!(odd.mark(), (3, "4-5".to_owned()));
    }

    #[test]
    fn what_does_not_fit_beside_the_offset_is_forgotten_from_above() {
        let mut redriven = Redriven::read(None, 0, 100_000);
        (1..4_000).for_each(|n| redriven.add(2 * n));
        let (next, text) = redriven.mark();
        assert!(text.len() <= TEXT_BYTES_MAX && next == 0);
        let read = Redriven::read(Some((next, &text)), 0, 100_000);
        assert!(read.contains(2) && read.contains(1000) && !read.contains(7_998));
    }
}
