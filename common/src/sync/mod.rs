//! The sync model: pure functions without I/O, clock or randomness. The programs ask them what to
//! do and do it; a seeded simulator runs the very same functions under faults.
//!
//! Two ideas carry it. *Stripe puts the edits in order*: of two edits of one field made without
//! knowing of each other, the one that reaches Stripe last wins, and no clock is asked. *The
//! stamp*: every create and update we send sets `metadata[catalog_version]` too, so every snapshot
//! says which of our changes it contains, whoever made it and in whatever order it arrives.

pub mod announce;
pub mod inbound;
pub mod late;
pub mod outbound;
pub mod policy;
pub mod repeat;
pub mod results;
pub mod rules;
pub mod settle;
pub mod state;
pub mod whose;
pub mod write;

#[cfg(test)]
mod tests;

pub use inbound::{Doubt, Seen, Took};
pub use policy::{Deletes, Owner, Owners, Policy};
pub use state::{Conflict, Entry, Refusal, SyncState};
