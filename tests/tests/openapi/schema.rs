//! Checks JSON against the schemas of a description: only the keywords that ours uses. A keyword it
//! does not know is a failure, so that none is passed over in silence.

use common::clock;
use regex::Regex;
use serde_json::{Map, Value as Json};

/// Keywords that say something to people only.
const REMARKS: [&str; 5] = ["description", "summary", "examples", "default", "title"];

/// A description, whose schemas may refer to each other.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a>(pub &'a Json);

impl<'a> Document<'a> {
    /// What a `$ref` stands for; anything else is itself.
    pub fn resolve(self, json: &'a Json) -> &'a Json {
        let Some(reference) = json.get("$ref").and_then(Json::as_str) else { return json };
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        self.resolve(self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} is nowhere")))
    }

    /// What is wrong with the value; empty when nothing is.
    pub fn faults(self, schema: &'a Json, value: &Json) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(schema, value, "", &mut faults);
        faults
    }

    fn fits(self, schema: &'a Json, value: &Json) -> bool {
        self.faults(schema, value).is_empty()
    }

    fn check(self, schema: &'a Json, value: &Json, at: &str, faults: &mut Vec<String>) {
        let schema = self.resolve(schema);
        let keywords = schema.as_object().unwrap_or_else(|| panic!("{at}: no schema: {schema}"));
        for (keyword, rule) in keywords {
            let fine = match keyword.as_str() {
                "type" => is_of(rule, value),
                "enum" => rule.as_array().expect("values").contains(value),
                "const" => rule == value,
                "anyOf" => {
                    rule.as_array().expect("schemas").iter().any(|one| self.fits(one, value))
                }
                "not" => !self.fits(rule, value),
                "minimum" => number(value).is_none_or(|it| it >= number(rule).expect("a number")),
                "maximum" => number(value).is_none_or(|it| it <= number(rule).expect("a number")),
                "minLength" => chars(value).is_none_or(|it| it >= count(rule)),
                "maxLength" => chars(value).is_none_or(|it| it <= count(rule)),
                "maxProperties" => value.as_object().is_none_or(|it| it.len() <= count(rule)),
                "pattern" => value.as_str().is_none_or(|it| matches(rule, it)),
                "format" => value.as_str().is_none_or(|it| has_format(rule, it)),
                "required" => value.as_object().is_none_or(|members| {
                    let names = rule.as_array().expect("names");
                    names.iter().all(|name| members.contains_key(name.as_str().expect("a name")))
                }),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}/{index}"), faults);
                    }
                    true
                }
                "properties" | "additionalProperties" | "propertyNames" => {
                    if let Some(members) = value.as_object() {
                        self.members(keyword, keywords, members, at, faults);
                    }
                    true
                }
                remark => {
                    assert!(REMARKS.contains(&remark), "{at}: the keyword {remark} is not known");
                    true
                }
            };
            if !fine {
                faults.push(format!("{at}: {value} against {keyword}: {rule}"));
            }
        }
    }

    fn members(
        self,
        keyword: &str,
        keywords: &'a Map<String, Json>,
        members: &Map<String, Json>,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        let known = keywords.get("properties").and_then(Json::as_object);
        for (name, value) in members {
            let at = format!("{at}/{name}");
            let property = known.and_then(|known| known.get(name));
            match (keyword, property) {
                ("properties", Some(schema)) => self.check(schema, value, &at, faults),
                ("additionalProperties", None) => match &keywords[keyword] {
                    Json::Bool(true) => {}
                    Json::Bool(false) => faults.push(format!("{at}: is not described")),
                    schema => self.check(schema, value, &at, faults),
                },
                ("propertyNames", _) => {
                    self.check(&keywords[keyword], &Json::String(name.clone()), &at, faults);
                }
                _ => {}
            }
        }
    }
}

fn is_of(types: &Json, value: &Json) -> bool {
    let is = |name: &Json| match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    };
    types.as_array().map_or_else(|| is(types), |types| types.iter().any(is))
}

fn number(json: &Json) -> Option<f64> {
    json.as_f64()
}

fn chars(json: &Json) -> Option<usize> {
    json.as_str().map(|text| text.chars().count())
}

fn count(rule: &Json) -> usize {
    usize::try_from(rule.as_u64().expect("a count")).expect("a small one")
}

fn matches(pattern: &Json, text: &str) -> bool {
    let pattern = pattern.as_str().expect("a pattern");
    Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text)
}

fn has_format(format: &Json, text: &str) -> bool {
    match format.as_str().expect("a format") {
        "date-time" => clock::parse_rfc3339(text).is_some(),
        "uri-reference" => !text.contains(char::is_whitespace),
        other => panic!("{other} is no format known here"),
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    use serde_json::json;
    let document = json!({"components": {"schemas": {"Text": {"type": "string", "maxLength": 2}}}});
    let document = Document(&document);
    let text = json!({"$ref": "#/components/schemas/Text"});
    let object = json!({"type": ["object", "null"], "required": ["a"], "maxProperties": 2,
        "properties": {"a": text, "n": {"type": "integer", "minimum": 1, "maximum": 3}},
        "additionalProperties": false});
    let map = json!({"propertyNames": {"pattern": "^[a-z]+$", "not": {"enum": ["no"]}},
        "additionalProperties": {"anyOf": [{"const": 1}, {"type": "null"}]}});
    let list = json!({"type": "array", "items": {"format": "date-time", "minLength": 1}});
    for (schema, value, fine) in [
        (&text, json!("é€"), true),
        (&text, json!("abc"), false),
        (&text, json!(1), false),
        (&object, json!({"a": "x", "n": 1}), true),
        (&object, json!(null), true),
        (&object, json!([]), false),
        (&object, json!({"n": 1}), false),
        (&object, json!({"a": "x", "n": 4}), false),
        (&object, json!({"a": "x", "n": 0.5}), false),
        (&object, json!({"a": "x", "b": 1}), false),
        (&map, json!({"ok": 1, "too": null}), true),
        (&map, json!({"no": 1}), false),
        (&map, json!({"NO": 1}), false),
        (&map, json!({"ok": 2}), false),
        (&list, json!(["2026-11-22T10:00:00Z"]), true),
        (&list, json!(["yesterday"]), false),
        (&list, json!([""]), false),
    ] {
        assert_eq!(document.faults(schema, &value).is_empty(), fine, "{schema} {value}");
    }
}
