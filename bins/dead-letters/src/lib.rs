//! Lists, shows and puts back the records that could not be processed: from a topic of dead
//! letters, from a file of them, or from stdin.
//!
//! It never changes a record, never deletes a dead letter, and knows nothing of what one means.

pub mod cli;
pub mod input;
pub mod letter;
pub mod parse;
pub mod redrive;
pub mod redriven;
pub mod select;
