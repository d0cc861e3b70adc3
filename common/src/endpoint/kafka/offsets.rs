//! Which offset of a partition may be stored: the lowest unfinished one, never a later one,
//! in whatever order records are finished.

use std::collections::BTreeSet;

/// The unfinished records of one partition in one assignment. Its size is that of what is in hand:
/// a record that stays unfinished for hours holds the stored offset, but costs no memory.
#[derive(Debug, Default)]
pub struct Unfinished {
    offsets: BTreeSet<i64>,
    next: Option<i64>,
    stored: Option<i64>,
}

impl Unfinished {
    pub fn read(&mut self, offset: i64) {
        self.offsets.insert(offset);
        self.next = Some(self.next.map_or(offset + 1, |next| next.max(offset + 1)));
    }

    /// Returns the offset to store, if finishing this record moved it.
    pub fn done(&mut self, offset: i64) -> Option<i64> {
        if !self.offsets.remove(&offset) {
            return None;
        }
        let lowest = self.lowest()?;
        if self.stored.is_some_and(|stored| stored >= lowest) {
            return None;
        }
        self.stored = Some(lowest);
        Some(lowest)
    }

    /// Where a restart would begin; `None` when nothing was read yet.
    pub fn lowest(&self) -> Option<i64> {
        self.offsets.first().copied().or(self.next)
    }

    /// One past the highest offset read; `None` before the first.
    pub fn next(&self) -> Option<i64> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_offset_is_the_lowest_unfinished_one() {
        let mut unfinished = Unfinished::default();
        assert_eq!(unfinished.lowest(), None);
        for offset in [10, 11, 13] {
            unfinished.read(offset);
        }
        assert_eq!(unfinished.lowest(), Some(10));
        assert_eq!(unfinished.done(11), Some(10));
        assert_eq!(unfinished.done(13), None);
        assert_eq!(unfinished.done(10), Some(14));
        assert_eq!((unfinished.done(10), unfinished.lowest()), (None, Some(14)));
        unfinished.read(14);
        assert_eq!((unfinished.lowest(), unfinished.next()), (Some(14), Some(15)));
        assert_eq!(unfinished.done(99), None);
    }
}
