//! Stdin that can be left: a wait for more ends when it is told to, and what stands in the pipe
//! then stays there. Knows nothing of lines.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};

/// Stdin without the buffer of `std`, in which bytes could be left behind unseen.
#[derive(Debug)]
pub struct Stdin {
    input: File,
    /// At its end as soon as [`Leave`] is dropped.
    told: UnixStream,
    /// Set when it was told to leave, and reads nothing any more.
    left: Arc<AtomicBool>,
}

/// Dropped, it makes [`Stdin`] end.
#[derive(Debug)]
pub struct Leave(#[expect(dead_code, reason = "only its end is of interest")] UnixStream);

impl Stdin {
    pub fn open(left: Arc<AtomicBool>) -> std::io::Result<(Self, Leave)> {
        let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        Self::over(input, left)
    }

    pub(super) fn over(input: File, left: Arc<AtomicBool>) -> std::io::Result<(Self, Leave)> {
        let (told, leave) = UnixStream::pair()?;
        Ok((Self { input, told, left }, Leave(leave)))
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut both =
            [PollFd::new(&self.told, PollFlags::IN), PollFd::new(&self.input, PollFlags::IN)];
        poll(&mut both, None)?;
        if !both[0].revents().is_empty() {
            self.left.store(true, Ordering::Release);
            return Ok(0);
        }
        self.input.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_told_to_and_takes_nothing_more() {
        let (read, mut write) = std::io::pipe().expect("a pipe");
        let left = Arc::new(AtomicBool::new(false));
        let input = File::from(std::os::fd::OwnedFd::from(read));
        let (mut stdin, leave) = Stdin::over(input, Arc::clone(&left)).expect("opens");
        write.write_all(b"one").expect("room");
        let mut buffer = [0; 16];
        assert_eq!(stdin.read(&mut buffer).expect("reads"), 3);
        assert!(!left.load(Ordering::Acquire));
        let waiting = std::thread::spawn(move || {
            let read = stdin.read(&mut buffer).expect("ends");
            (stdin, read)
        });
        drop(leave);
        let (mut stdin, read) = waiting.join().expect("no panic");
        assert_eq!((read, left.load(Ordering::Acquire)), (0, true));
        // What comes now stays in the pipe.
        write.write_all(b"two").expect("room");
        assert_eq!(stdin.read(&mut buffer).expect("reads"), 0);
        assert_eq!(stdin.input.read(&mut buffer).expect("reads"), 3);
    }

    #[test]
    fn the_end_of_the_input_is_no_leaving() {
        let (read, write) = std::io::pipe().expect("a pipe");
        let left = Arc::new(AtomicBool::new(false));
        let input = File::from(std::os::fd::OwnedFd::from(read));
        let (mut stdin, _leave) = Stdin::over(input, Arc::clone(&left)).expect("opens");
        drop(write);
        assert_eq!(stdin.read(&mut [0; 16]).expect("reads"), 0);
        assert!(!left.load(Ordering::Acquire));
    }
}
