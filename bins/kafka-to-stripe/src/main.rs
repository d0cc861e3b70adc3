//! Makes Stripe match the catalog.

fn main() {}
