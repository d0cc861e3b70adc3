//! What went wrong, for the caller: `application/problem+json` (RFC 9457). It names the field, the
//! limit and what is wrong in words; the inside of an error stays with [`Problem::inside`].

use serde::Serialize;

use super::response::{Response, reason};
use crate::error::{Error, Kind};

/// What is wrong with one member of a body, one parameter or one header.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Fault {
    /// As the caller wrote it: `email`, `address.city`, `metadata.plan`, `limit`.
    pub field: String,
    pub message: String,
}

impl Fault {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// An answer that is an error.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: u16,
    /// What is wrong with this request, as a sentence for people.
    pub detail: String,
    pub errors: Vec<Fault>,
    pub headers: Vec<(&'static str, String)>,
    /// What really happened, for the log only.
    pub inside: Option<Box<Error>>,
}

/// When the caller should try again after an answer 503.
const RETRY_AFTER_SECONDS: u32 = 1;

impl Problem {
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        let (errors, headers) = (Vec::new(), Vec::new());
        Self { status, detail: detail.into(), errors, headers, inside: None }
    }

    /// 422: the body reads well, but these of its members do not do.
    pub fn invalid(errors: Vec<Fault>) -> Self {
        let detail = match errors.len() {
            1 => "one member of the request is not valid".to_owned(),
            count => format!("{count} members of the request are not valid"),
        };
        Self { errors, ..Self::new(422, detail) }
    }

    /// 400: a parameter of the query or a header that cannot be read.
    pub fn bad_parameter(name: &str, message: impl Into<String>) -> Self {
        let errors = vec![Fault::new(name, message)];
        Self { errors, ..Self::new(400, format!("{name} cannot be used as it is")) }
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, detail)
    }

    /// 405, with the methods that would do.
    pub fn method_not_allowed(allowed: &[&str]) -> Self {
        let allowed = allowed.join(", ");
        let detail = format!("this path takes only {allowed}");
        Self::new(405, detail).header("Allow", allowed)
    }

    /// An error of our own: 503 where time may heal it, else 500. Its words are for the log.
    pub fn inside(error: Error) -> Self {
        let mut problem = match error.kind {
            Kind::Retry => Self::new(503, "the server cannot do this right now; try again")
                .header("Retry-After", RETRY_AFTER_SECONDS.to_string()),
            Kind::Reject | Kind::Fatal => Self::new(500, "the server failed; its log says why"),
        };
        problem.inside = Some(Box::new(error));
        problem
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Printed<'a> {
            r#type: &'a str,
            title: &'a str,
            status: u16,
            detail: &'a str,
            #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
            errors: &'a [Fault],
        }
        let printed = Printed {
            // RFC 9457: with this type the title is the status code's own phrase.
            r#type: "about:blank",
            title: reason(self.status),
            status: self.status,
            detail: &self.detail,
            errors: &self.errors,
        };
        let mut response = Response::json(self.status, &printed)
            .header("Content-Type", "application/problem+json");
        response.headers.extend(self.headers);
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::inside(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Body;

    fn text(problem: Problem) -> String {
        match problem.into_response().body {
            Body::Bytes(bytes) => String::from_utf8(bytes).expect("UTF-8"),
            Body::Empty | Body::Stream(_) => panic!("no body"),
        }
    }

    #[test]
    fn a_problem_names_the_field_and_what_is_wrong() {
        let problem = Problem::invalid(vec![Fault::new("email", "longer than 512 characters")]);
        let json: serde_json::Value = serde_json::from_str(&text(problem)).expect("JSON");
        assert_eq!(json["status"], 422);
        assert_eq!(json["title"], "Unprocessable Content");
        assert_eq!(json["errors"][0]["field"], "email");
    }

    #[test]
    fn nothing_of_the_inside_leaks() {
        for kind in [Kind::Retry, Kind::Reject, Kind::Fatal] {
            let error = Error::new(kind, "open /secret/db.sqlite3", "disk I/O error");
            let problem = Problem::inside(error);
            assert!(problem.status >= 500);
            let text = text(problem);
            assert!(!text.contains("secret") && !text.contains("disk"), "{text}");
        }
    }
}
