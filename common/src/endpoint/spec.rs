//! What `--from`, `--to` and `--dlq` may say: `-`, `kafka:TOPIC`. Errors name the flag.

use std::fmt;

use crate::error::{Error, Result};

/// Where records come from or go to, as the command line says it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Spec {
    /// `-`: NDJSON on stdin or stdout.
    Pipe,
    /// `kafka:TOPIC`.
    Kafka(String),
}

/// Kafka's own limit for the name of a topic.
const TOPIC_CHARS_MAX: usize = 249;

impl Spec {
    /// Reads what was given for `flag`.
    pub fn parse(flag: &str, text: &str) -> Result<Self> {
        let refuse = |cause: String| {
            Err(Error::fatal(format!("read {flag}"), cause)
                .hint(format!("{flag} takes - (one JSON object a line) or kafka:TOPIC")))
        };
        if text == "-" {
            return Ok(Self::Pipe);
        }
        let Some(topic) = text.strip_prefix("kafka:") else {
            return refuse(format!("{text:?} is neither - nor kafka:TOPIC"));
        };
        match topic_fault(topic) {
            None => Ok(Self::Kafka(topic.to_owned())),
            Some(fault) => refuse(format!("{topic:?} is no name for a topic: {fault}")),
        }
    }
}

/// What a repeated flag may hold together: several topics, or one `-`. Twice is once.
pub fn join_specs(flag: &str, given: &[Spec]) -> Result<Vec<Spec>> {
    let mut specs = Vec::with_capacity(given.len());
    for spec in given {
        if !specs.contains(spec) {
            specs.push(spec.clone());
        }
    }
    if specs.len() > 1 && specs.contains(&Spec::Pipe) {
        return Err(Error::fatal(format!("read {flag}"), "- cannot be joined with a topic")
            .hint("start the program twice, or read the topic with kcat -C and pipe both in"));
    }
    Ok(specs)
}

fn topic_fault(topic: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.is_empty() {
        Some("it is empty")
    } else if topic.len() > TOPIC_CHARS_MAX {
        Some("it is longer than 249 characters")
    } else if matches!(topic, "." | "..") {
        Some("Kafka does not allow it")
    } else if topic.chars().all(allowed) {
        None
    } else {
        Some("only letters, digits and . _ - are allowed")
    }
}

/// For the command line, which names the flag itself.
impl std::str::FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        Self::parse("it", text).map_err(|error| {
            let hint = "it takes - (one JSON object a line) or kafka:TOPIC";
            format!("{}; {hint}", error.cause)
        })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipe => f.write_str("-"),
            Self::Kafka(topic) => write!(f, "kafka:{topic}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_and_a_topic_are_read_and_printed_alike() {
        for text in ["-", "kafka:customer_events", "kafka:a.b-c_1"] {
            assert_eq!(Spec::parse("--from", text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn an_error_names_the_flag_and_what_it_takes() {
        for text in ["", "topic", "kafka:", "kafka:a b", "kafka:..", "file:x"] {
            let error = Spec::parse("--to", text).expect_err(text);
            assert!(error.to_string().starts_with("read --to: "), "{error}");
            assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("kafka:TOPIC")));
        }
        assert!(Spec::parse("--to", &format!("kafka:{}", "x".repeat(250))).is_err());
    }

    #[test]
    fn several_topics_are_joined_but_not_with_a_pipe() {
        let specs = |texts: &[&str]| -> Vec<Spec> {
            texts.iter().map(|text| text.parse().expect("a spec")).collect()
        };
        let both = join_specs("--from", &specs(&["kafka:a", "kafka:b", "kafka:a"]));
        assert_eq!(both.expect("two").len(), 2);
        assert!(join_specs("--from", &specs(&["-", "kafka:b"])).is_err());
    }
}
