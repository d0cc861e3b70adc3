//! One running program: its stderr is kept, its listening address is read from it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{PATIENCE, checkout, until};

pub struct Program {
    name: String,
    child: Child,
    stderr: Arc<Mutex<Vec<String>>>,
    stdout: Arc<Mutex<Vec<String>>>,
    /// Set once nobody may read its stdout any more.
    closed: Arc<AtomicBool>,
    stdin: Option<ChildStdin>,
    /// Each ends when its pipe does.
    readers: Vec<JoinHandle<()>>,
}

/// How long an ended program's last lines may take to be read. A child of its own may hold its
/// pipes open for longer.
const LAST_LINES: Duration = Duration::from_secs(5);

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("pid", &self.child.id())
            .finish_non_exhaustive()
    }
}

/// A command of ours, from `target/release`, with an environment of its own: nothing of the
/// caller's leaks in, and no `.env` is found.
pub fn command(program: &str) -> Command {
    let path = checkout().join("target/release").join(program);
    let target = std::env::var_os("CARGO_TARGET_DIR").map(std::path::PathBuf::from);
    let path = target.map_or(path, |dir| dir.join("release").join(program));
    assert!(path.exists(), "{program} is not built: cargo build --release");
    let mut command = Command::new(path);
    command.env_clear();
    command.envs(
        std::env::vars_os()
            .filter(|(name, _)| ["PATH", "HOME", "TMPDIR"].iter().any(|kept| name == kept)),
    );
    command
}

impl Program {
    /// Starts it with stdin, stdout and stderr piped.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        let name = std::path::Path::new(command.get_program())
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {name}: {e}"));
        let closed = Arc::new(AtomicBool::new(false));
        let (stderr, said) = collect(&name, child.stderr.take().expect("stderr is piped"), None);
        let stdout = child.stdout.take().expect("stdout is piped");
        let (stdout, written) = collect(&name, stdout, Some(Arc::clone(&closed)));
        let stdin = child.stdin.take();
        let readers = vec![said, written];
        Self { name, child, stderr, stdout, closed, stdin, readers }
    }

    /// Starts it as one of a line: its stdin is `input`, its stdout the next one's stdin unless it
    /// is the last.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn in_line(
        mut command: Command,
        input: Option<Stdio>,
        last: bool,
    ) -> (Self, Option<Stdio>) {
        let name = std::path::Path::new(command.get_program())
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let input = input.unwrap_or_else(Stdio::null);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {name}: {e}"));
        let closed = Arc::new(AtomicBool::new(false));
        let (stderr, said) = collect(&name, child.stderr.take().expect("stderr is piped"), None);
        let mut readers = vec![said];
        let stdout = child.stdout.take().expect("stdout is piped");
        let (stdout, output) = if last {
            let (stdout, written) = collect(&name, stdout, Some(Arc::clone(&closed)));
            readers.push(written);
            (stdout, None)
        } else {
            (Arc::default(), Some(Stdio::from(stdout)))
        };
        (Self { name, child, stderr, stdout, closed, stdin: None, readers }, output)
    }

    /// Nobody reads its stdout any more: the next line it writes finds the pipe closed.
    pub fn close_stdout(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for `listening on ADDRESS` and returns the address.
    pub fn address(&self) -> String {
        until(&format!("{} listens", self.name), || {
            let lines = self.stderr.lock().expect("lines");
            lines.iter().find_map(|line| {
                let (_, rest) = line.split_once(": listening on ")?;
                let rest = rest.trim_start_matches("http://");
                Some(rest.split([' ', '/', ',']).next()?.to_owned())
            })
        })
    }

    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().expect("lines").clone()
    }

    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().expect("lines").clone()
    }

    /// Writes to its stdin; a program that closed it is no failure here.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
        }
    }

    /// Its stdin, to be written to by a thread that may have to wait for it.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                let ended = Instant::now();
                while ended.elapsed() < LAST_LINES
                    && !self.readers.iter().all(JoinHandle::is_finished)
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads lines until the pipe ends or `closed` is set. Without `closed` it is stderr, which is
/// shown with a failing test.
fn collect(
    name: &str,
    pipe: impl std::io::Read + Send + 'static,
    closed: Option<Arc<AtomicBool>>,
) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (kept, name) = (Arc::clone(&lines), name.to_owned());
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { break };
            match &closed {
                None => eprintln!("[{name}] {line}"),
                Some(closed) if closed.load(Ordering::Relaxed) => break,
                Some(_) => {}
            }
            kept.lock().expect("lines").push(line);
        }
    });
    (lines, reader)
}
