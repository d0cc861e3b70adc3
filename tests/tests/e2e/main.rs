//! The pipeline end to end: real programs, the real broker, a real SQLite file, `stripe-sim`.

mod both_ways;
mod broker;
mod crash;
mod order;
mod pipes;
mod quiet;
