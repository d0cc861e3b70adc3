//! Tests of the whole, and what they need: real processes, a real broker, a real SQLite file,
//! and `stripe-sim` for the one thing that is outside this machine.

pub mod harness;
pub mod load;
pub mod sim;

// The sync rules once more, from the very same files, but with a switch for each of them: whether a
// rule is tested is seen by breaking it. The programs' own copy, in `common`, has no switches.
pub mod in_force;
#[path = "../../common/src/sync/mod.rs"]
pub mod sync;

// Where the rules look for what they use.
use common::{clock, record};
