//! Makes the catalog match Stripe: takes Stripe's events, the results of our own writes and plain
//! customers, and does to the catalog what the sync rules say.
//!
//! It never writes to Stripe. It reads a customer there only when the rules are in doubt.

pub mod apply;
pub mod ask;
pub mod cli;
pub mod input;
pub mod mover;
pub mod no_output;
