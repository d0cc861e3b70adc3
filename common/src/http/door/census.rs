//! Who is connected: how many in all, how many of each address, and who only waits. A newcomer to
//! a full house takes the place of whoever has waited longest without a request, so that idle and
//! slow connections can never keep others out.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::limits::{EVICTION_SCAN_MAX, Limits};

#[derive(Debug)]
pub struct Census {
    limits: Limits,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Those without a whole request, who waits longest first.
    waiting: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    /// Counts up with each wait.
    turn: u64,
}

/// A connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    census: Arc<Census>,
    address: IpAddr,
    leave: Arc<Notify>,
    turn: Option<u64>,
}

impl Census {
    pub fn new(limits: Limits) -> Self {
        Self { limits, inner: Mutex::default() }
    }

    /// A place for a connection from there; `None` when the house is full of busy ones.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let address = network(peer);
        let mut inner = self.lock();
        let of_address = inner.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.limits.connections_per_address_max {
            if !inner.evict(Some(address)) {
                return None;
            }
        } else if inner.all >= self.limits.connections_max && !inner.evict(None) {
            return None;
        }
        inner.all += 1;
        *inner.by_address.entry(address).or_default() += 1;
        drop(inner);
        let (census, leave) = (Arc::clone(self), Arc::new(Notify::new()));
        let mut seat = Seat { census, address, leave, turn: None };
        // At once: of a burst, the first must be able to make place for the last.
        seat.waits();
        Some(seat)
    }

    /// Asks so many of those that wait to leave, and tells how many will.
    pub fn evict(&self, count: usize) -> usize {
        let mut inner = self.lock();
        (0..count).take_while(|_| inner.evict(None)).count()
    }

    pub fn count(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Asks who waits longest (of that address) to leave. False if there is nobody.
    fn evict(&mut self, address: Option<IpAddr>) -> bool {
        let mut oldest = self.waiting.iter().take(EVICTION_SCAN_MAX);
        let turn = oldest.find(|(_, (other, _))| address.is_none_or(|address| address == *other));
        let turn = turn.map(|(turn, _)| *turn);
        let leaves = turn.and_then(|turn| self.waiting.remove(&turn));
        if let Some((_, leave)) = &leaves {
            leave.notify_one();
        }
        leaves.is_some()
    }
}

impl Seat {
    /// A request is waited for: the seat can be taken away.
    pub fn waits(&mut self) {
        if self.turn.is_some() {
            return;
        }
        let mut inner = self.census.lock();
        inner.turn += 1;
        let turn = inner.turn;
        inner.waiting.insert(turn, (self.address, Arc::clone(&self.leave)));
        drop(inner);
        self.turn = Some(turn);
    }

    /// A request is there.
    pub fn works(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.census.lock().waiting.remove(&turn);
        }
    }

    /// Returns when somebody else needs the seat.
    pub async fn taken(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.works();
        let mut inner = self.census.lock();
        inner.all -= 1;
        if let Some(count) = inner.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                inner.by_address.remove(&self.address);
            }
        }
    }
}

/// In IPv6 one machine has a whole /64 network to come from.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(all: usize, per_address: usize) -> Arc<Census> {
        Arc::new(Census::new(Limits {
            connections_max: all,
            connections_per_address_max: per_address,
            ..Limits::DEFAULT
        }))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn busy(census: &Arc<Census>, from: &str) -> Seat {
        let mut seat = census.enter(address(from)).expect("a seat");
        seat.works();
        seat
    }

    fn is_taken(seat: &Seat) -> bool {
        let mut taken = std::pin::pin!(seat.taken());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        taken.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn a_newcomer_takes_the_seat_of_who_waits_longest() {
        let census = census(3, 3);
        let mut seats = ["1.1.1.1", "2.2.2.2", "3.3.3.3"].map(|text| busy(&census, text));
        assert!(census.enter(address("4.4.4.4")).is_none(), "all are busy");
        for index in [1, 2, 0] {
            seats[index].waits();
        }
        seats[1].works();
        assert!(census.enter(address("4.4.4.4")).is_some());
        assert_eq!(seats.each_ref().map(is_taken), [false, false, true]);
    }

    #[test]
    fn a_full_address_takes_from_its_own() {
        let census = census(10, 1);
        let other = census.enter(address("2.2.2.2")).expect("a seat");
        let mut first = busy(&census, "1.1.1.1");
        assert!(census.enter(address("1.1.1.1")).is_none(), "its own is busy");
        first.waits();
        assert!(census.enter(address("::ffff:1.1.1.1")).is_some());
        assert!(is_taken(&first) && !is_taken(&other));
        let _one = busy(&census, "2001:db8::1");
        assert!(census.enter(address("2001:db8::2")).is_none(), "one network");
        assert!(census.enter(address("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let census = census(2, 2);
        for _ in 0..10 {
            drop(census.enter(address("1.1.1.1")).expect("a seat"));
        }
        assert_eq!((census.count(), census.evict(5)), (0, 0));
        assert!(census.lock().by_address.is_empty());
    }
}
