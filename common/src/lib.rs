//! What the programs share, in reading order: a module uses only those above it.

pub mod endpoint;
pub mod error;
