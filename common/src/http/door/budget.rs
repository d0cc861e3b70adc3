//! Memory that all connections share: for what they have sent and what they have not taken yet.
//! Many connections that each hold a little less than they may are thus no more than this.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    bytes: AtomicUsize,
}

/// What one holds of it. It is given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes: AtomicUsize::new(0) })
    }

    pub fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }
}

impl Share {
    /// Holds so much from now on, more or less than before. False if there is not so much.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let (before, used) = (self.bytes, &self.budget.bytes);
        if bytes <= before {
            used.fetch_sub(before - bytes, Ordering::Relaxed);
        } else {
            let more = bytes - before;
            if used.fetch_add(more, Ordering::Relaxed) + more > self.budget.bytes_max {
                used.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_one_whole_and_come_back() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.hold(6) && !other.hold(5) && other.hold(4));
        assert!(one.hold(2) && other.hold(8));
        drop(other);
        assert!(one.hold(10) && !one.hold(11));
        drop(one);
        assert_eq!(budget.bytes.load(Ordering::Relaxed), 0);
    }
}
