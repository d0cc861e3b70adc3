//! Linux tells of writes to a file (inotify). It only waits; what was written it does not say.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

/// Room for some of the events, which are read only to be forgotten.
const EVENTS_BYTES: usize = 4096;

/// Rings when the file is written to; never, where the system cannot tell.
#[derive(Debug)]
pub struct Alarm(Option<OwnedFd>);

impl Alarm {
    pub fn of(path: &Path) -> Self {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watched = inotify::init(flags).and_then(|fd| {
            inotify::add_watch(&fd, path, inotify::WatchFlags::MODIFY)?;
            Ok(fd)
        });
        if let Err(error) = &watched {
            log::warn!("watch {}: {error}; looking once a second", path.display());
        }
        Self(watched.ok())
    }

    /// Waits for writes, at most so long. True if there were any.
    pub fn wait(&self, limit: Duration) -> bool {
        let Some(fd) = &self.0 else {
            std::thread::sleep(limit);
            return false;
        };
        let limit = Timespec::try_from(limit).ok();
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        if !poll(&mut fds, limit.as_ref()).is_ok_and(|ready| ready > 0) {
            return false;
        }
        let mut events = [0; EVENTS_BYTES];
        // Until it would block: how many there were does not matter.
        while rustix::io::read(fd, &mut events).is_ok_and(|read| read > 0) {}
        true
    }
}
