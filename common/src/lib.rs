//! What the programs share, in reading order: a module uses only those above it.

pub mod error;

pub mod clock;
pub mod config;
pub mod log;
pub mod metrics;
pub mod secret;
pub mod shutdown;

pub mod record;

mod in_force;
pub mod sync;

pub mod endpoint;
pub mod pump;

pub mod store;

pub mod stripe;

pub mod http;

pub mod cli;
