//! Form encoding as Stripe reads it: `name[part]=value`, joined by `&`. The same params always
//! give the same bytes, since an idempotency key is only good for the very same body.

/// Names and values in the order in which they are sent.
pub type Params = Vec<(String, String)>;

/// Encodes params for a body or a query. A literal `+` becomes `%2B`: phone numbers hold some.
pub fn encode<N: AsRef<str>, V: AsRef<str>>(params: &[(N, V)]) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (name, value) in params {
        out.append_pair(name.as_ref(), value.as_ref());
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn what_has_a_meaning_in_a_form_is_escaped() {
        let cases = [
            (vec![("phone", "+49 30 1")], "phone=%2B49+30+1"),
            (vec![("metadata[a]", "b&c=d")], "metadata%5Ba%5D=b%26c%3Dd"),
            (vec![("name", "Zoë"), ("email", "")], "name=Zo%C3%AB&email="),
            (vec![("name", "100%\n")], "name=100%25%0A"),
            (vec![], ""),
        ];
        for (params, expected) in cases {
            assert_eq!(encode(&params), expected);
        }
    }
}
