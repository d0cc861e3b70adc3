//! Who comes through a browser on this machine. Without a token everybody here may call, and a page
//! of any other site, shown here, could send requests too: by their own name (cross-site request
//! forgery), or by a name of theirs that they point at this machine (DNS rebinding). With a token
//! neither works, since no page knows it, unless it is the one that docker-compose.yml falls
//! back to.

use std::net::IpAddr;

use common::http::{Method, Problem, Request};

use crate::access::TOKEN;
use crate::cors::Cors;

/// 401 when the server is called by a name that is not this machine's, 403 when a page of another
/// origin wants to change something. Meant for a server without secret tokens.
pub fn check(request: &Request, cors: &Cors) -> Result<(), Problem> {
    let host = request.header("Host").unwrap_or("localhost");
    if !is_local(host) {
        let detail = format!(
            "without a secret {TOKEN} this server answers to localhost only, not to {host:?}"
        );
        let problem = Problem::new(401, detail);
        return Err(problem.header("WWW-Authenticate", "Bearer realm=\"catalog\""));
    }
    let Some(origin) = request.header("Origin") else { return Ok(()) };
    let reads = matches!(request.method, Method::Get | Method::Options);
    if reads || is_same(origin, host) || cors.allows(request) {
        return Ok(());
    }
    let detail = format!(
        "the page is of {origin:?}, and only pages of this server may change things; \
         --cors-origin names others"
    );
    Err(Problem::new(403, detail))
}

fn is_same(origin: &str, host: &str) -> bool {
    let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    of.is_some_and(|of| of.eq_ignore_ascii_case(host))
}

/// A name or address that always is this machine, with a port or without.
fn is_local(host: &str) -> bool {
    if let Ok(address) = host.parse::<std::net::SocketAddr>() {
        return address.ip().to_canonical().is_loopback();
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare == "localhost"
        || bare.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, host: &str, origin: &str) -> u16 {
        let headers = [("Host", host), ("Origin", origin)];
        let headers = if origin.is_empty() { &headers[..1] } else { &headers[..] };
        let request = Request::for_test(method, "/customers/a/resync", headers, b"");
        let cors = Cors::new(&["https://app.example.com".to_owned()]).expect("fine");
        check(&request, &cors).map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn a_page_of_another_site_changes_nothing_here() {
        for (method, origin, expected) in [
            ("POST", "", 200),
            ("POST", "http://127.0.0.1:8000", 200),
            ("POST", "https://app.example.com", 200),
            ("POST", "http://127.0.0.1:8001", 403),
            ("POST", "http://evil.example", 403),
            ("DELETE", "null", 403),
            ("GET", "http://evil.example", 200),
        ] {
            assert_eq!(status(method, "127.0.0.1:8000", origin), expected, "{method} {origin}");
        }
    }

    #[test]
    fn a_foreign_name_pointed_at_this_machine_reads_nothing_either() {
        for host in ["localhost", "LOCALHOST:8000", "a.localhost:1", "127.0.0.9:80", "[::1]:8000"] {
            assert_eq!(status("GET", host, ""), 200, "{host}");
        }
        for host in ["evil.example:8000", "localhost.evil.example", "10.0.0.1", "[::2]", ""] {
            assert_eq!(status("GET", host, ""), 401, "{host}");
        }
        assert_eq!(status("POST", "evil.example", "http://evil.example"), 401);
    }
}
