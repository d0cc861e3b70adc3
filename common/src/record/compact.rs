//! JSON on one line, otherwise byte for byte as it came: numbers, escapes, member order and even
//! repeated members stay as whoever signed them wrote them.

use serde::de::IgnoredAny;

/// Leaves out the white space between tokens. Fails if the text is not one JSON value.
pub fn compact(json: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::from_slice::<IgnoredAny>(json)?;
    let mut out = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json {
        if in_text {
            out.push(byte);
            in_text = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
        } else if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            out.push(byte);
            in_text = byte == b'"';
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn only_white_space_between_tokens_goes() {
        let cases = [
            ("{ \"a\" : [ 1.0 , 2 ] }\n", "{\"a\":[1.0,2]}"),
            ("{\"a\": \"b  c\\\" \\\\\" , \"a\":1e5}", "{\"a\":\"b  c\\\" \\\\\",\"a\":1e5}"),
            (" null ", "null"),
        ];
        for (input, output) in cases {
            let got = compact(input.as_bytes()).expect(input);
            assert_eq!(String::from_utf8_lossy(&got), output);
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for input in ["", "{", "{} {}", "this is not valid JSON"] {
            assert!(compact(input.as_bytes()).is_err(), "{input}");
        }
    }
}
