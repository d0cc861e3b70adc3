//! Takes Stripe's webhooks, believes only signed ones and hands them on as they are. What an event
//! means is not this program's business: it forwards every one that Stripe signed.

pub mod args;
pub mod run;
pub mod serve;
pub mod webhook;
