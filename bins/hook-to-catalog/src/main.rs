//! Makes the catalog match Stripe.

fn main() {}
