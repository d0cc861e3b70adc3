//! HTTP for the servers: a door that strangers cannot hurt, behind it `tiny_http` and a fixed pool
//! of workers; requests taken apart, answers put together, errors as `application/problem+json`.
//! Nothing here knows what a customer is, and no answer ever tells the inside of an error: that
//! goes to the log, under the request's id.

mod auth;
mod door;
mod exchange;
mod print;
mod problem;
mod request;
mod response;
mod server;
mod stream;
mod workers;

pub use auth::{Guard, is_loopback};
pub use door::Limits;
pub use problem::{Fault, Problem};
pub use request::{Method, Request};
pub use response::{Body, Response};
pub use server::{Answer, BodyPlan, Handler, Options, Server, method_name};
pub use stream::{BodyStream, Line, StreamLimits};
