//! The paths of the API (DESIGN 2.5), and the methods that each takes.

use common::http::Request;

/// What a path stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route<'a> {
    Health,
    Ready,
    Metrics,
    Customers,
    Customer(&'a str),
    History(&'a str),
    Resync(&'a str),
    CustomerConflicts(&'a str),
    Restore(&'a str, &'a str),
    Dismiss(&'a str, &'a str),
    Conflicts,
    /// A file for browsers, by its name for metrics.
    Page(&'static str),
    Nothing,
}

impl<'a> Route<'a> {
    pub fn of(request: &'a Request) -> Self {
        let mut segments = [""; 5];
        let count = request.segments.len();
        let Some(known) = segments.get_mut(..count) else { return Self::Nothing };
        for (segment, text) in known.iter_mut().zip(&request.segments) {
            *segment = text;
        }
        match *known {
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["customers"] => Self::Customers,
            ["customers", id] => Self::Customer(id),
            ["customers", id, "history"] => Self::History(id),
            ["customers", id, "resync"] => Self::Resync(id),
            ["customers", id, "conflicts"] => Self::CustomerConflicts(id),
            ["customers", id, "conflicts", number, "restore"] => Self::Restore(id, number),
            ["customers", id, "conflicts", number, "dismiss"] => Self::Dismiss(id, number),
            ["conflicts"] => Self::Conflicts,
            [] => Self::Page("/"),
            ["assets", _] => Self::Page("/assets/{file}"),
            ["docs"] => Self::Page("/docs"),
            ["docs", _] => Self::Page("/docs/{file}"),
            ["openapi.json"] => Self::Page("/openapi.json"),
            _ => Self::Nothing,
        }
    }

    /// For metrics: without what is different in each request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::Customers => "/customers",
            Self::Customer(_) => "/customers/{id}",
            Self::History(_) => "/customers/{id}/history",
            Self::Resync(_) => "/customers/{id}/resync",
            Self::CustomerConflicts(_) => "/customers/{id}/conflicts",
            Self::Restore(..) => "/customers/{id}/conflicts/{n}/restore",
            Self::Dismiss(..) => "/customers/{id}/conflicts/{n}/dismiss",
            Self::Conflicts => "/conflicts",
            Self::Page(name) => name,
            Self::Nothing => "other",
        }
    }

    /// `HEAD` goes with `GET`, and `OPTIONS` with all.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::History(_)
            | Self::CustomerConflicts(_)
            | Self::Conflicts
            | Self::Page(_) => &["GET", "HEAD", "OPTIONS"],
            Self::Customers => &["GET", "HEAD", "POST", "OPTIONS"],
            Self::Customer(_) => &["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"],
            Self::Resync(_) | Self::Restore(..) | Self::Dismiss(..) => &["POST", "OPTIONS"],
            Self::Nothing => &[],
        }
    }

    /// May everybody ask, whatever the tokens? Whoever watches whether the program lives has none,
    /// and a browser gets the page before somebody types one in.
    pub fn is_public(self) -> bool {
        matches!(self, Self::Health | Self::Ready | Self::Page(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_one_thing_and_an_id_may_look_like_a_word_of_ours() {
        for (url, route) in [
            ("/customers/", Route::Customers),
            ("/customers/history", Route::Customer("history")),
            ("/customers/a%2Fhistory", Route::Customer("a/history")),
            ("/customers/conflicts/conflicts", Route::CustomerConflicts("conflicts")),
            ("/customers/c/conflicts/7/restore", Route::Restore("c", "7")),
            ("/customers/c/conflicts/7", Route::Nothing),
            ("/customers/c/conflicts/7/restore/x", Route::Nothing),
            ("/Customers", Route::Nothing),
            ("/", Route::Page("/")),
            ("/docs/docs.js", Route::Page("/docs/{file}")),
        ] {
            let request = Request::for_test("GET", url, &[], b"");
            assert_eq!(Route::of(&request), route, "{url}");
        }
    }
}
