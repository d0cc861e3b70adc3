//! The JSON of a request's body, read more strictly than JSON itself asks for: of a member that
//! stands twice nobody could say which counts.

use std::fmt;

use common::http::{Fault, Problem, Request};
use common::record::validate::Invalid;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

/// The longest body: far more than all fields at their limits take.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The JSON of a body. 400 says where it ceases to be JSON.
pub fn json(request: &mut Request) -> Result<Json, Problem> {
    let bytes = request.body(BODY_BYTES_MAX)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(400, "the body is empty; a JSON object is expected"));
    }
    parse(bytes).map_err(|Broken { cause, line, column }| {
        let detail = format!("the body is not JSON: {cause}, in line {line}, column {column}");
        Problem::new(400, detail)
    })
}

/// Where a text ceases to be JSON, and why.
#[derive(Debug)]
pub struct Broken {
    pub cause: String,
    pub line: usize,
    pub column: usize,
}

pub fn parse(bytes: &[u8]) -> Result<Json, Broken> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let cause = text.rsplit_once(" at line ").map_or(text.as_str(), |(cause, _)| cause);
        Broken { cause: cause.to_owned(), line, column }
    })
}

/// What is wrong with its members.
pub fn invalid(faults: Vec<Invalid>) -> Problem {
    let faults = faults.into_iter().map(fault);
    Problem::invalid(faults.collect())
}

pub fn fault(invalid: Invalid) -> Fault {
    Fault { field: invalid.field, message: invalid.message }
}

/// JSON without members that stand twice.
struct Strict(Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format!("the member {name:?} stands twice")));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_json_reads_as_json_does() {
        for text in ["null", "[1,-2,0.5,true,\"é\\n\",{}]", "{\"a\":{\"b\":[{}]}}", "\"\\u0000\""]
        {
            let expected: Json = serde_json::from_str(text).expect(text);
            assert_eq!(parse(text.as_bytes()).expect(text), expected);
        }
    }

    #[test]
    fn what_nobody_could_read_in_one_way_only_is_refused_with_its_place() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for (text, why) in [
            ("{\"a\":1,\"a\":1}", "\"a\" stands twice, in line 1"),
            ("{\"m\":{\"k\":1,\n\"\\u006b\":2}}", "\"k\" stands twice, in line 2"),
            ("\"\\ud800\"", "in line 1"),
            ("\"\\udc00\\ud800\"", "in line 1"),
            ("1e999", "number out of range"),
            ("NaN", "in line 1"),
            ("{} {}", "trailing characters"),
            ("\u{feff}{}", "in line 1"),
            ("\"\n\"", "control character"),
            (&deep, "recursion limit"),
        ] {
            let said = parse(text.as_bytes()).expect_err(text);
            let said = format!("{}, in line {}", said.cause, said.line);
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }
}
