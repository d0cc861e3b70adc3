//! What the programs share, in reading order: a module uses only those above it.

pub mod error;
pub mod clock;
pub mod record;
pub mod sync;
pub mod endpoint;
