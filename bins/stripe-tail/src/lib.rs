//! Reads from Stripe what webhooks missed: its events of the last 30 days, or all its customers.
//! It writes the records that `stripe-hook` would have written, and changes nothing at Stripe.

pub mod args;
pub mod ask;
pub mod broker;
pub mod customers;
pub mod follow;
pub mod run;
pub mod since;
pub mod state;
pub mod walk;
pub mod write;
