//! Is this request a webhook of Stripe's, and what record does it make? Pure: a request's parts
//! in, a record or a refusal out. The signature is checked on the raw bytes before anything else
//! is believed, and a refusal tells a stranger nothing of the inside.

use common::endpoint::Record;
use common::http::Problem;
use common::record::Seconds;
use common::record::compact::compact;
use common::secret::Secret;
use common::stripe::event::{EventHead, Shape};
use common::stripe::signature::{self, Refused, TOLERANCE_S};

/// The largest webhook that is read: Stripe's are some 10 KB, the largest seen were below 100 KB.
/// It is also the largest record.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A webhook that is believed.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub head: EventHead,
    /// The event byte for byte as it was signed, less the white space between its tokens.
    pub record: Record,
}

/// Judges a request by its `Stripe-Signature` header and its raw body.
pub fn judge(
    header: Option<&str>,
    body: &[u8],
    secrets: &[Secret],
    now: Seconds,
) -> Result<Webhook, Problem> {
    let secrets = secrets.iter().map(Secret::expose);
    signature::verify(header.unwrap_or_default(), body, secrets, now, TOLERANCE_S)
        .map_err(refuse)?;
    // Signed by Stripe, so the words may be of help: they are shown in its dashboard.
    let head = EventHead::parse(body).map_err(|error| Problem::new(400, error.to_string()))?;
    if head.shape == Shape::Thin {
        // A 2xx would drop the change silently: a thin event carries no data to hand on.
        return Err(Problem::new(
            400,
            "this is a thin event (v2.core.event), which carries no data: send snapshot events \
             to this endpoint (payload style: snapshot)",
        ));
    }
    let value = compact(body).map_err(|error| Problem::new(400, format!("not JSON: {error}")))?;
    let record = Record { key: Some(head.key.clone()), value, headers: Vec::new() };
    Ok(Webhook { head, record })
}

fn refuse(refused: Refused) -> Problem {
    match refused {
        Refused::NoHeader
        | Refused::Malformed
        | Refused::NoSignature
        | Refused::Mismatch
        | Refused::TooOld => Problem::new(400, refused.to_string()),
        // The program does not start without a secret.
        Refused::NoSecret => Problem::new(500, "the server failed; its log says why"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Seconds = 1_700_000_000;

    fn secrets() -> Vec<Secret> {
        vec![Secret::new("whsec_old"), Secret::new("whsec_new")]
    }

    fn signed(body: &str, secret: &str) -> Result<Webhook, Problem> {
        let header = signature::sign(body.as_bytes(), secret, NOW);
        judge(Some(&header), body.as_bytes(), &secrets(), NOW)
    }

    #[test]
    fn a_signed_event_becomes_a_record_of_its_customer_otherwise_unchanged() {
        let body = "{\n  \"type\": \"customer.updated\", \"id\": \"evt_1\", \"object\": \"event\",
            \"data\": {\"object\": {\"object\": \"customer\", \"id\": \"cus_1\",
            \"name\": \"A  \\u00e9 B\", \"balance\": 1.0}}\n}\n";
        for secret in ["whsec_old", "whsec_new"] {
            let webhook = signed(body, secret).expect("believed");
            assert_eq!(webhook.record.key.as_deref(), Some("cus_1"));
            let expected = r#"{"type":"customer.updated","id":"evt_1","object":"event","data":{"object":{"object":"customer","id":"cus_1","name":"A  \u00e9 B","balance":1.0}}}"#;
            assert_eq!(String::from_utf8_lossy(&webhook.record.value), expected);
        }
    }

    #[test]
    fn an_unknown_type_is_taken_and_a_thin_event_is_not() {
        let later = r#"{"id":"evt_1","object":"event","type":"invoice.paid","data":{"object":
            {"id":"in_1","object":"invoice","customer":"cus_9"}}}"#;
        let webhook = signed(later, "whsec_new").expect("believed");
        assert_eq!(webhook.record.key.as_deref(), Some("cus_9"));
        let thin = r#"{"id":"evt_1","object":"v2.core.event","type":"v1.customer.updated"}"#;
        let problem = signed(thin, "whsec_new").expect_err("refused");
        assert_eq!(problem.status, 400);
        assert!(problem.detail.contains("snapshot"), "{}", problem.detail);
    }

    #[test]
    fn what_is_not_signed_is_refused_before_it_is_read() {
        let event = r#"{"id":"evt_1","object":"event","type":"x","data":{"object":{"id":"a"}}}"#;
        let good = signature::sign(event.as_bytes(), "whsec_new", NOW);
        let cases = [
            (None, event, "no Stripe-Signature"),
            (Some("nonsense"), event, "no timestamp"),
            (Some("t=1700000000,v0=00"), event, "no v1"),
            (Some(good.as_str()), "{}", "matches"),
            (Some(good.as_str()), "not JSON", "matches"),
        ];
        for (header, body, words) in cases {
            let problem = judge(header, body.as_bytes(), &secrets(), NOW).expect_err(words);
            assert_eq!(problem.status, 400);
            assert!(problem.detail.contains(words), "{}", problem.detail);
            assert!(!problem.detail.contains("whsec"), "{}", problem.detail);
        }
        let late = judge(Some(&good), event.as_bytes(), &secrets(), NOW + 301);
        assert_eq!(late.expect_err("too old").status, 400);
        assert!(judge(Some(&good), event.as_bytes(), &secrets(), NOW + 300).is_ok());
    }

    #[test]
    fn what_is_signed_but_no_event_is_refused() {
        for body in ["", "this is not valid JSON", "[]", "{}", r#"{"object":"customer"}"#] {
            assert_eq!(signed(body, "whsec_new").expect_err(body).status, 400, "{body}");
        }
    }
}
