//! The records that flow through topics and pipes: parse, validate, print. Readers ignore members
//! they do not know; writers add none unasked. Nothing here does I/O or reads a clock.

pub mod change;
pub mod compact;
pub mod customer;
pub mod fields;
pub mod outcome;
pub mod snapshot;
pub mod validate;

pub use change::{Change, Pending, SystemPart};
pub use customer::Customer;
pub use fields::{Address, Field, Fields, Value};
pub use outcome::{Outcome, SyncResult};
pub use snapshot::{Previous, Snapshot, Stamp, StripeEvent};

pub use crate::clock::{Millis, Seconds};

/// The name of the one system so far, in records, in the store and in `systems`.
pub const STRIPE: &str = "stripe";
/// The origin of a change made through the API.
pub const API: &str = "api";
