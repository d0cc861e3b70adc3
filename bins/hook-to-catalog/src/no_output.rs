//! Where this program's records go: nowhere. All it does, it does to the catalog.

use common::endpoint::{Delivery, Record, Sink};
use common::error::{Error, Result};

#[derive(Clone, Copy, Debug)]
pub struct NoOutput;

impl Sink for NoOutput {
    async fn enqueue(&self, _: Record) -> Result<Delivery> {
        Err(Error::reject("write a record", "this program writes none"))
    }

    async fn reopen(&self) -> Result<()> {
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn name(&self) -> String {
        "nowhere".into()
    }
}
