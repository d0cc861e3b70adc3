//! Reads from Stripe what webhooks missed.

fn main() {}
