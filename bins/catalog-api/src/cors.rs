//! Which pages of other origins may call from a browser (CORS). None, unless they were named.

use common::error::{Error, Result};
use common::http::{Method, Problem, Request, Response};

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str =
    "Authorization, Content-Type, Accept, If-Match, Idempotency-Key, X-Request-Id";
const ANSWER_HEADERS: &str =
    "ETag, Link, Location, Retry-After, Idempotent-Replayed, WWW-Authenticate, X-Request-Id";

/// A browser may keep the answer to a preflight so long: two hours, the most that any does.
const PREFLIGHT_SECONDS: &str = "7200";

/// The origins that may call.
#[derive(Debug, Default)]
pub struct Cors(Vec<String>);

impl Cors {
    /// Origins as browsers send them: `https://app.example.com`, maybe with a port.
    pub fn new(origins: &[String]) -> Result<Self> {
        let origins = origins.iter().map(|origin| {
            let origin = origin.trim().trim_end_matches('/').to_ascii_lowercase();
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
            match host {
                Some(host) if !host.is_empty() && host.chars().all(plain) => Ok(origin),
                Some(_) | None => {
                    let cause = "an origin is scheme, host and maybe port";
                    Err(Error::fatal(format!("read --cors-origin {origin}"), cause)
                        .hint("give it as in --cors-origin https://app.example.com"))
                }
            }
        });
        Ok(Self(origins.collect::<Result<_>>()?))
    }

    /// A browser asks whether it may send the real request; no token comes with it.
    pub fn is_preflight(&self, request: &Request) -> bool {
        request.method == Method::Options
            && request.header("Access-Control-Request-Method").is_some()
            && self.allowed(request).is_some()
    }

    /// The answer to that.
    pub fn preflight(&self, request: &Request) -> Response {
        let answer = Response::empty(204)
            .header("Access-Control-Allow-Methods", METHODS)
            .header("Access-Control-Allow-Headers", REQUEST_HEADERS)
            .header("Access-Control-Max-Age", PREFLIGHT_SECONDS);
        self.open(request, answer)
    }

    /// Adds what the browser needs to show an answer to the page.
    pub fn open(&self, request: &Request, mut response: Response) -> Response {
        if self.0.is_empty() {
            return response;
        }
        let vary = response.headers.iter().find(|(name, _)| *name == "Vary");
        let vary = vary.map_or("Origin".to_owned(), |(_, others)| format!("{others}, Origin"));
        response = response.header("Vary", vary);
        for (name, value) in self.headers(request) {
            response = response.header(name, value);
        }
        response
    }

    pub fn open_problem(&self, request: &Request, mut problem: Problem) -> Problem {
        if !self.0.is_empty() {
            problem = problem.header("Vary", "Origin");
        }
        problem.headers.extend(self.headers(request));
        problem
    }

    fn headers(&self, request: &Request) -> Vec<(&'static str, String)> {
        self.allowed(request).map_or_else(Vec::new, |origin| {
            vec![
                ("Access-Control-Allow-Origin", origin.to_owned()),
                ("Access-Control-Expose-Headers", ANSWER_HEADERS.to_owned()),
            ]
        })
    }

    /// May the page that sent this call?
    pub fn allows(&self, request: &Request) -> bool {
        self.allowed(request).is_some()
    }

    fn allowed<'a>(&self, request: &'a Request) -> Option<&'a str> {
        let origin = request.header("Origin")?;
        self.0.iter().any(|known| known.eq_ignore_ascii_case(origin)).then_some(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        let mut headers = response.headers.iter();
        headers.find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    fn request(method: &str, origin: &str) -> Request {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "PATCH")];
        Request::for_test(method, "/customers", &headers, b"")
    }

    #[test]
    fn only_named_origins_may_call() {
        let origins = ["https://app.example.com/".to_owned(), "http://localhost:3000".to_owned()];
        let cors = Cors::new(&origins).expect("fine");
        for (origin, fine) in [
            ("https://app.example.com", true),
            ("http://localhost:3000", true),
            ("https://app.example.com.evil.com", false),
            ("http://app.example.com", false),
            ("null", false),
            ("", false),
        ] {
            let request = request("OPTIONS", origin);
            assert_eq!(cors.is_preflight(&request), fine, "{origin}");
            let answer = cors.open(&request, Response::empty(204).header("Vary", "Accept"));
            let shown = header(&answer, "Access-Control-Allow-Origin");
            assert_eq!(shown, fine.then_some(origin), "{origin}");
            assert_eq!(header(&answer, "Vary"), Some("Accept, Origin"));
        }
        assert!(!cors.is_preflight(&request("GET", "http://localhost:3000")));
        let problem = cors.open_problem(&request("GET", "http://localhost:3000"), {
            Problem::new(401, "who is it")
        });
        assert!(problem.headers.iter().any(|(name, _)| *name == "Access-Control-Allow-Origin"));
    }

    #[test]
    fn without_names_nothing_is_said() {
        let cors = Cors::default();
        let request = request("OPTIONS", "https://app.example.com");
        assert!(!cors.is_preflight(&request));
        assert!(cors.open(&request, Response::empty(204)).headers.is_empty());
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in ["", "*", "app.example.com", "https://", "https://a/b", "https://a b"] {
            assert!(Cors::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
