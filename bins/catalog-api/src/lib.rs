//! The customer catalog: REST on SQLite, announcing every change.
//!
//! A request is answered when its row and its change event are durable, in one transaction. The
//! relay publishes the events. It never talks to Stripe, and never decides what an edit means for
//! the sync: the rules in `common::sync` do.

mod again;
mod api;
mod broker;
pub mod cli;
mod customers;
mod idempotency;
mod list;
mod metrics;
mod readers;
mod ready;
mod relay;
mod shown;
mod watch;
mod web;
