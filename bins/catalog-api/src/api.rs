//! Takes requests to what they ask for. Who may call is decided in `access`, `visitor` and `cors`, what a path
//! means in `route`; what a call does, in `customers`, `bulk`, `list`, `history` and `conflicts`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::http::{Answer, BodyPlan, Handler, Method, Problem, Request, Response, method_name};
use common::store::{Store, Writer};
use common::sync::Policy;

use crate::access::Access;
use crate::body::BODY_BYTES_MAX;
use crate::cors::Cors;
use crate::metrics::ApiMetrics;
use crate::readers::Readers;
use crate::ready::Ready;
use crate::route::Route;
use crate::{bulk, conflicts, customers, history, list, visitor, web};

/// What every call works with.
pub struct Api {
    pub writer: Writer,
    pub readers: Arc<Readers>,
    pub access: Access,
    pub cors: Cors,
    pub metrics: ApiMetrics,
    pub ready: Arc<Ready>,
    pub policy: Arc<Policy>,
    pub imports: bulk::Imports,
    /// Where answers wait that do not fit into memory: the database's folder.
    pub folder: PathBuf,
}

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const NDJSON: &str = crate::pages::NDJSON;

impl Handler for Api {
    /// Path, token, method and content type, in this order, before a body is read.
    fn admit(&self, request: &Request) -> Result<BodyPlan, Problem> {
        if self.cors.is_preflight(request) {
            return Ok(BodyPlan::Gather { bytes_max: BODY_BYTES_MAX });
        }
        self.admitted(request).map_err(|problem| self.cors.open_problem(request, problem))
    }

    fn handle(&self, request: &mut Request) -> Answer {
        if self.cors.is_preflight(request) {
            return Ok(self.cors.preflight(request));
        }
        match self.call(request) {
            Ok(response) => Ok(self.cors.open(request, response)),
            // A page that may call may also see what was wrong.
            Err(problem) => Err(self.cors.open_problem(request, problem)),
        }
    }

    fn observe(&self, request: &Request, status: u16, elapsed: Duration) {
        self.metrics.answered(request.method, Route::of(request).name(), status, elapsed);
    }
}

impl Api {
    fn admitted(&self, request: &Request) -> Result<BodyPlan, Problem> {
        let route = Route::of(request);
        if !route.is_public() {
            self.access.check(request).map_err(private)?;
            if self.access.admits_any_page() {
                visitor::check(request, &self.cors).map_err(private)?;
            }
        }
        if route == Route::Nothing {
            let path = &request.path;
            let detail = format!("nothing is at {path}; customers are at /customers");
            return Err(Problem::not_found(detail));
        }
        if !route.methods().contains(&method_name(request.method)) {
            return Err(Problem::method_not_allowed(route.methods()));
        }
        match (route, request.method) {
            (Route::Customers, Method::Post) => request.expect_content_type(&[JSON, NDJSON])?,
            (Route::Customer(_), Method::Put) => request.expect_content_type(&[JSON])?,
            (Route::Customer(_), Method::Patch) => {
                request.expect_content_type(&[MERGE_PATCH, JSON])?;
            }
            (_, _) => {}
        }
        if is_bulk(request) {
            return Ok(BodyPlan::Stream);
        }
        Ok(BodyPlan::Gather { bytes_max: BODY_BYTES_MAX })
    }

    fn call(&self, request: &mut Request) -> Answer {
        let path = request.segments.clone();
        let text = |index: usize| path.get(index).cloned().unwrap_or_default();
        let (id, number) = (text(1), text(3));
        let route = Route::of(request);
        if request.method == Method::Options {
            return Ok(Response::empty(204).header("Allow", route.methods().join(", ")));
        }
        let answer = match (route, request.method) {
            (Route::Health, _) => return Ok(Response::text(200, "ok\n")),
            (Route::Ready, _) => return Ok(self.readiness()),
            (Route::Metrics, _) => return self.metrics(),
            (Route::Page(_), _) => return web::file(request),
            (Route::Customers, Method::Post) if is_bulk(request) => bulk::import(self, request),
            (Route::Customers, Method::Post) => customers::create(self, request),
            (Route::Customers, _) => list::list(self, request),
            (Route::Customer(_), Method::Put) => customers::put(self, request, id),
            (Route::Customer(_), Method::Patch) => customers::patch(self, request, id),
            (Route::Customer(_), Method::Delete) => customers::delete(self, request, id),
            (Route::Customer(_), _) => customers::get(self, request, &id),
            (Route::History(_), _) => history::list(self, request, id),
            (Route::Resync(_), _) => customers::resync(self, request, id),
            (Route::CustomerConflicts(_), _) => conflicts::list(self, request, Some(id)),
            (Route::Conflicts, _) => conflicts::list(self, request, None),
            (Route::Restore(..), _) => conflicts::restore(self, request, id, &number),
            (Route::Dismiss(..), _) => conflicts::dismiss(self, request, id, &number),
            (Route::Nothing, _) => Err(Problem::not_found("nothing is here")),
        };
        // Answers hold personal data, and `sync` changes without a new version.
        answer.map(|response| response.header(NO_COPIES.0, NO_COPIES.1)).map_err(private)
    }

    fn readiness(&self) -> Response {
        match self.ready.check() {
            Ok(()) => Response::text(200, "ready\n"),
            Err(why) => Response::text(503, format!("not ready: {why}\n")),
        }
    }

    fn metrics(&self) -> Answer {
        let counts = self.readers.read(Store::counts)?;
        let text = self.metrics.render(&counts);
        Ok(Response::bytes(200, common::metrics::CONTENT_TYPE, text.into_bytes()))
    }
}

/// Nobody keeps a copy.
const NO_COPIES: (&str, &str) = ("Cache-Control", "no-store");

fn private(problem: Problem) -> Problem {
    problem.header(NO_COPIES.0, NO_COPIES.1)
}

fn is_bulk(request: &Request) -> bool {
    request.content_type().as_deref() == Some(NDJSON)
}
