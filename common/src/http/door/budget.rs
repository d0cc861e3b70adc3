//! Memory that all connections share: for what they have sent and what they have not taken yet.
//! Many connections that each hold a little less than they may are thus no more than this. One
//! address may hold a quarter, and when there is no more, whoever has waited longest with what it
//! holds is cut off: who never sends the rest, or never takes it, cannot keep others out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::census::network;

#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Those that can be cut off, who holds longest first.
    waiting: BTreeMap<u64, Holder>,
    /// Counts up with each that begins to hold.
    turn: u64,
}

#[derive(Debug)]
struct Holder {
    address: IpAddr,
    bytes: usize,
    cut: Arc<Notify>,
}

/// What one holds of it. It is given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    address: IpAddr,
    bytes: usize,
    /// While it waits: since when, and how it is told that it was cut off.
    waits: Option<(u64, Arc<Notify>)>,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, inner: Mutex::default() })
    }

    pub fn share(self: &Arc<Self>, peer: IpAddr) -> Share {
        Share { budget: Arc::clone(self), address: network(peer), bytes: 0, waits: None }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes room for so much more. False if only what cannot be cut off is left, or if whoever
    /// asks has waited longest itself.
    fn make_room(&mut self, bytes_max: usize, share: &Share, more: usize) -> bool {
        loop {
            let of_address = self.by_address.get(&share.address).copied().unwrap_or(0);
            // Something that is longer than a quarter passes, one at a time.
            let is_alone = of_address == share.bytes;
            let address = if !is_alone && of_address + more > bytes_max / 4 {
                Some(share.address)
            } else if self.bytes + more > bytes_max {
                None
            } else {
                return true;
            };
            if !self.cut(address, share.waits.as_ref().map(|(turn, _)| *turn)) {
                return false;
            }
        }
    }

    /// Cuts off who waits longest (of that address), unless that is the one who asks. Its memory
    /// counts as free at once: it is told before anything else is read.
    fn cut(&mut self, address: Option<IpAddr>, asks: Option<u64>) -> bool {
        let mut waiting = self.waiting.iter();
        let oldest = waiting.find(|(_, other)| address.is_none_or(|own| own == other.address));
        let turn = oldest.map(|(turn, _)| *turn).filter(|turn| Some(*turn) != asks);
        let Some(holder) = turn.and_then(|turn| self.waiting.remove(&turn)) else { return false };
        self.count(holder.address, holder.bytes, 0);
        holder.cut.notify_one();
        true
    }

    fn count(&mut self, address: IpAddr, before: usize, now: usize) {
        self.bytes = self.bytes - before + now;
        let of_address = self.by_address.entry(address).or_default();
        *of_address = *of_address - before + now;
        if *of_address == 0 {
            self.by_address.remove(&address);
        }
    }
}

impl Share {
    /// Holds so much from now on, more or less than before, and can be cut off. False if there is
    /// not so much, or if it was cut off.
    pub fn hold(&mut self, bytes: usize) -> bool {
        if bytes == 0 && self.bytes == 0 {
            return true;
        }
        let budget = Arc::clone(&self.budget);
        let mut inner = budget.lock();
        if !self.is_whole(&inner) {
            return false;
        }
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && (bytes > budget.bytes_max || !inner.make_room(budget.bytes_max, self, more))
        {
            return false;
        }
        inner.count(self.address, self.bytes, bytes);
        self.bytes = bytes;
        if bytes == 0 {
            self.stop_waiting(&mut inner);
            return true;
        }
        let (turn, cut) = self.waits.get_or_insert_with(|| {
            inner.turn += 1;
            (inner.turn, Arc::default())
        });
        let holder = Holder { address: self.address, bytes, cut: Arc::clone(cut) };
        inner.waiting.insert(*turn, holder);
        true
    }

    /// What is held is whole and in use: it cannot be cut off any more.
    pub fn keep(&mut self) {
        if self.waits.is_some() {
            let budget = Arc::clone(&self.budget);
            let mut inner = budget.lock();
            if self.is_whole(&inner) {
                self.stop_waiting(&mut inner);
            }
        }
    }

    /// Returns when others need the memory.
    pub async fn cut(&self) {
        match &self.waits {
            Some((_, cut)) => cut.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Was it not cut off? If it was, nothing of it counts any more.
    fn is_whole(&mut self, inner: &Inner) -> bool {
        let is_cut = self.waits.as_ref().is_some_and(|(turn, _)| !inner.waiting.contains_key(turn));
        if is_cut {
            (self.bytes, self.waits) = (0, None);
        }
        !is_cut
    }

    fn stop_waiting(&mut self, inner: &mut Inner) {
        if let Some((turn, _)) = self.waits.take() {
            inner.waiting.remove(&turn);
        }
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

    fn share(budget: &Arc<Budget>, from: &str) -> Share {
        budget.share(from.parse().expect(from))
    }

    fn is_cut(share: &Share) -> bool {
        let mut cut = std::pin::pin!(share.cut());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        cut.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn shares_are_of_one_whole_and_come_back() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (share(&budget, "1.1.1.1"), share(&budget, "2.2.2.2"));
        assert!(one.hold(6));
        one.keep();
        assert!(!other.hold(5) && other.hold(4));
        assert!(one.hold(2) && other.hold(8));
        drop(other);
        assert!(one.hold(10) && !one.hold(11));
        drop(one);
        let inner = budget.lock();
        assert!(inner.bytes == 0 && inner.by_address.is_empty() && inner.waiting.is_empty());
    }

    #[test]
    fn who_waits_longest_is_cut_off_and_who_is_whole_is_not() {
        let budget = Budget::new(10);
        let from = ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"];
        let mut shares = from.map(|from| share(&budget, from));
        assert!(shares[..3].iter_mut().all(|share| share.hold(3)));
        shares[0].keep();
        assert!(!shares[1].hold(5), "it has waited longest itself");
        assert!(shares[3].hold(3));
        assert_eq!(shares.each_ref().map(is_cut), [false, true, false, false]);
        assert!(!shares[1].hold(1), "it was cut off");
        drop(shares);
        assert!(budget.lock().bytes == 0 && budget.lock().by_address.is_empty());
    }

    #[test]
    fn an_address_holds_a_quarter_or_one_thing() {
        for (first, second) in [("1.1.1.1", "::ffff:1.1.1.1"), ("2001:db8::1", "2001:db8::2")] {
            let budget = Budget::new(40);
            let (mut old, mut other) = (share(&budget, "2.2.2.2"), share(&budget, "3.3.3.3"));
            assert!(old.hold(1) && other.hold(20), "one thing is as long as it likes");
            let (mut one, mut more) = (share(&budget, first), share(&budget, second));
            assert!(one.hold(6) && more.hold(4) && more.hold(5), "it takes from its own");
            assert!(is_cut(&one) && !is_cut(&old) && !is_cut(&other));
            more.keep();
            assert!(!share(&budget, first).hold(6), "its own is in use");
        }
    }
}
