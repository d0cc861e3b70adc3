//! The search of customers: Stripe's query language, and an index that lags behind on demand. It
//! must never be fresher than the lag says.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::customer;
use crate::errors::ApiError;
use crate::form::Form;
use crate::list;
use crate::store::{Customer, Store};

const CLAUSES_MAX: usize = 10;
/// Shorter texts cannot be looked for with `~`.
const SUBSTRING_CHARS_MIN: usize = 3;

/// `GET /v1/customers/search`
pub fn search(store: &Store, form: &Form, now_ms: i64, lag_ms: i64) -> Result<Value, ApiError> {
    form.only(&["query", "limit", "page", "expand"])?;
    customer::check_expand(form, "data.")?;
    let text = form.text("query")?.ok_or_else(|| ApiError::missing_param("query"))?;
    let query = Query::parse(text)?;
    let limit = list::read_limit(form)?;
    let skip = match form.text("page")? {
        None => u64::MAX,
        Some(page) => page
            .strip_prefix("page_")
            .and_then(|seq| seq.parse().ok())
            .ok_or_else(|| ApiError::invalid("Invalid page token.").param("page"))?,
    };
    let mut found = Vec::new();
    for row in store.customers.range(..skip).rev().map(|(_, row)| row) {
        let Some(json) = indexed(row, now_ms, lag_ms) else { continue };
        if query.holds(&list::parse(json)) {
            found.push((row.seq, list::expanded(json, form, "data.")));
            if found.len() > limit {
                break;
            }
        }
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_page = found.last().filter(|_| has_more).map(|(seq, _)| format!("page_{seq}"));
    let data: Vec<Value> = found.into_iter().map(|(_, value)| value).collect();
    Ok(json!({
        "object": "search_result", "data": data, "has_more": has_more, "next_page": next_page,
        "url": "/v1/customers/search",
    }))
}

/// What the index holds of a customer by now.
fn indexed(row: &Customer, now_ms: i64, lag_ms: i64) -> Option<&RawValue> {
    if now_ms - row.changed_ms < lag_ms {
        row.before.as_deref()
    } else if row.deleted {
        None
    } else {
        Some(&row.json)
    }
}

#[derive(Debug)]
struct Query {
    clauses: Vec<Clause>,
    any: bool,
}

#[derive(Debug)]
struct Clause {
    negated: bool,
    field: String,
    /// The key of `metadata["key"]`.
    key: Option<String>,
    operator: char,
    or_equal: bool,
    /// `None` is the word `null`.
    value: Option<String>,
}

fn bad(why: &str) -> ApiError {
    ApiError::invalid(format!(
        "We were unable to parse your search query. {why} See \
         https://stripe.com/docs/search#search-query-language."
    ))
    .param("query")
}

impl Query {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(ApiError::empty("query"));
        }
        let (mut clauses, mut ands, mut ors) = (Vec::new(), 0, 0);
        loop {
            let (clause, after) = Clause::parse(rest)?;
            clauses.push(clause);
            let trimmed = after.trim_start();
            if trimmed.is_empty() {
                break;
            }
            if trimmed.len() == after.len() {
                return Err(bad("Clauses are separated by blanks."));
            }
            if let Some(next) = trimmed.strip_prefix("OR ") {
                ors += 1;
                rest = next.trim_start();
            } else {
                ands += 1;
                rest = trimmed.strip_prefix("AND ").unwrap_or(trimmed).trim_start();
            }
        }
        if ands > 0 && ors > 0 {
            return Err(bad("AND and OR cannot be used in one query."));
        }
        if clauses.len() > CLAUSES_MAX {
            return Err(bad("A query can have up to 10 clauses."));
        }
        Ok(Self { clauses, any: ors > 0 })
    }

    fn holds(&self, customer: &Value) -> bool {
        let mut answers = self.clauses.iter().map(|clause| clause.holds(customer));
        if self.any { answers.any(|yes| yes) } else { answers.all(|yes| yes) }
    }
}

impl Clause {
    fn parse(text: &str) -> Result<(Self, &str), ApiError> {
        let (negated, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let end = text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
        let (field, mut rest) = text.split_at(end);
        let known = ["created", "email", "metadata", "name", "phone"];
        if !known.contains(&field) {
            return Err(bad(&format!("Field `{field}` cannot be searched.")));
        }
        let mut key = None;
        if field == "metadata" {
            let inner = rest.strip_prefix('[').ok_or_else(|| bad("metadata needs a [\"key\"]."))?;
            let (name, after) = quoted(inner)?;
            rest = after.strip_prefix(']').ok_or_else(|| bad("A ] is missing."))?;
            key = Some(name);
        }
        let operator = rest.chars().next().filter(|c| [':', '~', '<', '>', '='].contains(c));
        let operator = operator.ok_or_else(|| bad("An operator is missing."))?;
        rest = rest.get(1..).unwrap_or_default();
        let or_equal = matches!(operator, '<' | '>') && rest.starts_with('=');
        if or_equal {
            rest = rest.get(1..).unwrap_or_default();
        }
        let numeric = field == "created";
        if matches!(operator, '<' | '>' | '=') != numeric && !(numeric && operator == ':') {
            return Err(bad(&format!("`{operator}` cannot be used with {field}.")));
        }
        let (value, after) = if rest.starts_with(['"', '\'']) {
            let (value, after) = quoted(rest)?;
            (Some(value), after)
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            match word {
                "null" => (None, after),
                word if numeric && word.parse::<i64>().is_ok() => (Some(word.to_owned()), after),
                _ => return Err(bad("Texts stand in quotes.")),
            }
        };
        let short = |v: &String| v.chars().count() < SUBSTRING_CHARS_MIN;
        if operator == '~' && value.as_ref().is_none_or(short) {
            return Err(bad("`~` needs at least 3 characters."));
        }
        let field = field.to_owned();
        Ok((Self { negated, field, key, operator, or_equal, value }, after))
    }

    fn holds(&self, customer: &Value) -> bool {
        let actual = match &self.key {
            Some(key) => &customer["metadata"][key],
            None => &customer[self.field.as_str()],
        };
        let holds = match (&self.value, actual) {
            (None, actual) => actual.is_null(),
            (Some(wanted), Value::Number(number)) => {
                let (wanted, actual) = (wanted.parse().unwrap_or(0), number.as_i64().unwrap_or(0));
                match self.operator {
                    _ if self.or_equal && actual == wanted => true,
                    '<' => actual < wanted,
                    '>' => actual > wanted,
                    _ => actual == wanted,
                }
            }
            (Some(wanted), Value::String(actual)) => {
                let (wanted, actual) = (wanted.to_lowercase(), actual.to_lowercase());
                if self.operator == '~' { actual.contains(&wanted) } else { actual == wanted }
            }
            (Some(_), _) => false,
        };
        holds != self.negated
    }
}

/// A text in quotes, `\"` and `\\` undone, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), ApiError> {
    let open = text.chars().next().filter(|c| *c == '"' || *c == '\'');
    let quote = open.ok_or_else(|| bad("A quote is missing."))?;
    let (mut out, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            out.push(c);
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return Ok((out, text.get(at + 1..).unwrap_or_default()));
        } else {
            out.push(c);
        }
    }
    Err(bad("A quote is not closed."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on has failed
mod tests {
    use super::*;

    fn holds(query: &str) -> bool {
        let ada = json!({"created": 100, "email": "Ada@example.com", "name": "Ada L", "phone": null,
                         "metadata": {"catalog_id": "c1", "a \"b\"": "x"}});
        Query::parse(query).unwrap().holds(&ada)
    }

    #[test]
    fn the_query_language_is_stripes() {
        for (query, expected) in [
            ("email:\"ada@example.com\"", true),
            ("email:'ada@example.com'", true),
            ("email:\"ada\"", false),
            ("email~\"example\"", true),
            ("metadata[\"catalog_id\"]:\"c1\"", true),
            ("metadata['a \"b\"']:\"x\"", true),
            ("metadata[\"none\"]:null", true),
            ("-metadata[\"catalog_id\"]:null", true),
            ("-name:\"Ada L\"", false),
            ("phone:null AND created>99", true),
            ("created>=100 created<=100", true),
            ("created:100", true),
            ("name:\"Eve\" OR created<101", true),
            ("name:\"Eve\" AND created<101", false),
        ] {
            assert_eq!(holds(query), expected, "{query}");
        }
    }

    #[test]
    fn bad_queries_are_refused() {
        let many = ["created>1"; 11].join(" AND ");
        for query in [
            "",
            "foo:\"x\"",
            "name:x",
            "name:\"x",
            "name>\"x\"",
            "name~\"ab\"",
            "metadata:\"x\"",
            "name:\"a\" AND name:\"b\" OR name:\"c\"",
            "name:\"a\"name:\"b\"",
            &many,
        ] {
            let error = Query::parse(query).unwrap_err();
            assert_eq!(error.param.as_deref(), Some("query"), "{query}");
        }
    }
}
