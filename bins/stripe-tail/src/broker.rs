//! Has the broker still got what was delivered to it? One that came back empty (another cluster
//! id) or shorter (a topic that ends before where it ended) has not: then all is read again.

use std::collections::BTreeMap;

use common::endpoint::AnySink;
use common::error::{Error, Result};

use crate::state::State;

/// What a broker says of itself and of our topic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broker {
    pub cluster: String,
    /// By partition, where the topic ends.
    pub ends: BTreeMap<i32, i64>,
}

impl Broker {
    /// Asks the broker behind the sink; `None` on a pipe. `Retry` while it is away.
    pub async fn ask(sink: &AnySink) -> Result<Option<Self>> {
        let sink = match sink {
            AnySink::Kafka(sink) => sink.clone(),
            AnySink::Pipe(_) | AnySink::Memory(_) => return Ok(None),
        };
        let asked = tokio::task::spawn_blocking(move || {
            let cluster = sink.cluster()?;
            let ends = cluster.end_offsets(sink.topic())?;
            Ok(Some(Self { cluster: cluster.id()?, ends }))
        });
        asked.await.unwrap_or_else(|error| Err(Error::retry("ask the broker", error)))
    }

    /// Why what the state says was delivered is not there (all of it) any more.
    pub fn lost(&self, state: &State) -> Option<String> {
        if let Some(cluster) = &state.cluster
            && *cluster != self.cluster
        {
            return Some(format!("the broker is another one: cluster {}", self.cluster));
        }
        state.ends.iter().find_map(|(partition, end)| {
            let now = self.ends.get(partition).copied().unwrap_or(0);
            (now < *end).then(|| format!("partition {partition} ends at {now}, not at {end}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_lost_records_is_noticed() {
        let state = |cluster: Option<&str>, ends: &[(i32, i64)]| State {
            cluster: cluster.map(str::to_owned),
            ends: ends.iter().copied().collect(),
            ..State::default()
        };
        let broker = Broker { cluster: "a".into(), ends: BTreeMap::from([(0, 5), (1, 0), (2, 7)]) };
        let cases = [
            (state(None, &[]), false),
            (state(Some("a"), &[]), false),
            (state(Some("a"), &[(0, 5), (1, 0)]), false),
            (state(Some("a"), &[(0, 4)]), false),
            (state(Some("b"), &[]), true),
            (state(Some("a"), &[(0, 6)]), true),
            (state(Some("a"), &[(1, 1)]), true),
            (state(None, &[(9, 1)]), true),
        ];
        for (state, lost) in cases {
            assert_eq!(broker.lost(&state).is_some(), lost, "{state:?}");
        }
    }
}
