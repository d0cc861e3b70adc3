//! Which dead letters are meant.

use crate::letter::Letter;

/// All that is asked for has to be so; of one thing asked several times, one.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub keys: Vec<String>,
    pub offsets: Vec<(i32, i64)>,
    pub errors: Vec<String>,
    /// Also those that were put back before.
    pub all: bool,
}

impl Selection {
    pub fn holds(&self, letter: &Letter) -> bool {
        let key = |key: &String| letter.record.key.as_ref() == Some(key);
        let error = letter.error.to_lowercase();
        let says = |text: &String| error.contains(&text.to_lowercase());
        (self.all || !letter.redriven)
            && (self.keys.is_empty() || self.keys.iter().any(key))
            && (self.offsets.is_empty() || self.offsets.contains(&letter.at.position()))
            && (self.errors.is_empty() || self.errors.iter().any(says))
    }
}

/// `PARTITION:OFFSET`, or the number of a line.
pub fn parse_offset(text: &str) -> Result<(i32, i64), String> {
    let (partition, offset) = text.split_once(':').unwrap_or(("0", text));
    match (partition.parse(), offset.parse()) {
        (Ok(partition), Ok(offset)) if partition >= 0 && offset >= 0 => Ok((partition, offset)),
        (_, _) => Err("it takes PARTITION:OFFSET or, of a file, LINE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letter::At;
    use common::endpoint::Record;

    #[test]
    fn what_is_asked_for_narrows_and_what_was_put_back_is_left_out() {
        let letter = |redriven| Letter {
            at: At::Topic { topic: "t.dlq".into(), partition: 2, offset: 7 },
            record: Record { key: Some("c1".into()), ..Record::default() },
            error: "Invalid Phone".into(),
            attempts: None,
            origin: None,
            failed_at: None,
            redriven,
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        for (keys, offsets, errors, holds) in [
            (&[][..], &[][..], &[][..], true),
            (&["c2", "c1"], &[(2, 7)], &["phone"], true),
            (&["c2"], &[], &[], false),
            (&["c1"], &[(7, 2)], &[], false),
            (&["c1"], &[], &["email", "name"], false),
        ] {
            let selection = Selection {
                keys: words(keys),
                offsets: offsets.to_vec(),
                errors: words(errors),
                all: false,
            };
            assert_eq!(selection.holds(&letter(false)), holds, "{selection:?}");
            assert!(!selection.holds(&letter(true)), "{selection:?}");
        }
        assert!(Selection { all: true, ..Selection::default() }.holds(&letter(true)));
    }

    #[test]
    fn an_offset_is_a_place_in_a_partition_or_a_line() {
        assert_eq!(parse_offset("2:17"), Ok((2, 17)));
        assert_eq!(parse_offset("17"), Ok((0, 17)));
        for text in ["", ":", "a:1", "1:-1", "1:2:3", "-1"] {
            assert!(parse_offset(text).is_err(), "{text}");
        }
    }
}
