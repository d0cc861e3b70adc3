//! The customer catalog: REST on SQLite, announcing every change.

fn main() {}
