//! Makes Stripe match the catalog: takes change events, asks the sync rules for the next step,
//! performs it, and hands on what came of it.
//!
//! It never decides by itself what to send, and never opens the catalog's file.

pub mod cli;
pub mod edge;
pub mod memories;
pub mod mover;
