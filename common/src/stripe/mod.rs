//! Stripe, as far as its customers go: what is sent, what comes back and what that means.
//! Only `client` does network I/O; nothing here decides what ought to be done next.

pub mod answer;
pub mod client;
pub mod event;
pub mod form;
pub mod key;
pub mod look;
pub mod mapping;
pub mod rate;
pub mod signature;
#[cfg(test)]
mod test_server;
pub mod verdict;

pub use answer::{CallError, Page, Reply, Scope};
pub use client::{Client, EventsQuery};
pub use event::EventHead;
pub use key::StripeKey;
pub use look::{Found, Looker};
pub use rate::{Endpoint, Limits, Rate};
pub use verdict::{Verdict, classify, verdict};
