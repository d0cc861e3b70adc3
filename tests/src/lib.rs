//! Tests of the whole, and what they need: real processes, a real broker, a real SQLite file,
//! and `stripe-sim` for the one thing that is outside this machine.

pub mod harness;
pub mod load;
pub mod sim;
