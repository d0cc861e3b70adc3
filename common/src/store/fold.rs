//! Texts as filters and search compare them: whatever the case, in any script, and however the same
//! letters were typed.

use unicode_normalization::UnicodeNormalization;

/// Folds a text. Two that people would call the same but for case have the same; what somebody
/// typed is kept beside it, untouched.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // By way of capitals: so that ß is as SS, and a small sigma as any other.
    let small = text.nfkd().flat_map(char::to_lowercase);
    let small = small.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    // Turkish has an i with and one without a dot; to everybody else both are an i.
    small.collect::<String>().replace("i\u{307}", "i").nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_call_the_same_is_the_same() {
        for same in [
            &["ADA@Example.com", "ada@example.com"][..],
            &["Zoë", "ZOË", "zoe\u{308}", "ZOE\u{308}"],
            &["Straße", "STRASSE", "straSSe", "STRAẞE"],
            &["ΟΔΟΣ", "οδος", "οδοσ"],
            &["İstanbul", "istanbul", "ISTANBUL", "i\u{307}stanbul"],
            &["Ｆｕｌｌ", "full"],
            &["ﬁnch", "FINCH"],
            &["Привет", "ПРИВЕТ"],
            &["가", "\u{1100}\u{1161}"],
        ] {
            for text in same {
                assert_eq!(fold(text), fold(same[0]), "{text}");
                assert_eq!(fold(&fold(text)), fold(text), "{text}");
            }
        }
    }

    #[test]
    fn what_differs_stays_different() {
        for (one, other) in [("Zoe", "Zoë"), ("ı", "l"), ("王", "玉"), ("a", "а"), ("z", "ż")]
        {
            assert_ne!(fold(one), fold(other));
        }
    }
}
