//! The program as others see it: a real process, asked over HTTP.

mod access;
mod bulk;
mod changes;
mod conflicts;
mod edges;
mod history;
mod lists;
mod process;
mod refusals;
mod support;
