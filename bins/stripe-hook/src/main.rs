//! Takes Stripe's webhooks, believes only signed ones, hands them on.

fn main() {}
