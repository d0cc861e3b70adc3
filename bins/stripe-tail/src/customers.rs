//! All live customers, each as Stripe shows it now, for comparing both sides. A listing carries no
//! deleted customers and no times: it shows what is, not what happened.

use common::endpoint::Record;
use common::error::{Error, Result};
use common::record::compact::compact;
use common::shutdown::Shutdown;
use common::stripe::Page;
use serde_json::value::RawValue;

use crate::follow::wait_after;
use crate::walk::{self, Lister};
use crate::write::Writer;

/// Writes every customer once (again, where a page had to be written twice), newest first.
/// Returns how many were too large to be written.
pub async fn list<L: Lister>(customers: &L, writer: &Writer, shutdown: &Shutdown) -> Result<u64> {
    let (mut rejected, mut failures, mut after) = (0, 0, None);
    while !shutdown.is_requested() {
        match write_page(customers, writer, after.as_ref()).await {
            Ok((page, of_page)) => {
                (failures, rejected) = (0, rejected + of_page);
                after = page.items.last().map(|last| walk::id(last)).transpose()?;
                if !page.has_more || after.is_none() {
                    return Ok(rejected);
                }
            }
            Err(_) if shutdown.is_requested() => break,
            Err(error) => {
                failures += 1;
                let wait = wait_after(error, failures, false)?;
                if shutdown.unless(tokio::time::sleep(wait)).await.is_none() {
                    break;
                }
            }
        }
    }
    Ok(rejected)
}

async fn write_page<L: Lister>(
    customers: &L,
    writer: &Writer,
    after: Option<&String>,
) -> Result<(Page, u64)> {
    let page = customers.page(0, after.cloned()).await?;
    let records = page.items.iter().map(|item| record(item)).collect::<Result<Vec<_>>>()?;
    let written = writer.write(records).await?;
    Ok((page, written.rejected))
}

fn record(item: &RawValue) -> Result<Record> {
    let value = compact(item.get().as_bytes())
        .map_err(|error| Error::retry("list customers at Stripe", error))?;
    Ok(Record { key: Some(walk::id(item)?), value, headers: Vec::new() })
}
