//! Notices what `hook-to-catalog` commits to the same file, so that the relay publishes it soon.
//! SQLite tells nobody; looking at a number in its shared memory costs some microseconds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::error::{Error, Result};
use common::store::Store;
use tokio::sync::Notify;

/// How often to look. Another program's change is to be noticed within 20 ms.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// After an error the file is opened anew, but not at once.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// Looks from now on, on a thread of its own that ends with the process.
pub fn start(path: PathBuf, wake: Arc<Notify>) -> Result<()> {
    let run = move || {
        loop {
            let Err(error) = look(&path, &wake);
            log::warn!("{error}; looking again");
            std::thread::sleep(REOPEN_AFTER);
        }
    };
    let thread = std::thread::Builder::new().name("watch".to_owned()).stack_size(256 * 1024);
    thread.spawn(run).map_err(|error| Error::retry("start the watching thread", error))?;
    Ok(())
}

fn look(path: &std::path::Path, wake: &Notify) -> Result<std::convert::Infallible> {
    let store = Store::open_reader(path)?;
    let mut seen = store.data_version()?;
    // What was committed before this connection knew the number counts as new.
    wake.notify_one();
    loop {
        std::thread::sleep(LOOK_EVERY);
        let version = store.data_version()?;
        if version != seen {
            seen = version;
            wake.notify_one();
        }
    }
}
