//! Hands records on and waits until they are durable (or, on a pipe, handed on).

use std::collections::BTreeMap;
use std::time::Duration;

use common::endpoint::{AnySink, Delivered, Record, Sink as _};
use common::error::{Error, Kind, Result};
use common::shutdown::Shutdown;

/// Asked to end, the page in hand gets this long to be delivered. What is not is written again
/// after the next start.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Writer {
    pub sink: AnySink,
    pub shutdown: Shutdown,
}

/// What became of a page.
#[derive(Debug, Default)]
pub struct Written {
    /// By partition, the first offset after those written.
    pub ends: BTreeMap<i32, i64>,
    /// Records too large to be written at all.
    pub rejected: u64,
}

impl Writer {
    /// Writes records in order. An error says that not all of them are known to be there; they
    /// may be written again.
    pub async fn write(&self, records: Vec<Record>) -> Result<Written> {
        let mut shutdown = self.shutdown.clone();
        let late = async {
            shutdown.requested().await;
            tokio::time::sleep(DRAIN_LIMIT).await;
        };
        tokio::select! {
            written = self.write_all(records) => written,
            () = late => Err(Error::retry(
                format!("write to {}", self.sink.name()),
                "the program ends before the delivery reports came",
            )),
        }
    }

    async fn write_all(&self, records: Vec<Record>) -> Result<Written> {
        // Only does something after a record was given up, whose whole page comes again.
        self.sink.reopen().await?;
        let (mut written, mut deliveries) = (Written::default(), Vec::with_capacity(records.len()));
        for record in records {
            let key = record.key.clone().unwrap_or_default();
            let delivery = self.sink.enqueue(record).await.map(Some);
            deliveries.extend(written.unless_rejected(&key, delivery)?.map(|done| (key, done)));
        }
        for (key, delivery) in deliveries {
            let delivered = delivery.delivered().await.map(Some);
            if let Some(Delivered { partition, offset }) =
                written.unless_rejected(&key, delivered)?
            {
                let end = written.ends.entry(partition).or_default();
                *end = (*end).max(offset + 1);
            }
        }
        Ok(written)
    }
}

impl Written {
    /// A record that can never be written must not hold up the others.
    fn unless_rejected<T>(&mut self, key: &str, result: Result<Option<T>>) -> Result<Option<T>> {
        match result {
            Ok(done) => Ok(done),
            Err(error) => match error.kind {
                Kind::Reject => {
                    log::error!("left out an object of {key}: {error}");
                    self.rejected += 1;
                    Ok(None)
                }
                Kind::Retry | Kind::Fatal => Err(error),
            },
        }
    }
}
