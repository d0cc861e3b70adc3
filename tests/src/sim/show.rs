//! Histories for people.

use common::record::{Fields, Snapshot, Value};

use super::{FIELDS, field};

pub fn show_value(value: Option<&Value>) -> String {
    match value {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Address(_)) => "address".into(),
        None => "-".into(),
    }
}

pub fn show_fields(fields: &Fields) -> String {
    let values = (0..FIELDS).map(|at| show_value(fields.get(&field(at))));
    values.collect::<Vec<_>>().join("/")
}

pub fn show_snapshot(snapshot: &Snapshot) -> String {
    let stamp = snapshot.stamp.as_ref().map_or("none".into(), ToString::to_string);
    let deleted = if snapshot.deleted { " deleted" } else { "" };
    format!("{} {} stamp {stamp}{deleted}", snapshot.id, show_fields(&snapshot.fields))
}
