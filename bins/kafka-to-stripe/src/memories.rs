//! What is remembered of each customer at Stripe, for as long as its partition is ours.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use common::endpoint::Position;
use common::sync::outbound::Memory;

/// Customers remembered at most, some 200 bytes each. One forgotten costs a GET, nothing else.
const CUSTOMERS_MAX: usize = 50_000;

#[derive(Debug, Default)]
pub struct Memories(Mutex<HashMap<String, (u32, Memory)>>);

impl Memories {
    /// What is known of this customer; nothing after a new assignment of its partition, since
    /// another instance may have written meanwhile.
    pub fn recall(&self, customer: &str, at: Position) -> Memory {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(customer) {
            Some((epoch, memory)) if *epoch == at.epoch => memory.clone(),
            Some(_) | None => Memory::default(),
        }
    }

    pub fn keep(&self, customer: &str, at: Position, memory: Memory) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CUSTOMERS_MAX && !known.contains_key(customer) {
            known.clear();
        }
        known.insert(customer.to_owned(), (at.epoch, memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &str) -> Memory {
        let mut memory = Memory::default();
        memory.id.replace(id.into());
        memory
    }

    fn at(epoch: u32) -> Position {
        Position { source: 0, partition: 0, offset: 1, epoch }
    }

    #[test]
    fn a_new_assignment_forgets() {
        let memories = Memories::default();
        let memory = known("cus_1");
        memories.keep("a", at(1), memory.clone());
        assert_eq!(memories.recall("a", at(1)), memory);
        assert_eq!(memories.recall("a", at(2)), Memory::default());
    }

    #[test]
    fn it_never_outgrows_its_limit() {
        let memories = Memories::default();
        for n in 0..=CUSTOMERS_MAX {
            memories.keep(&n.to_string(), at(1), Memory::default());
        }
        assert!(memories.0.lock().expect("not poisoned").len() <= CUSTOMERS_MAX);
    }
}
