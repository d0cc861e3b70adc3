//! What the programs share, in reading order: a module uses only those above it.

pub mod clock;
pub mod endpoint;
pub mod error;
pub mod record;
pub mod store;
pub mod sync;
