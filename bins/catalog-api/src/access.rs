//! Who may do what: whoever shows a token that may write, may all; whoever shows one that may
//! only read, may read; without any token set, everybody on this machine may all.

use std::net::SocketAddr;

use common::error::Result;
use common::http::{Guard, Method, Problem, Request};
use common::secret;

/// Tokens that may do everything, and tokens that may only read. Several by commas.
pub const TOKEN: &str = "CATALOG_API_TOKEN";
pub const READ_TOKEN: &str = "CATALOG_API_READ_TOKEN";

/// What docker-compose.yml sets when nobody chose a token. Every page knows it, so it keeps out no
/// browser.
const KNOWN_TOKEN: &str = "local";

#[derive(Debug)]
pub struct Access {
    /// Lets in whoever may call at all.
    any: Guard,
    /// Lets in whoever may write.
    write: Option<Guard>,
    /// Is one of the tokens no secret?
    guessable: bool,
}

impl Access {
    /// From the environment, or from the files that it names.
    pub fn from_env(listen: SocketAddr) -> Result<Self> {
        let (write, read) = (secret::list_from_env(TOKEN)?, secret::list_from_env(READ_TOKEN)?);
        let write: Vec<_> = write.iter().map(secret::Secret::expose).collect();
        let read: Vec<_> = read.iter().map(secret::Secret::expose).collect();
        Self::new(&write, &read, listen)
    }

    fn new(write: &[&str], read: &[&str], listen: SocketAddr) -> Result<Self> {
        let all: Vec<_> = write.iter().chain(read).copied().collect();
        let any = Guard::new(&all, listen, TOKEN)?;
        let guard = if write.is_empty() { None } else { Some(Guard::new(write, listen, TOKEN)?) };
        let guessable = all.contains(&KNOWN_TOKEN);
        Ok(Self { any, write: guard, guessable })
    }

    pub fn is_open(&self) -> bool {
        self.any.is_open()
    }

    /// Could a page of another site call, which a browser on this machine shows?
    pub fn admits_any_page(&self) -> bool {
        self.is_open() || self.guessable
    }

    /// 401 for who is unknown, 403 for who may only read and wants more.
    pub fn check(&self, request: &Request) -> std::result::Result<(), Problem> {
        self.any.check(request)?;
        if self.is_open() || matches!(request.method, Method::Get | Method::Options) {
            return Ok(());
        }
        match &self.write {
            Some(write) if write.check(request).is_ok() => Ok(()),
            Some(_) | None => {
                let detail = format!("this token may only read; one of {TOKEN} may change things");
                Err(Problem::new(403, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(access: &Access, method: &str, token: &str) -> u16 {
        let header = format!("Bearer {token}");
        let headers = [("Authorization", header.as_str())];
        let headers = if token.is_empty() { &[][..] } else { &headers[..] };
        let request = Request::for_test(method, "/customers", headers, b"");
        access.check(&request).map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn a_token_that_may_read_reads_and_one_that_may_write_does_both() {
        let listen = "10.0.0.1:1".parse().expect("an address");
        let access = Access::new(&["w1", "w2"], &["r1", "r2"], listen).expect("fine");
        for (method, token, expected) in [
            ("GET", "w1", 200),
            ("POST", "w2", 200),
            ("GET", "r1", 200),
            ("HEAD", "r2", 200),
            ("OPTIONS", "r2", 200),
            ("POST", "r1", 403),
            ("PUT", "r1", 403),
            ("PATCH", "r1", 403),
            ("DELETE", "r2", 403),
            ("BREW", "r2", 403),
            ("GET", "x", 401),
            ("POST", "x", 401),
            ("GET", "", 401),
        ] {
            assert_eq!(status(&access, method, token), expected, "{method} {token}");
        }
        let reading = Access::new(&[], &["r"], listen).expect("fine");
        assert_eq!((status(&reading, "GET", "r"), status(&reading, "PUT", "r")), (200, 403));
        assert!(Access::new(&[], &[], listen).is_err());
        let open = Access::new(&[], &[], "127.0.0.1:1".parse().expect("an address"));
        assert_eq!(status(&open.expect("fine"), "DELETE", ""), 200);
    }

    #[test]
    fn no_token_and_the_one_that_everybody_knows_keep_out_no_page() {
        for (write, read, expected) in [
            (&[][..], &[][..], true),
            (&["local"], &[], true),
            (&["secret"], &["local"], true),
            (&["secret"], &["localhost"], false),
            (&["secret"], &[], false),
        ] {
            let listen = "127.0.0.1:1".parse().expect("an address");
            let access = Access::new(write, read, listen).expect("fine");
            assert_eq!(access.admits_any_page(), expected, "{write:?} {read:?}");
        }
    }
}
