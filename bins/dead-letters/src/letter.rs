//! A dead letter: the record as it was, and what became of it. Printed as one line of JSON: in
//! short for lists, or whole, so that it can be kept in a file, looked at, and put back from there.

use std::collections::BTreeMap;
use std::fmt;

use common::endpoint::Record;
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Clone, Debug)]
pub struct Letter {
    /// Where it lies.
    pub at: At,
    /// As it was when it could not be processed, with its own headers and no others.
    pub record: Record,
    pub error: String,
    pub attempts: Option<u32>,
    pub origin: Option<Origin>,
    pub failed_at: Option<String>,
    /// It was put back before.
    pub redriven: bool,
}

/// Where a dead letter lies.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum At {
    Topic { topic: String, partition: i32, offset: i64 },
    File { file: String, line: i64 },
}

/// Where a record came from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Origin {
    Topic {
        topic: String,
        partition: Option<i32>,
        offset: Option<i64>,
    },
    /// A line of a program's stdin.
    Pipe {
        line: Option<i64>,
    },
}

impl At {
    /// As `--offset` names it.
    pub fn position(&self) -> (i32, i64) {
        match self {
            Self::Topic { partition, offset, .. } => (*partition, *offset),
            Self::File { line, .. } => (0, *line),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic { topic, partition, offset } => {
                write!(f, "kafka:{topic} {partition}:{offset}")
            }
            Self::File { file, line } => write!(f, "{file} line {line}"),
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    at: &'a At,
    key: Option<&'a str>,
    error: &'a str,
    attempts: Option<u32>,
    origin: Option<&'a Origin>,
    failed_at: Option<&'a str>,
    size: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redriven: bool,
    /// Where it would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(flatten)]
    body: Option<Body<'a>>,
}

/// The record itself, in the form that fits it.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, String>,
    /// Where it is JSON on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// What is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl Letter {
    /// One line without its end: what it is, why, and from where.
    pub fn in_short(&self, to: Option<&str>) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self.shown(to, None))
    }

    /// The same, and the record.
    pub fn whole(&self) -> serde_json::Result<Vec<u8>> {
        let text = std::str::from_utf8(&self.record.value).ok();
        let json = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        // Byte for byte, or as text.
        let json = json.filter(|json| {
            json.get().len() == self.record.value.len() && !json.get().contains(['\n', '\r'])
        });
        let header = |(name, value): &'_ (String, Vec<u8>)| {
            (name.clone(), String::from_utf8_lossy(value).into_owned())
        };
        let headers: Vec<(String, String)> = self.record.headers.iter().map(header).collect();
        let body = Body {
            headers: headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect(),
            record: json,
            text: text.filter(|_| json.is_none()),
            hex: text.is_none().then(|| hex::encode(&self.record.value)),
        };
        serde_json::to_vec(&self.shown(None, Some(body)))
    }

    fn shown<'a>(&'a self, to: Option<&'a str>, body: Option<Body<'a>>) -> Shown<'a> {
        Shown {
            at: &self.at,
            key: self.record.key.as_deref(),
            error: &self.error,
            attempts: self.attempts,
            origin: self.origin.as_ref(),
            failed_at: self.failed_at.as_deref(),
            size: self.record.value.len(),
            redriven: self.redriven,
            to,
            body,
        }
    }
}
