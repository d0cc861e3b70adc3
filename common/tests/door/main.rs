//! The HTTP server over raw sockets, byte by byte: what is refused, what is limited, what is kept.
#![allow(clippy::unwrap_used)]

mod limits;
mod messages;
mod shares;
mod smuggling;
mod streams;
mod support;
