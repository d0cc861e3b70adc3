//! The API's paths and methods (DESIGN 2.5), and who may call. What a call does is in `customers`,
//! `list` and `idempotency`.

use std::sync::Arc;
use std::time::Duration;

use common::http::{Answer, Guard, Handler, Method, Problem, Request, Response};
use common::store::Writer;

use crate::metrics::ApiMetrics;
use crate::readers::Readers;
use crate::ready::Ready;
use crate::{customers, list, web};

/// What every call works with.
pub struct Api {
    pub writer: Writer,
    pub readers: Arc<Readers>,
    pub guard: Guard,
    pub metrics: ApiMetrics,
    pub ready: Arc<Ready>,
}

impl Handler for Api {
    fn handle(&self, request: &mut Request) -> Answer {
        let segments: Vec<_> = request.segments.iter().map(String::as_str).collect();
        match *segments.as_slice() {
            ["healthz"] => {
                request.route = "/healthz";
                only_get(request)?;
                Ok(Response::text(200, "ok\n"))
            }
            ["readyz"] => {
                request.route = "/readyz";
                only_get(request)?;
                Ok(match self.ready.check() {
                    Ok(()) => Response::text(200, "ready\n"),
                    Err(why) => Response::text(503, format!("not ready: {why}\n")),
                })
            }
            ["metrics"] => {
                request.route = "/metrics";
                only_get(request)?;
                self.guard.check(request)?;
                let counts = self.readers.read(common::store::Store::counts)?;
                let text = self.metrics.render(&counts);
                Ok(Response::bytes(200, common::metrics::CONTENT_TYPE, text.into_bytes()))
            }
            ["customers"] => {
                request.route = "/customers";
                self.guard.check(request)?;
                private(match request.method {
                    Method::Get => list::list(self, request),
                    Method::Post => customers::create(self, request),
                    _ => other(request, &["GET", "HEAD", "POST", "OPTIONS"]),
                })
            }
            ["customers", id] => {
                let id = id.to_owned();
                request.route = "/customers/{id}";
                self.guard.check(request)?;
                private(match request.method {
                    Method::Get => customers::get(self, request, &id),
                    Method::Put => customers::put(self, request, id),
                    Method::Patch => customers::patch(self, request, id),
                    Method::Delete => customers::delete(self, request, id),
                    _ => other(request, &["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]),
                })
            }
            ["customers", id, "resync"] => {
                let id = id.to_owned();
                request.route = "/customers/{id}/resync";
                self.guard.check(request)?;
                private(match request.method {
                    Method::Post => customers::resync(self, request, id),
                    _ => other(request, &["POST", "OPTIONS"]),
                })
            }
            [] => page(request, "/"),
            ["assets", _] => page(request, "/assets/{file}"),
            ["docs"] => page(request, "/docs"),
            ["docs", _] => page(request, "/docs/{file}"),
            ["openapi.json"] => page(request, "/openapi.json"),
            _ => {
                self.guard.check(request)?;
                let path = &request.path;
                Err(Problem::not_found(format!(
                    "nothing is at {path}; customers are at /customers"
                )))
            }
        }
    }

    fn observe(&self, request: &Request, status: u16, elapsed: Duration) {
        self.metrics.answered(request.method, request.route, status, elapsed);
    }
}

/// A file for browsers. It needs no token.
fn page(request: &mut Request, route: &'static str) -> Answer {
    request.route = route;
    only_get(request)?;
    web::file(request)
}

fn only_get(request: &Request) -> Result<(), Problem> {
    match request.method {
        Method::Get => Ok(()),
        _ => Err(Problem::method_not_allowed(&["GET", "HEAD"])),
    }
}

/// What is left when no method of the path matched.
fn other(request: &Request, allowed: &[&str]) -> Answer {
    match request.method {
        Method::Options => Ok(Response::empty(204).header("Allow", allowed.join(", "))),
        _ => Err(Problem::method_not_allowed(allowed)),
    }
}

/// Answers hold personal data, and `sync` changes without a new version: nobody keeps a copy.
fn private(answer: Answer) -> Answer {
    match answer {
        Ok(response) => Ok(response.header("Cache-Control", "no-store")),
        Err(problem) => Err(problem.header("Cache-Control", "no-store")),
    }
}
