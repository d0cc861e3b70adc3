//! Who may ask: Stripe's test keys, as Bearer token or as user of Basic. It must never show or
//! keep a key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::errors::ApiError;
use crate::wire::Request;

/// Whose key it is, and what it may do.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key's kind and the first digits of its digest: enough to tell callers apart.
    pub name: String,
    pub may_write: bool,
}

/// The kind of authorization a request came with, right or wrong.
pub fn scheme(request: &Request) -> Option<&'static str> {
    let (scheme, _) = request.header("authorization")?.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some("bearer"),
        "basic" => Some("basic"),
        _ => None,
    }
}

/// Any key of test mode is right, whatever follows its prefix.
pub fn caller(request: &Request) -> Result<Caller, ApiError> {
    let missing = || {
        ApiError::new(
            401,
            "invalid_request_error",
            "You did not provide an API key. You need to provide your API key in the \
             Authorization header, using Bearer auth (e.g. 'Authorization: Bearer \
             YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details.",
        )
    };
    let scheme = scheme(request).ok_or_else(missing)?;
    let given = request.header("authorization").and_then(|value| value.split_once(' '));
    let given = given.map_or("", |(_, value)| value.trim());
    let key = if scheme == "basic" {
        let decoded = STANDARD.decode(given).map_err(|_| missing())?;
        let pair = String::from_utf8(decoded).map_err(|_| missing())?;
        pair.split(':').next().unwrap_or_default().to_owned()
    } else {
        given.to_owned()
    };
    if key.is_empty() {
        return Err(missing());
    }
    let kind = ["sk_test_", "rk_test_"].into_iter().find(|kind| {
        key.strip_prefix(kind).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
    });
    let Some(kind) = kind else {
        return Err(ApiError::new(
            401,
            "invalid_request_error",
            "Invalid API Key provided: ***. Only test keys (sk_test_…, rk_test_…) work here.",
        ));
    };
    let digest = hex::encode(Sha256::digest(key.as_bytes()));
    let name = format!("{kind}{}", digest.get(..8).unwrap_or_default());
    Ok(Caller { name, may_write: kind == "sk_test_" })
}

/// A restricted key here may read only.
pub fn forbidden() -> ApiError {
    ApiError::new(
        403,
        "invalid_request_error",
        "The provided key 'rk_test_***' does not have the required permissions for this endpoint. \
         Having the 'rak_customer_write' permission would allow this request to continue.",
    )
}
