//! Who may call: anyone on this machine, or whoever shows the token. The token is compared in
//! constant time and never printed.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use super::{Problem, Request};
use crate::error::{Error, Result};

/// Lets requests in by their Bearer token, if there is one.
#[derive(Clone)]
pub struct Guard {
    /// Of the tokens that do. Digests have one length, so comparing them tells nothing of it.
    digests: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guard({} tokens)", self.digests.len())
    }
}

impl Guard {
    /// Without tokens everybody may call, and then only this machine may reach the server:
    /// another `listen` address is `Fatal`. `variable` names where the token would come from.
    pub fn new(tokens: &[&str], listen: SocketAddr, variable: &str) -> Result<Self> {
        if tokens.is_empty() && !is_loopback(listen) {
            let cause =
                "without a token only this machine may call, and this is no loopback address";
            return Err(Error::fatal(format!("listen on {listen}"), cause)
                .hint(format!("set {variable}, or listen on 127.0.0.1:{}", listen.port())));
        }
        let digests = tokens.iter().map(|token| Sha256::digest(token).into()).collect();
        Ok(Self { digests })
    }

    pub fn is_open(&self) -> bool {
        self.digests.is_empty()
    }

    /// 401 unless the request shows a token that does.
    pub fn check(&self, request: &Request) -> std::result::Result<(), Problem> {
        if self.is_open() {
            return Ok(());
        }
        let refuse = |detail: &str| {
            Err(Problem::new(401, detail).header("WWW-Authenticate", "Bearer realm=\"catalog\""))
        };
        let Some(header) = request.header("Authorization") else {
            return refuse("the header Authorization: Bearer TOKEN is missing");
        };
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) | None => return refuse("the header Authorization is not \"Bearer TOKEN\""),
        };
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut known = false;
        for other in &self.digests {
            known |= equal_in_constant_time(&digest, other);
        }
        if known { Ok(()) } else { refuse("this token is not valid here") }
    }
}

/// Looks at every byte, so that the time taken does not tell where the first difference is.
fn equal_in_constant_time(ours: &[u8; 32], theirs: &[u8; 32]) -> bool {
    let difference = ours.iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

pub fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn request(header: Option<&str>) -> Request {
        let headers = header.map(|value| ("Authorization", value));
        Request::for_test("GET", "/customers", headers.as_slice(), b"")
    }

    #[test]
    fn without_a_token_only_loopback_is_listened_on() {
        for (listen, fine) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("127.9.9.9:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
        ] {
            let guard = Guard::new(&[], listen.parse().expect(listen), "TOKEN");
            assert_eq!(guard.is_ok(), fine, "{listen}");
            assert!(guard.is_ok() || guard.is_err_and(|error| error.kind == Kind::Fatal));
            assert!(Guard::new(&["t"], listen.parse().expect(listen), "TOKEN").is_ok());
        }
    }

    #[test]
    fn a_token_opens_and_anything_else_is_401() {
        let listen = "127.0.0.1:1".parse().expect("an address");
        let guard = Guard::new(&["old", "new"], listen, "TOKEN").expect("a guard");
        for good in ["Bearer old", "bearer new", "BEARER  new "] {
            assert!(guard.check(&request(Some(good))).is_ok(), "{good}");
        }
        for bad in ["", "Bearer", "Bearer ", "Bearer ne", "Bearer newx", "Basic new", "new"] {
            let problem = guard.check(&request(Some(bad))).expect_err(bad);
            assert_eq!(problem.status, 401);
            assert!(problem.headers.iter().any(|(name, _)| *name == "WWW-Authenticate"));
        }
        assert!(guard.check(&request(None)).is_err());
    }
}
