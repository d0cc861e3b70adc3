//! Notices what `hook-to-catalog` commits to the same file, so that the relay publishes it soon.
//! SQLite tells nobody; its write-ahead log's time of change costs a microsecond to look at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common::error::{Error, Result};
use common::store::Store;
use tokio::sync::Notify;

/// How often to look. Another program's change is to be noticed within 20 ms.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// The file's time of change moves in steps of some milliseconds: a log changed within the last
/// few is taken as changed again.
const TIME_STEP: Duration = Duration::from_millis(40);

/// However the file looks, the database itself is asked so often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// After an error the file is opened anew, but not at once.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// A stack that is enough for one statement.
const STACK_BYTES: usize = 256 * 1024;

/// Looks from now on, on a thread of its own that ends with the process.
pub fn start(path: PathBuf, wake: Arc<Notify>) -> Result<()> {
    let run = move || {
        loop {
            let Err(error) = look(&path, &wake);
            log::warn!("{error}; looking again");
            std::thread::sleep(REOPEN_AFTER);
        }
    };
    let thread = std::thread::Builder::new().name("watch".to_owned()).stack_size(STACK_BYTES);
    thread.spawn(run).map_err(|error| Error::retry("start the watching thread", error))?;
    Ok(())
}

fn look(path: &Path, wake: &Notify) -> Result<std::convert::Infallible> {
    let store = Store::open_reader(path)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let mut seen = store.data_version()?;
    let mut changed_at = None;
    let mut asked_at = Instant::now();
    // What was committed before this connection knew the number counts as new.
    wake.notify_one();
    loop {
        std::thread::sleep(LOOK_EVERY);
        let at = std::fs::metadata(&log).and_then(|metadata| metadata.modified()).ok();
        let still = at.is_some() && at == changed_at && !is_recent(at);
        if still && asked_at.elapsed() < ASK_EVERY {
            continue;
        }
        (changed_at, asked_at) = (at, Instant::now());
        let version = store.data_version()?;
        if version != seen {
            seen = version;
            wake.notify_one();
        }
    }
}

fn is_recent(at: Option<SystemTime>) -> bool {
    // A time that lies ahead (the clock was set back) counts as recent: asking is always right.
    at.is_none_or(|at| at.elapsed().is_ok_and(|age| age < TIME_STEP) || at > SystemTime::now())
}
