//! Finds text inside names and e-mails. An index of all words of three characters says which
//! customers may have it, the customer itself says whether it has. The index follows a little
//! behind: what it does not know yet stands in a list that every search looks through as well, so a
//! search misses nothing.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::Doing;
use crate::error::Result;

/// The index knows words of so many characters.
const WORD_CHARS: usize = 3;
/// Words of a text that are looked up; more would hardly leave fewer customers to look at.
const WORDS_MAX: usize = 12;
/// Fills the last words of a text up, so that each of its characters begins one.
const FILLER: char = '\u{f8ff}';
/// What SQLite would take for the end of a word stands in the index as private characters from
/// here on. Should somebody use them, the index names a few customers too many.
const PRIVATE: u32 = 0xe000;

const OPERATION: &str = "bring the search index up to date";

/// What to ask the index for this (folded) text; `None` for the empty one.
pub(super) fn asked(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().map(letter).collect();
    if is_short(text) {
        let start: String = chars.into_iter().collect();
        return (!start.is_empty()).then(|| format!("\"{start}\" *"));
    }
    let words: Vec<String> = chars
        .windows(WORD_CHARS)
        .take(WORDS_MAX)
        .map(|word| format!("\"{}\"", word.iter().collect::<String>()))
        .collect();
    Some(words.join(" AND "))
}

/// Shorter than a word: the index has to gather all words that begin so, which takes long if they
/// are in many customers.
pub(super) fn is_short(text: &str) -> bool {
    text.chars().count() < WORD_CHARS
}

/// The words of a (folded) text, as the index is given them.
fn add_words(text: &str, out: &mut String) {
    if text.is_empty() {
        return;
    }
    let fillers = std::iter::repeat_n(FILLER, WORD_CHARS - 1);
    let chars: Vec<char> = text.chars().map(letter).chain(fillers).collect();
    for word in chars.windows(WORD_CHARS) {
        out.extend(word);
        out.push(' ');
    }
}

fn letter(c: char) -> char {
    if c.is_ascii() && !c.is_ascii_alphanumeric() {
        char::from_u32(PRIVATE + u32::from(c)).unwrap_or(FILLER)
    } else {
        c
    }
}

/// Is there a customer that the index does not know yet as it is?
pub(super) fn is_behind(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT 1 FROM search_stale LIMIT 1")
        .and_then(|mut statement| statement.exists([]))
        .doing(OPERATION)
}

/// Takes at most so many customers into the index.
pub(super) fn catch_up(conn: &Connection, max: usize) -> Result<()> {
    let stale: Vec<i64> = conn
        .prepare_cached("SELECT customer FROM search_stale ORDER BY customer LIMIT ?1")
        .and_then(|mut statement| {
            statement.query_map([max as i64], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        })
        .doing(OPERATION)?;
    for customer in stale {
        index(conn, customer).doing(OPERATION)?;
    }
    Ok(())
}

fn index(conn: &Connection, customer: i64) -> rusqlite::Result<()> {
    let words = conn
        .prepare_cached(
            "SELECT ifnull(name_folded, ''), ifnull(email_folded, '')
             FROM customers WHERE seq = ?1 AND deleted = 0",
        )?
        .query_one([customer], |row| {
            let mut words = String::new();
            add_words(row.get_ref(0)?.as_str()?, &mut words);
            add_words(row.get_ref(1)?.as_str()?, &mut words);
            Ok(words)
        })
        .optional()?;
    match words {
        Some(words) => conn
            .prepare_cached("INSERT OR REPLACE INTO search (rowid, words) VALUES (?1, ?2)")?
            .execute(params![customer, words])?,
        None => conn.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([customer])?,
    };
    conn.prepare_cached("DELETE FROM search_stale WHERE customer = ?1")?.execute([customer])?;
    Ok(())
}

/// How many customers the index names for this, but no more than `max`.
pub(super) fn count(conn: &Connection, asked: &str, max: usize) -> Result<usize> {
    let sql = "SELECT count(*) FROM
                   (SELECT 1 FROM search WHERE search MATCH ?1 LIMIT ?2)";
    conn.prepare_cached(sql)
        .and_then(|mut statement| {
            statement.query_one(params![asked, max as i64], |row| row.get::<_, i64>(0))
        })
        .map(|count| count as usize)
        .doing("search customers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_asked_for_by_its_words_and_a_short_one_by_how_words_begin() {
        assert_eq!(asked(""), None);
        assert_eq!(asked("ad").as_deref(), Some("\"ad\" *"));
        assert_eq!(asked("adam").as_deref(), Some("\"ada\" AND \"dam\""));
        assert_eq!(asked("a\" ").as_deref(), Some("\"a\u{e022}\u{e020}\""));
        assert_eq!(asked(&"x".repeat(99)).map(|asked| asked.matches("AND").count()), Some(11));
    }

    #[test]
    fn every_character_of_a_text_begins_a_word() {
        let mut words = String::new();
        add_words("", &mut words);
        add_words("a b", &mut words);
        add_words("王", &mut words);
        assert_eq!(words, "a\u{e020}b \u{e020}b\u{f8ff} b\u{f8ff}\u{f8ff} 王\u{f8ff}\u{f8ff} ");
    }
}
