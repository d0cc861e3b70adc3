//! HTTP for the servers: a fixed pool of workers over `tiny_http`, requests taken apart, answers
//! put together, errors as `application/problem+json`. Nothing here knows what a customer is, and
//! no answer ever tells the inside of an error: that goes to the log, under the request's id.

mod auth;
mod problem;
mod request;
mod response;
mod server;
mod stream;

pub use auth::{Guard, is_loopback};
pub use problem::{Fault, Problem};
pub use request::{Method, Request};
pub use response::{Body, Response};
pub use server::{Answer, BodyPlan, Handler, Options, Server, method_name};
pub use stream::{BodyStream, Line, StreamLimits};
