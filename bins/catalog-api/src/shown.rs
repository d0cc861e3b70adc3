//! A customer as the API shows it: its members, and how it stands with each system.

use std::collections::BTreeMap;

use common::record::Field;
use common::store::State;
use common::sync::{Entry, SyncState};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Shows an entry. Prints as one JSON object.
pub struct Shown<'a>(pub &'a Entry);

#[derive(Serialize)]
struct ShownSync<'a> {
    id: Option<&'a str>,
    state: &'static str,
    /// The newest version the system is known to have.
    version: u64,
    error: Option<&'a str>,
    refused: BTreeMap<&'a Field, &'a str>,
    /// Since when it has been unknown what the system has.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<String>,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.0;
        let mut map = serializer.serialize_map(None)?;
        entry.customer.serialize_into(&mut map)?;
        let sync: BTreeMap<_, _> = entry
            .systems
            .iter()
            .map(|(system, sync)| (system, shown_sync(entry, system, sync)))
            .collect();
        map.serialize_entry("sync", &sync)?;
        map.end()
    }
}

fn shown_sync<'a>(entry: &'a Entry, system: &str, sync: &'a SyncState) -> ShownSync<'a> {
    ShownSync {
        id: sync.external_id.as_deref(),
        state: State::of(entry, system).as_str(),
        version: sync.acked,
        error: sync.error.as_deref(),
        refused: sync
            .refused
            .iter()
            .map(|(field, refusal)| (field, refusal.why.as_str()))
            .collect(),
        doubt: sync.doubt.map(common::clock::rfc3339),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::record::Fields;
    use common::sync::{Refusal, write};
    use serde_json::{Value as Json, json};

    fn shown(entry: &Entry) -> Json {
        serde_json::to_value(Shown(entry)).expect("prints")
    }

    #[test]
    fn sync_says_pending_synced_or_failed() {
        let fields = Fields::from_json(&json!({"name": "Ada", "phone": "1"}));
        let mut entry = write::create("c".into(), fields, &["stripe"], 0);
        assert_eq!(
            shown(&entry)["sync"]["stripe"],
            json!({"id": null, "state": "pending", "version": 0, "error": null, "refused": {}})
        );
        let sync = entry.systems.get_mut("stripe").expect("stripe");
        sync.external_id = Some("cus_1".into());
        sync.acked = 1;
        assert_eq!(shown(&entry)["sync"]["stripe"]["state"], "synced");
        let sync = entry.systems.get_mut("stripe").expect("stripe");
        sync.refused.insert(Field::Phone, Refusal { version: 1, why: "too short".into() });
        let json = shown(&entry);
        assert_eq!(json["sync"]["stripe"]["state"], "failed");
        assert_eq!(json["sync"]["stripe"]["refused"]["phone"], "too short");
        assert_eq!(json["name"], "Ada");
        assert_eq!(json["version"], 1);
        assert!(json["sync"]["stripe"].get("doubt").is_none());
        entry.systems.get_mut("stripe").expect("stripe").doubt = Some(1_795_341_600_123);
        assert_eq!(shown(&entry)["sync"]["stripe"]["doubt"], "2026-11-22T10:00:00.123Z");
    }
}
