//! Through a list that comes newest first, oldest first: an order in which the position may move
//! on with every page that was delivered. Memory stays bounded however long the list is.

use common::error::{Error, Result};
use common::record::Seconds;
use common::stripe::Page;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Pages are kept while they are together no larger than this; what lies between them and the
/// oldest is read a second time.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest list that is walked: ten million objects.
const PAGES_MAX: usize = 100_000;

/// Lists something at Stripe, newest first.
pub trait Lister {
    /// The page after this object (the first one without), of what was created since.
    fn page(
        &self,
        since: Seconds,
        after: Option<String>,
    ) -> impl Future<Output = Result<Page>> + Send;
}

/// A page that was seen on the way back.
enum Seen {
    Kept(Vec<Box<RawValue>>),
    /// To be read again, after this object.
    After(Option<String>),
}

/// Calls `take` with the objects since then, oldest first, a page at a time; it returns when all
/// were taken. An error leaves off between two pages.
pub async fn walk<L: Lister>(
    lister: &L,
    since: Seconds,
    mut take: impl AsyncFnMut(Vec<Box<RawValue>>) -> Result<()>,
) -> Result<()> {
    let mut pages = back(lister, since).await?;
    while let Some(page) = pages.pop() {
        let mut items = match page {
            Seen::Kept(items) => items,
            Seen::After(after) => lister.page(since, after).await?.items,
        };
        items.reverse();
        take(items).await?;
    }
    Ok(())
}

/// From the newest page to the oldest. The first page is always kept: by the time it would be
/// read again, newer objects may have moved it.
async fn back<L: Lister>(lister: &L, since: Seconds) -> Result<Vec<Seen>> {
    let (mut pages, mut kept_bytes, mut after) = (Vec::new(), 0, None);
    for number in 0..PAGES_MAX {
        let page = lister.page(since, after.clone()).await?;
        let Some(last) = page.items.last() else { return Ok(pages) };
        let next = id(last)?;
        let bytes: usize = page.items.iter().map(|item| item.get().len()).sum();
        if number == 0 || kept_bytes + bytes <= KEPT_BYTES_MAX {
            kept_bytes += bytes;
            pages.push(Seen::Kept(page.items));
        } else {
            pages.push(Seen::After(after));
        }
        if !page.has_more {
            return Ok(pages);
        }
        after = Some(next);
    }
    Err(Error::retry("list at Stripe", format!("more than {PAGES_MAX} pages")))
}

/// The id of a listed object.
pub fn id(item: &RawValue) -> Result<String> {
    #[derive(Deserialize)]
    struct Object {
        id: String,
    }
    let object: Object =
        serde_json::from_str(item.get()).map_err(|e| Error::retry("list at Stripe", e))?;
    Ok(object.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Objects 1 to `count` of `bytes` each; one more appears with every page that is read.
    struct Growing {
        count: Mutex<usize>,
        page: usize,
        bytes: usize,
        reads: Mutex<usize>,
    }

    impl Lister for Growing {
        async fn page(&self, since: Seconds, after: Option<String>) -> Result<Page> {
            *self.reads.lock().expect("no panic") += 1;
            let newest = *self.count.lock().expect("no panic");
            let from = after.map_or(newest, |id| id.parse::<usize>().expect("a number") - 1);
            let oldest = usize::try_from(since).expect("small").max(1);
            let until = (from + 1).saturating_sub(self.page).max(oldest);
            let pad = "x".repeat(self.bytes);
            let items = (until..=from)
                .rev()
                .map(|n| RawValue::from_string(format!(r#"{{"id":"{n}","p":"{pad}"}}"#)))
                .collect::<std::result::Result<_, _>>()
                .expect("JSON");
            *self.count.lock().expect("no panic") += 1;
            Ok(Page { items, has_more: until > oldest, date: None })
        }
    }

    async fn ids(count: usize, bytes: usize, since: Seconds) -> (Vec<usize>, usize) {
        let (count, reads) = (Mutex::new(count), Mutex::new(0));
        let lister = Growing { count, page: 10, bytes, reads };
        let mut ids = Vec::new();
        let walked = walk(&lister, since, async |items| {
            ids.extend(items.iter().map(|item| id(item).expect("an id").parse::<usize>()));
            Ok(())
        });
        walked.await.expect("all pages");
        let ids = ids.into_iter().collect::<std::result::Result<_, _>>().expect("numbers");
        let reads = *lister.reads.lock().expect("no panic");
        (ids, reads)
    }

    #[tokio::test]
    async fn objects_come_oldest_first_and_none_twice_or_never() {
        for (count, since, expected) in
            [(0, 0, 0..0), (7, 0, 1..8), (25, 0, 1..26), (25, 17, 17..26), (30, 0, 1..31)]
        {
            let (ids, _) = ids(count, 1, since).await;
            assert_eq!(ids, expected.collect::<Vec<_>>(), "{count} since {since}");
        }
    }

    #[tokio::test]
    async fn a_long_list_is_read_twice_rather_than_kept() {
        let (found, reads) = ids(100, KEPT_BYTES_MAX / 40, 0).await;
        assert_eq!(found, (1..101).collect::<Vec<_>>());
        // Ten pages, of which three fit, and the seven others again.
        assert_eq!(reads, 17);
        assert_eq!(ids(100, 1, 0).await.1, 10);
    }

    #[tokio::test]
    async fn an_error_leaves_off_between_two_pages() {
        let (count, reads) = (Mutex::new(25), Mutex::new(0));
        let lister = Growing { count, page: 10, bytes: 1, reads };
        let mut pages = 0;
        let walked = walk(&lister, 0, async |_| {
            pages += 1;
            if pages == 2 { Err(Error::retry("write", "full")) } else { Ok(()) }
        });
        assert!(walked.await.is_err());
        assert_eq!(pages, 2);
    }
}
