//! Is this webhook from Stripe? HMAC-SHA256 over `t.body` with the endpoint's secret.
//! Never says more to a stranger than one of the sentences of [`Refused`].

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::record::Seconds;

/// How old a signature may be, to keep an old request from being played again. Stripe's default.
pub const TOLERANCE_S: Seconds = 300;
/// While a secret is being replaced there is a signature for each; more is nobody's business.
pub const SIGNATURES_MAX: usize = 16;

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    NoHeader,
    Malformed,
    NoSignature,
    NoSecret,
    Mismatch,
    TooOld,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHeader => "no Stripe-Signature header",
            Self::Malformed => "no timestamp can be read from the Stripe-Signature header",
            Self::NoSignature => "the Stripe-Signature header holds no v1 signature",
            Self::NoSecret => "no webhook secret is configured",
            Self::Mismatch => "no signature matches the body",
            Self::TooOld => "the signature is too old",
        })
    }
}

/// Believes the raw body if one of the header's v1 signatures was made with one of the secrets.
///
/// Age counts only into the past, as with Stripe's own libraries: clocks differ, and what is
/// signed for the future was signed by Stripe all the same. It is checked after the signature, so
/// that a stranger learns nothing from it. A tolerance of 0 leaves it out.
pub fn verify<'a>(
    header: &str,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'a str>,
    now: Seconds,
    tolerance_s: Seconds,
) -> Result<(), Refused> {
    let (timestamp, signatures) = parse(header)?;
    let mut secrets = secrets.into_iter().filter(|secret| !secret.trim().is_empty()).peekable();
    if secrets.peek().is_none() {
        return Err(Refused::NoSecret);
    }
    if !secrets.any(|secret| is_signed_with(secret, timestamp, body, &signatures)) {
        return Err(Refused::Mismatch);
    }
    if tolerance_s > 0 && now.saturating_sub(timestamp) > tolerance_s {
        return Err(Refused::TooOld);
    }
    Ok(())
}

/// The time and the v1 signatures, decoded; other schemes (v0 on test events) are passed over.
fn parse(header: &str) -> Result<(Seconds, Vec<[u8; 32]>), Refused> {
    if header.trim().is_empty() {
        return Err(Refused::NoHeader);
    }
    let members = || {
        header.split(',').filter_map(|member| {
            let mut words = member.split('=');
            Some((words.next()?, words.next()?))
        })
    };
    let timestamp = members()
        .find(|(scheme, _)| *scheme == "t")
        .and_then(|(_, text)| text.parse().ok())
        .ok_or(Refused::Malformed)?;
    let mut v1 = members().filter(|(scheme, _)| *scheme == "v1").peekable();
    if v1.peek().is_none() {
        return Err(Refused::NoSignature);
    }
    // Stripe writes lower-case hex; anything else was written by somebody else.
    let signatures = v1
        .take(SIGNATURES_MAX)
        .filter(|(_, text)| !text.bytes().any(|byte| byte.is_ascii_uppercase()))
        .filter_map(|(_, text)| {
            let mut signature = [0; 32];
            hex::decode_to_slice(text, &mut signature).ok().map(|()| signature)
        })
        .collect();
    Ok((timestamp, signatures))
}

fn is_signed_with(secret: &str, timestamp: Seconds, body: &[u8], signatures: &[[u8; 32]]) -> bool {
    // The whole text is the key, `whsec_` and all. A key of any length will do, so this holds.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
}

/// The header Stripe would send: for whoever stands in for Stripe.
pub fn sign(body: &[u8], secret: &str, timestamp: Seconds) -> String {
    let tag = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    });
    format!("t={timestamp},v1={}", tag.unwrap_or_default())
}

#[cfg(test)]
mod tests;
