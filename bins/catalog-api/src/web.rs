//! What browsers are given: the page for people, Swagger UI, and the API's description. All of it
//! is in the program, and nothing is fetched from elsewhere. None of it is secret, so none of it
//! needs a token: what the page shows it asks of the API, with the token of whoever looks.

use std::sync::LazyLock;

use common::http::{Answer, Problem, Request, Response};
use sha2::{Digest, Sha256};

/// Files of ours only, nothing inline, no frames: what a customer's name may hold never runs.
/// Swagger UI draws its icons from `data:`.
const SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Digits of a file's digest that name its bytes.
const ETAG_CHARS: usize = 16;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JSON: &str = "application/json";

/// A file as it is served.
struct File {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// Kept compressed, to keep the program small; every browser takes it so.
    gzip: bool,
    etag: String,
}

macro_rules! file {
    ($path:literal, $content_type:expr, $source:literal) => {
        file!($path, $content_type, $source, false)
    };
    ($path:literal, $content_type:expr, $source:literal, $gzip:literal) => {
        File::new($path, $content_type, include_bytes!(concat!("../web/", $source)), $gzip)
    };
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    vec![
        file!("/", HTML, "page/page.html"),
        file!("/assets/page.css", CSS, "page/page.css"),
        file!("/assets/icon.svg", SVG, "page/icon.svg"),
        file!("/assets/main.js", SCRIPT, "page/main.js"),
        file!("/assets/api.js", SCRIPT, "page/api.js"),
        file!("/assets/conflicts.js", SCRIPT, "page/conflicts.js"),
        file!("/assets/customer.js", SCRIPT, "page/customer.js"),
        file!("/assets/dialogs.js", SCRIPT, "page/dialogs.js"),
        file!("/assets/dom.js", SCRIPT, "page/dom.js"),
        file!("/assets/form.js", SCRIPT, "page/form.js"),
        file!("/assets/history.js", SCRIPT, "page/history.js"),
        file!("/assets/list.js", SCRIPT, "page/list.js"),
        file!("/assets/place.js", SCRIPT, "page/place.js"),
        file!("/docs", HTML, "docs/docs.html"),
        file!("/docs/docs.js", SCRIPT, "docs/docs.js"),
        file!("/docs/docs.css", CSS, "docs/docs.css"),
        file!("/docs/swagger-ui.css", CSS, "vendor/swagger-ui.css.gz", true),
        file!("/docs/swagger-ui-bundle.js", SCRIPT, "vendor/swagger-ui-bundle.js.gz", true),
        file!("/docs/LICENSE", TEXT, "vendor/LICENSE"),
        file!("/docs/NOTICE", TEXT, "vendor/NOTICE"),
        file!(
            "/docs/swagger-ui-bundle.js.LICENSE.txt",
            TEXT,
            "vendor/swagger-ui-bundle.js.LICENSE.txt"
        ),
        file!("/openapi.json", JSON, "openapi.json"),
    ]
});

/// The file of this name, or that it is unchanged since the caller got it.
pub fn file(request: &Request) -> Answer {
    request.only_parameters(&[])?;
    let path = format!("/{}", request.segments.join("/"));
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return Err(Problem::not_found(format!("no file is at {path}")));
    };
    if file.gzip && !takes_gzip(request.header("Accept-Encoding")) {
        let detail = "this file is sent with gzip, which Accept-Encoding rules out";
        return Err(Problem::new(406, detail));
    }
    let known = request.header("If-None-Match").is_some_and(|tags| file.is_one_of(tags));
    let response = if known {
        Response::empty(304)
    } else {
        Response::bytes(200, file.content_type, file.bytes.to_vec())
    };
    Ok(file.describe(response))
}

impl File {
    fn new(
        path: &'static str,
        content_type: &'static str,
        bytes: &'static [u8],
        gzip: bool,
    ) -> Self {
        let mut digest = hex::encode(Sha256::digest(bytes));
        digest.truncate(ETAG_CHARS);
        Self { path, content_type, bytes, gzip, etag: format!("\"{digest}\"") }
    }

    /// If-None-Match compares weakly.
    fn is_one_of(&self, tags: &str) -> bool {
        tags.split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag)
    }

    fn describe(&self, response: Response) -> Response {
        // A copy is asked about before it is used: a new build shows at once.
        let response = response
            .header("ETag", &self.etag)
            .header("Cache-Control", "no-cache")
            .header("Content-Security-Policy", SECURITY_POLICY)
            .header("Referrer-Policy", "no-referrer")
            .header("X-Content-Type-Options", "nosniff");
        if self.gzip {
            response.header("Content-Encoding", "gzip").header("Vary", "Accept-Encoding")
        } else {
            response
        }
    }
}

/// RFC 9110: without the header everything will do; else gzip or `*` must be named, and not with
/// a weight of 0.
fn takes_gzip(accept: Option<&str>) -> bool {
    let Some(accept) = accept else { return true };
    let mut any = false;
    for coding in accept.split(',') {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches("q=");
        let wanted = weight.is_empty() || weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return wanted,
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::http::Body;

    fn get(path: &str, headers: &[(&str, &str)]) -> Answer {
        file(&Request::for_test("GET", path, headers, b""))
    }

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        let mut headers = response.headers.iter();
        headers.find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_file_is_served_with_a_policy_and_only_once_to_who_has_it() {
        for file in FILES.iter() {
            let full = get(file.path, &[]).expect(file.path);
            assert_eq!(full.status, 200, "{}", file.path);
            for name in ["Content-Security-Policy", "X-Content-Type-Options", "Cache-Control"] {
                assert!(header(&full, name).is_some(), "{}: {name}", file.path);
            }
            let etag = header(&full, "ETag").expect("a tag");
            for tags in [etag.to_owned(), format!("\"x\", W/{etag}"), "*".to_owned()] {
                let again = get(file.path, &[("If-None-Match", &tags)]).expect(file.path);
                assert_eq!(again.status, 304, "{} {tags}", file.path);
                assert!(matches!(again.body, Body::Empty));
            }
            let other = get(file.path, &[("If-None-Match", "\"x\"")]).expect(file.path);
            assert_eq!(other.status, 200, "{}", file.path);
        }
        assert_eq!(get("/docs/../page.css", &[]).expect_err("no file").status, 404);
    }

    #[test]
    fn what_is_kept_compressed_is_gzip_and_refused_only_to_who_takes_none() {
        for file in FILES.iter() {
            assert_eq!(file.bytes.starts_with(&[0x1f, 0x8b]), file.gzip, "{}", file.path);
        }
        for (accept, taken) in [
            (None, true),
            (Some("gzip, deflate, br"), true),
            (Some("br;q=1, GZIP;q=0.5"), true),
            (Some("*"), true),
            (Some("*;q=0, gzip"), true),
            (Some("gzip;q=0, *"), false),
            (Some("identity"), false),
            (Some(""), false),
        ] {
            assert_eq!(takes_gzip(accept), taken, "{accept:?}");
        }
        let plain = [("Accept-Encoding", "identity")];
        assert_eq!(get("/docs/swagger-ui.css", &plain).expect_err("gzip only").status, 406);
        assert_eq!(get("/docs/docs.css", &plain).expect("plain").status, 200);
    }

    /// What a file refers to must be there: nothing is fetched from elsewhere.
    #[test]
    fn the_pages_name_only_files_that_are_here() {
        for page in FILES.iter().filter(|file| file.content_type == HTML) {
            let text = std::str::from_utf8(page.bytes).expect("UTF-8");
            let mut count = 0;
            for piece in text.split([' ', '\n', '>']) {
                let link = piece.strip_prefix("href=\"").or_else(|| piece.strip_prefix("src=\""));
                let Some(link) = link else { continue };
                let link = link.trim_end_matches('"');
                count += 1;
                let here = link.starts_with('#') || FILES.iter().any(|file| file.path == link);
                assert!(here, "{} names {link}", page.path);
            }
            assert!(count > 0, "{}", page.path);
        }
    }
}
