//! The harness: starts programs, the broker and stripe-sim, and stops them.
