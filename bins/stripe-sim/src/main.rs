//! A local, stateful, strict Stripe for development and tests.

fn main() {}
