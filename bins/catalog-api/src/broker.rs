//! Tells a broker that came back empty (DESIGN I8): another cluster id, a topic that ends before
//! what was delivered to it, or a delivery below an earlier one. What was delivered last is kept in
//! the catalog's file, since the broker may be replaced while this program is down.

use std::collections::BTreeMap;

use common::endpoint::Delivered;
use common::endpoint::kafka::KafkaSink;
use common::error::Result;
use common::store::Tx;
use serde::{Deserialize, Serialize};

use crate::readers::Readers;

/// What is known of the broker that the relay publishes to.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Known {
    pub cluster: String,
    /// Per partition, the offset after the last delivery.
    pub ends: BTreeMap<i32, i64>,
}

impl Known {
    pub fn load(readers: &Readers, name: &str) -> Result<Option<Self>> {
        let text = readers.read(|store| store.meta(&key(name)))?;
        // What cannot be read was written by nobody we know: then it is a broker we do not know.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub fn save(&self, tx: &Tx, name: &str) -> Result<()> {
        tx.meta_set(&key(name), &serde_json::to_string(self).unwrap_or_default())
    }

    /// Asks the broker. Blocks; `Retry` while it is away.
    pub fn ask(sink: &KafkaSink) -> Result<Self> {
        let cluster = sink.cluster()?;
        let ends = cluster.end_offsets(sink.topic())?;
        Ok(Self { cluster: cluster.id()?, ends })
    }

    /// Why a broker that says `now` cannot hold what was delivered to this one.
    pub fn lost(&self, now: &Self) -> Option<String> {
        if self.cluster != now.cluster {
            return Some("it is another cluster".to_owned());
        }
        self.ends.iter().find_map(|(partition, delivered)| {
            let end = now.ends.get(partition).copied().unwrap_or(0);
            (end < *delivered).then(|| {
                format!("partition {partition} ends at {end}, and {delivered} were delivered to it")
            })
        })
    }

    /// Takes a delivery in. False if it cannot have come after those before it.
    pub fn delivered(&mut self, delivered: Delivered) -> bool {
        let end = delivered.offset + 1;
        let before = self.ends.insert(delivered.partition, end).unwrap_or(0);
        // Partitions are filled in the order of the records, and reports come in that order.
        delivered.offset < 0 || end > before
    }
}

fn key(name: &str) -> String {
    format!("relay {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(cluster: &str, ends: &[(i32, i64)]) -> Known {
        Known { cluster: cluster.to_owned(), ends: ends.iter().copied().collect() }
    }

    #[test]
    fn a_broker_lost_what_was_delivered_if_it_is_another_or_ends_before_it() {
        let before = known("a", &[(0, 5), (1, 7)]);
        assert_eq!(before.lost(&known("a", &[(0, 5), (1, 9), (2, 1)])), None);
        assert!(before.lost(&known("b", &[(0, 5), (1, 7)])).is_some());
        assert!(before.lost(&known("a", &[(0, 5), (1, 6)])).is_some());
        assert!(before.lost(&known("a", &[])).is_some());
        assert_eq!(known("a", &[]).lost(&known("a", &[])), None);
    }

    #[test]
    fn a_delivery_below_an_earlier_one_tells_too() {
        let mut known = known("a", &[(0, 5)]);
        assert!(known.delivered(Delivered { partition: 0, offset: 5 }));
        assert!(known.delivered(Delivered { partition: 1, offset: 0 }));
        assert!(!known.delivered(Delivered { partition: 0, offset: 0 }));
    }
}
