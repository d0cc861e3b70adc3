//! Dead letters as they are found: a record of a topic with headers, a line of a file that one of
//! our programs wrote, a line that this program showed, or a line of `kcat -J`.

use std::collections::BTreeMap;

use common::endpoint::Record;
use common::endpoint::dead_letters::{
    ATTEMPTS, ERROR, FAILED_AT, HEADERS, ORIGIN_OFFSET, ORIGIN_PARTITION, ORIGIN_TOPIC, REDRIVEN,
};
use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::letter::{At, Letter, Origin};

/// A record of a topic of dead letters. One that carries no such headers is a letter all the same,
/// of unknown origin.
pub fn record(record: Record, at: At) -> Letter {
    let text = |name: &str| {
        let found = record.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    let number = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok());
    // A line's number was kept as an offset, of no topic.
    let origin = text(ORIGIN_TOPIC).map(|topic| match topic.as_str() {
        "-" => Origin::Pipe { line: number(ORIGIN_OFFSET) },
        _ => Origin::Topic {
            topic,
            partition: number(ORIGIN_PARTITION).map(|partition| partition as i32),
            offset: number(ORIGIN_OFFSET),
        },
    });
    let mut letter = Letter {
        at,
        error: text(ERROR).unwrap_or_default(),
        attempts: number(ATTEMPTS).map(|attempts| attempts as u32),
        origin,
        failed_at: text(FAILED_AT),
        redriven: false,
        record: Record::default(),
    };
    letter.record = record;
    let ours = |name: &String| HEADERS.contains(&name.as_str()) || name == REDRIVEN;
    letter.record.headers.retain(|(name, _)| !ours(name));
    letter
}

#[derive(Deserialize)]
struct Given<'a> {
    // Of a dead letter in a file.
    error: Option<String>,
    attempts: Option<u32>,
    origin: Option<Json>,
    line: Option<i64>,
    at: Option<String>,
    failed_at: Option<String>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    text: Option<String>,
    hex: Option<String>,
    // Of kcat.
    topic: Option<String>,
    payload: Option<String>,
    // Of both.
    key: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    headers: Option<Json>,
}

/// A line of a file. `Err` says what is wrong with it.
pub fn line(bytes: &[u8], file: &str, number: i64) -> Result<Letter, String> {
    let line: Given = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if let (Some(payload), Some(topic)) = (&line.payload, &line.topic) {
        let found = Record {
            key: line.key.clone(),
            value: payload.clone().into_bytes(),
            headers: kcat_headers(line.headers.as_ref()),
        };
        let (partition, offset) = (line.partition.unwrap_or(0), line.offset.unwrap_or(0));
        return Ok(record(found, At::Topic { topic: topic.clone(), partition, offset }));
    }
    let Some(error) = line.error.clone() else {
        return Err("it is no dead letter: it says no error".to_owned());
    };
    let value = match (line.record, &line.text, &line.hex) {
        (Some(record), _, _) => record.get().as_bytes().to_vec(),
        (None, Some(text), _) => text.clone().into_bytes(),
        (None, None, Some(hex)) => hex::decode(hex).map_err(|error| format!("hex: {error}"))?,
        (None, None, None) => return Err("the record is missing: list does not show it".to_owned()),
    };
    let headers: BTreeMap<String, String> = line
        .headers
        .clone()
        .and_then(|headers| serde_json::from_value(headers).ok())
        .unwrap_or_default();
    let headers = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
    Ok(Letter {
        at: At::File { file: file.to_owned(), line: number },
        record: Record { key: line.key.clone(), value, headers },
        error,
        attempts: line.attempts,
        origin: origin(&line),
        failed_at: line.failed_at.or(line.at),
        redriven: false,
    })
}

/// `"-"` or `"kafka:TOPIC"` where a program wrote it, an object where this one did.
fn origin(line: &Given) -> Option<Origin> {
    match line.origin.as_ref()? {
        Json::String(text) if text == "-" => Some(Origin::Pipe { line: line.line }),
        Json::String(text) => {
            let topic = text.strip_prefix("kafka:")?.to_owned();
            Some(Origin::Topic { topic, partition: line.partition, offset: line.offset })
        }
        shown => {
            let number = |name: &str| shown.get(name).and_then(Json::as_i64);
            let partition = number("partition").map(|partition| partition as i32);
            match shown.get("topic").and_then(Json::as_str) {
                Some(topic) => {
                    let topic = topic.to_owned();
                    Some(Origin::Topic { topic, partition, offset: number("offset") })
                }
                None => Some(Origin::Pipe { line: number("line") }),
            }
        }
    }
}

/// kcat prints names and values in turn.
fn kcat_headers(headers: Option<&Json>) -> Vec<(String, Vec<u8>)> {
    let all = headers.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let pair = |pair: &[Json]| {
        let value = pair.get(1).and_then(Json::as_str).unwrap_or_default();
        Some((pair.first()?.as_str()?.to_owned(), value.as_bytes().to_vec()))
    };
    all.chunks(2).filter_map(pair).collect()
}

#[cfg(test)]
mod tests;
