//! The customer catalog: REST on SQLite, announcing every change.
//!
//! A request is answered when its row and its change event are durable, in one transaction. The
//! relay publishes the events. It never talks to Stripe, and never decides what an edit means for
//! the sync: the rules in `common::sync` do.

mod access;
mod again;
mod api;
mod body;
mod broker;
mod bulk;
pub mod cli;
mod condition;
mod conflicts;
mod cors;
mod customers;
mod history;
mod idempotency;
mod list;
mod metrics;
mod pages;
mod readers;
mod ready;
mod relay;
mod route;
mod shown;
mod spool;
mod upsert;
mod visitor;
mod watch;
mod web;
