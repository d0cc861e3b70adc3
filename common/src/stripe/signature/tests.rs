use super::*;

const SECRET: &str = "whsec_test_secret";
const BODY: &[u8] = b"{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";
const NOW: Seconds = 1_700_000_000;
/// Stripe's signatures of BODY at NOW and 300 s before, made by its own libraries.
const GOOD: &str = "4f1cd7feda9826e746b7d482c4badebb657398df1099e1046364f6196a230150";
const GOOD_AT_300: &str = "c4a6381e4e047fc6df72b8469e73152bdaf5c87c7c81f847415c6ecde47b8190";

fn v1(secret: &str, signed_text: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(signed_text.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn check(header: &str) -> Result<(), Refused> {
    verify(header, BODY, [SECRET], NOW, TOLERANCE_S)
}

#[test]
fn stripes_own_vectors_hold() {
    assert_eq!(sign(BODY, SECRET, NOW), format!("t={NOW},v1={GOOD}"));
    assert_eq!(sign(BODY, SECRET, NOW - 300), format!("t=1699999700,v1={GOOD_AT_300}"));
}

#[test]
fn what_both_official_libraries_accept_is_accepted() {
    let (bad, rolled) = ("0".repeat(64), v1("whsec_old", "1700000000", BODY));
    let at = |t: Seconds| format!("t={t},v1={}", v1(SECRET, &t.to_string(), BODY));
    let headers = [
        format!("t={NOW},v1={GOOD}"),
        format!("v1={GOOD},t={NOW}"),
        format!("t={NOW},v1={bad},v1={GOOD}"),
        format!("t={NOW},v1={GOOD},v1={bad}"),
        format!("t={NOW},v1={GOOD},v1=bad_signature"),
        format!("t={NOW},v1={GOOD},v1=potato"),
        format!("t={NOW},v1={rolled},v1={GOOD}"),
        format!("t={NOW},v1={GOOD},v1={rolled}"),
        format!("t={NOW},v1={GOOD},v0={bad}"),
        format!("t={NOW},v1={GOOD},"),
        format!("t={NOW},nonsense,v1={GOOD}"),
        format!("t={NOW},v1={GOOD}=x"),
        format!("t=1699999700,v1={GOOD_AT_300}"),
        at(NOW + 10_000),
        format!("t=0{NOW},v1={GOOD}"),
        format!("t=+{NOW},v1={GOOD}"),
    ];
    for header in headers {
        assert_eq!(check(&header), Ok(()), "{header}");
    }
    assert_eq!(verify(&at(-5), BODY, [SECRET], 0, TOLERANCE_S), Ok(()), "negative t");
    assert_eq!(verify(&at(12_345), BODY, [SECRET], NOW, 0), Ok(()), "tolerance 0");
    let body = "{\"name\":\"Zoë\"}".as_bytes();
    assert_eq!(verify(&sign(body, SECRET, NOW), body, [SECRET], NOW, TOLERANCE_S), Ok(()));
}

#[test]
fn what_both_official_libraries_refuse_is_refused_for_the_same_reason() {
    let bad = "0".repeat(64);
    let old = NOW - 301;
    let cases = [
        (String::new(), Refused::NoHeader),
        ("  ".into(), Refused::NoHeader),
        ("bad_header".into(), Refused::Malformed),
        ("i'm not even a real signature header".into(), Refused::Malformed),
        (format!("v1={GOOD}"), Refused::Malformed),
        (format!(" t={NOW},v1={GOOD}"), Refused::Malformed),
        ("v1,t=1x".into(), Refused::Malformed),
        ("t=".into(), Refused::Malformed),
        (format!("t=,v1={GOOD}"), Refused::Malformed),
        (format!("t=now,v1={GOOD}"), Refused::Malformed),
        (format!("t={NOW}.5,v1={GOOD}"), Refused::Malformed),
        (format!("t={NOW}x,v1={GOOD}"), Refused::Malformed),
        (format!("t={NOW}"), Refused::NoSignature),
        ("v1,t=1".into(), Refused::NoSignature),
        (format!("t={NOW},v0={GOOD}"), Refused::NoSignature),
        (format!("t={NOW},v2={GOOD}"), Refused::NoSignature),
        (format!("t={NOW}, v1={GOOD}"), Refused::NoSignature),
        (format!("t={NOW},v1={bad}"), Refused::Mismatch),
        (format!("t={NOW},v1="), Refused::Mismatch),
        (format!("t={NOW},v1=bad_signature"), Refused::Mismatch),
        (format!("t={NOW},v1=deadbeef"), Refused::Mismatch),
        (format!("t={NOW},v1={}", GOOD.to_uppercase()), Refused::Mismatch),
        (format!("t=0{NOW},v1={}", v1(SECRET, "01700000000", BODY)), Refused::Mismatch),
        // Of two times the first counts, which is not the signed one.
        (format!("t=1699999999,t={NOW},v1={GOOD}"), Refused::Mismatch),
        (format!("t={old},v1={}", v1(SECRET, &old.to_string(), BODY)), Refused::TooOld),
        (format!("t={old},v1={bad}"), Refused::Mismatch),
    ];
    for (header, why) in cases {
        assert_eq!(check(&header), Err(why), "{header}");
    }
}

#[test]
fn another_body_or_another_secret_is_refused() {
    let header = format!("t={NOW},v1={GOOD}");
    let check = |body: &[u8], secret| verify(&header, body, [secret], NOW, TOLERANCE_S);
    assert_eq!(check(&BODY[1..], SECRET), Err(Refused::Mismatch));
    assert_eq!(check(&[BODY, b"\n"].concat(), SECRET), Err(Refused::Mismatch));
    assert_eq!(check(b"", SECRET), Err(Refused::Mismatch));
    assert_eq!(check(BODY, "whsec_test_secret\n"), Err(Refused::Mismatch));
    assert_eq!(check(BODY, ""), Err(Refused::NoSecret));
    assert_eq!(check(BODY, " \t"), Err(Refused::NoSecret));
    assert_eq!(verify(&header, BODY, [], NOW, TOLERANCE_S), Err(Refused::NoSecret));
}

#[test]
fn while_a_secret_is_being_replaced_either_one_will_do() {
    let header = format!("t={NOW},v1={GOOD}");
    for secrets in [["whsec_new", SECRET], [SECRET, "whsec_new"]] {
        assert_eq!(verify(&header, BODY, secrets, NOW, TOLERANCE_S), Ok(()));
    }
    let old = format!("t={NOW},v1={},v1={GOOD}", v1("whsec_new", "1700000000", BODY));
    for secret in ["whsec_new", SECRET] {
        assert_eq!(verify(&old, BODY, [secret], NOW, TOLERANCE_S), Ok(()));
    }
}

#[test]
fn the_tolerance_ends_on_the_second() {
    let signed_at = |t: Seconds| sign(BODY, SECRET, t);
    let check = |t, tolerance_s| verify(&signed_at(t), BODY, [SECRET], NOW, tolerance_s);
    assert_eq!(check(NOW - 15, 10), Err(Refused::TooOld));
    assert_eq!(check(NOW - 15, 20), Ok(()));
    assert_eq!(check(NOW - 299, TOLERANCE_S), Ok(()));
    assert_eq!(check(NOW - 300, TOLERANCE_S), Ok(()));
    assert_eq!(check(NOW - 301, TOLERANCE_S), Err(Refused::TooOld));
    assert_eq!(check(i64::MIN, TOLERANCE_S), Err(Refused::TooOld));
}

#[test]
fn a_flood_of_signatures_is_cut_off() {
    let flood = format!("t={NOW}{}", ",v1=00".repeat(10_000)) + &format!(",v1={GOOD}");
    assert_eq!(check(&flood), Err(Refused::Mismatch));
}
