//! Notices what `hook-to-catalog` commits to the same file, so that the relay publishes it soon.
//! SQLite tells nobody, but the system tells of writes to its write-ahead log; then its own number
//! says whether something was committed. Idle, this costs a look a second.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::error::{Error, Result};
use common::store::Store;
use tokio::sync::Notify;

#[cfg(target_os = "linux")]
mod alarm;

/// How often to look after the log was written to, since a commit shows only when the write is
/// durable. Another program's change is to be noticed within 20 ms.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long to go on with that: longer than a disk takes to make a commit durable.
const LOOK_FOR: Duration = Duration::from_millis(500);

/// However quiet the log is, the database is asked so often: some file systems tell nothing.
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
    let mut seen = store.data_version()?;
    // What was committed before this connection knew the number counts as new.
    wake.notify_one();
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let alarm = alarm::Alarm::of(Path::new(&log));
    let mut written_at: Option<Instant> = None;
    loop {
        match written_at {
            Some(at) if at.elapsed() < LOOK_FOR => {
                std::thread::sleep(LOOK_EVERY);
                if alarm.wait(Duration::ZERO) {
                    written_at = Some(Instant::now());
                }
            }
            Some(_) | None => written_at = alarm.wait(ASK_EVERY).then(Instant::now),
        }
        let version = store.data_version()?;
        if version != seen {
            seen = version;
            wake.notify_one();
        }
    }
}

/// Where the system cannot tell, the log always counts as just written to.
#[cfg(not(target_os = "linux"))]
mod alarm {
    #[derive(Debug)]
    pub struct Alarm;

    impl Alarm {
        pub fn of(_: &std::path::Path) -> Self {
            Self
        }

        pub fn wait(&self, _: std::time::Duration) -> bool {
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_another_program_commits_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db.sqlite3");
        let mut other = Store::open(&path).expect("opens");
        let wake = Arc::new(Notify::new());
        start(path, Arc::clone(&wake)).expect("starts");
        let noticed = || tokio::time::timeout(Duration::from_secs(20), wake.notified());
        noticed().await.expect("the first look");
        for n in 0..5 {
            tokio::time::sleep(Duration::from_millis(n * 200)).await;
            let begun = Instant::now();
            other.write(|tx| tx.meta_set("n", &n.to_string())).expect("written");
            noticed().await.expect("noticed");
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
    }
}
