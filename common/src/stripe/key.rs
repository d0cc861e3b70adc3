//! The key to a Stripe account. It is never printed, and only [`StripeKey::bearer`] gives it away.

use std::fmt;

use crate::error::Error;

/// The key, and the name under which the operator knows it. It prints as `StripeKey(NAME)`.
#[derive(Clone, Eq, PartialEq)]
pub struct StripeKey {
    key: String,
    name: &'static str,
}

impl StripeKey {
    /// `name` is the variable it came from, for hints. `Fatal` if it cannot be a key.
    pub fn new(key: &str, name: &'static str) -> Result<Self, Error> {
        let key = key.trim();
        let bad = |cause: &str| {
            Error::fatal(format!("read {name}"), cause)
                .hint(format!("{name} is a secret or restricted key: sk_… or rk_…"))
        };
        if key.is_empty() {
            return Err(bad("no key"));
        }
        if !key.starts_with("sk_") && !key.starts_with("rk_") {
            return Err(bad("not a secret or restricted key"));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("holds characters that no key has"));
        }
        Ok(Self { key: key.to_owned(), name })
    }

    /// The variable it came from.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the `Authorization` header holds.
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }

    /// A sandbox's key: Stripe allows it less.
    pub fn is_test(&self) -> bool {
        self.key.starts_with("sk_test_") || self.key.starts_with("rk_test_")
    }
}

impl fmt::Debug for StripeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StripeKey({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let key = StripeKey::new(" sk_test_abc\n", "STRIPE_SECRET_KEY").expect("a key");
        assert!(key.is_test());
        assert_eq!(format!("{key:?}"), "StripeKey(STRIPE_SECRET_KEY)");
        for bad in ["", " ", "pk_live_secretstuff", "sk_live_a secretstuff"] {
            let error = StripeKey::new(bad, "STRIPE_SECRET_KEY").expect_err("no key");
            assert!(!format!("{error:?}").contains("secretstuff"));
            assert!(format!("{error:?}").contains("STRIPE_SECRET_KEY"));
        }
    }
}
