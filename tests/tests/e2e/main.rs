//! The pipeline end to end: real programs, the real broker, a real SQLite file, `stripe-sim`.

mod both_ways;
mod broker;
mod conflict;
mod copied;
mod crash;
mod deleted;
mod doubt;
mod kept;
mod killed;
mod late;
mod narrow;
mod once;
mod order;
mod owned;
mod pipes;
mod quiet;
mod redrive;
