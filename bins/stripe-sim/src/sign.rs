//! Signs a webhook's body the way Stripe does. It knows nothing of verification on purpose: the
//! receiver's code must agree with Stripe, not with this file.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The `Stripe-Signature` header: one `v1` for each live secret, over `t.body`.
pub fn header(secrets: &[String], unix_s: i64, body: &str) -> String {
    let mut out = format!("t={unix_s}");
    for secret in secrets {
        out.push_str(",v1=");
        out.push_str(&v1(secret, unix_s, body));
    }
    out
}

/// The whole secret text is the key, as bytes; the digest is lower-case hex.
fn v1(secret: &str, unix_s: i64, body: &str) -> String {
    // HMAC takes a key of any length, so there is no error to speak of.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(unix_s.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_test_secret";
    const BODY: &str = "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";

    #[test]
    fn signatures_are_those_that_stripes_own_libraries_accept() {
        for (t, hex) in [
            (1_700_000_000, "4f1cd7feda9826e746b7d482c4badebb657398df1099e1046364f6196a230150"),
            (1_699_999_700, "c4a6381e4e047fc6df72b8469e73152bdaf5c87c7c81f847415c6ecde47b8190"),
        ] {
            assert_eq!(v1(SECRET, t, BODY), hex);
        }
    }

    #[test]
    fn each_secret_adds_one_v1() {
        let header = header(&[SECRET.into(), "whsec_new".into()], 1_700_000_000, BODY);
        assert!(header.starts_with("t=1700000000,v1=4f1cd7fe"));
        assert_eq!(header.matches("v1=").count(), 2);
    }
}
