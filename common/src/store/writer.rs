//! One thread that writes for many: it takes all writes that wait, commits them together and then
//! answers each, so that a disk that can sync a few hundred times a second serves thousands.
//! A write that fails undoes itself only. Nobody is answered before the commit is durable.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use super::error::{Doing, from_sql};
use super::{Store, Tx, search};
use crate::error::{Error, Kind};

/// Writes that go into one commit at most.
pub const WRITES_PER_COMMIT_MAX: usize = 512;
/// A transaction takes no more writes in after this long: the other program waits for it.
const TRANSACTION_MS_MAX: u64 = 10;
/// Writes that wait at most; who comes then waits for room.
const WRITES_WAITING_MAX: usize = 4_096;
/// Having written for this long without a break, the writer lets the other program in…
const HOLD_MS_MAX: u64 = 10;
/// …or for this long, while the other one has written nothing lately: it may not even run.
const HOLD_ALONE_MS_MAX: u64 = 100;
/// What "lately" means.
const LATELY_MS: u64 = 2_000;
/// The other one is let in for this long: twice as long as it takes to look again.
const YIELD_MS: u64 = 2;
/// The search index catches up when nothing was to be written for this long…
const SEARCH_IDLE_MS: u64 = 20;
/// …and otherwise takes a step this often: a twentieth of the time of a writer that never rests.
const SEARCH_STEP_MS: u64 = 200;
/// An idle writer looks this often whether the other program changed something.
const SEARCH_LOOK_MS: u64 = 1_000;
/// Customers taken into the search index at once: some 10 ms, for which a write may have to wait.
const SEARCH_ROWS: usize = 300;

const OPERATION: &str = "write to the database";

/// A write that waits: it does its work (unless there is no transaction to do it in) and gives back
/// how to answer, and whether what it wrote stays.
type Job = Box<dyn FnOnce(Result<&Tx, &Error>) -> (Answer, bool) + Send>;
/// Tells the caller what became of its write, once the commit's fate is known.
type Answer = Box<dyn FnOnce(&Result<(), Error>) + Send>;
type Callback = Box<dyn Fn() + Send>;

/// A handle to the writing thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Writer {
    jobs: SyncSender<Job>,
    callbacks: Arc<Mutex<Vec<Callback>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub fn spawn(store: Store) -> Self {
        let (jobs, waiting) = sync_channel(WRITES_WAITING_MAX);
        let callbacks = Arc::new(Mutex::new(Vec::new()));
        let after = Arc::clone(&callbacks);
        std::thread::spawn(move || write_all(store, &waiting, &after));
        Self { jobs, callbacks }
    }

    /// Does the work in a transaction that it may share with others. Blocks until that is durable.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.start(work)?.wait()
    }

    /// The same, without waiting for it: who has many things to write starts them one after the
    /// other, and they are done in this order.
    pub fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx) -> Result<T, Error> + Send + 'static,
    ) -> Result<Started<T>, Error> {
        let (sender, answer) = sync_channel(1);
        let job: Job = Box::new(move |tx| {
            let done = tx.map_err(Error::clone).and_then(work);
            let stays = done.is_ok();
            let answer: Answer = Box::new(move |committed| {
                // Even a refusal counts only now: it may rest on what a neighbour wrote.
                let _ = sender.send(committed.clone().and(done));
            });
            (answer, stays)
        });
        self.jobs.send(job).map_err(|_| Error::fatal(OPERATION, "the writing thread has ended"))?;
        Ok(Started(answer))
    }

    /// Calls this on the writing thread after every commit. It must be quick and never write.
    pub fn on_commit(&self, call: impl Fn() + Send + 'static) {
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(call));
    }
}

/// A write under way.
#[derive(Debug)]
pub struct Started<T>(Receiver<Result<T, Error>>);

impl<T> Started<T> {
    /// Blocks until the write is durable, or until it is known that it is not done.
    pub fn wait(self) -> Result<T, Error> {
        self.0.recv().unwrap_or_else(|_| Err(Error::reject(OPERATION, "the write panicked")))
    }

    /// What became of it, if that is known already.
    pub fn try_wait(self) -> Result<Result<T, Error>, Self> {
        match self.0.try_recv() {
            Ok(done) => Ok(done),
            Err(TryRecvError::Empty) => Err(self),
            Err(TryRecvError::Disconnected) => Ok(self.wait()),
        }
    }
}

fn write_all(mut store: Store, waiting: &Receiver<Job>, callbacks: &Mutex<Vec<Callback>>) {
    let mut held_since = Instant::now();
    let mut other = Other::default();
    let mut looked = Instant::now();
    let mut idle_ms = SEARCH_LOOK_MS;
    loop {
        let first = match waiting.try_recv() {
            Ok(job) => {
                if held_since.elapsed() >= other.hold_max() {
                    std::thread::sleep(Duration::from_millis(YIELD_MS));
                    held_since = Instant::now();
                }
                Some(job)
            }
            Err(TryRecvError::Empty) => {
                let job = waiting.recv_timeout(Duration::from_millis(idle_ms));
                held_since = Instant::now();
                match job {
                    Ok(job) => Some(job),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            Err(TryRecvError::Disconnected) => return,
        };
        let idle = first.is_none();
        if let Some(first) = first {
            idle_ms = SEARCH_IDLE_MS;
            other.look(&store);
            if write_together(&mut store.conn, first, waiting) {
                for call in callbacks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    call();
                }
            }
        }
        if idle || looked.elapsed() >= Duration::from_millis(SEARCH_STEP_MS) {
            idle_ms = if catch_up(&mut store) { YIELD_MS } else { SEARCH_LOOK_MS };
            looked = Instant::now();
        }
    }
}

/// What is known of the other program that writes to the file.
#[derive(Default)]
struct Other {
    version: i64,
    wrote_at: Option<Instant>,
}

impl Other {
    fn look(&mut self, store: &Store) {
        // What cannot be asked now is asked before the next transaction.
        let Ok(version) = store.data_version() else { return };
        if version != self.version {
            self.version = version;
            self.wrote_at = Some(Instant::now());
        }
    }

    fn hold_max(&self) -> Duration {
        let lately = Duration::from_millis(LATELY_MS);
        let is_there = self.wrote_at.is_some_and(|at| at.elapsed() < lately);
        Duration::from_millis(if is_there { HOLD_MS_MAX } else { HOLD_ALONE_MS_MAX })
    }
}

/// Takes some changed customers into the search index. True if there were any.
fn catch_up(store: &mut Store) -> bool {
    let done = search::is_behind(&store.conn).and_then(|behind| {
        if behind {
            store.write(|tx| tx.search_catch_up(SEARCH_ROWS))?;
        }
        Ok(behind)
    });
    // Searches are right all the same, and the next look tries again.
    done.inspect_err(|error| log::warn!("{error}")).unwrap_or(false)
}

/// One transaction for the first job and those that wait behind it. True if it was committed.
fn write_together(conn: &mut Connection, first: Job, waiting: &Receiver<Job>) -> bool {
    let began = conn.transaction_with_behavior(TransactionBehavior::Immediate).doing(OPERATION);
    let transaction = match began {
        Ok(transaction) => transaction,
        Err(error) => {
            let (answer, _) = first(Err(&error));
            answer(&Err(error));
            return false;
        }
    };
    let since = Instant::now();
    let mut answers = Vec::new();
    let mut next = Some(first);
    let mut lost = None;
    while let Some(job) = next {
        match in_savepoint(&transaction, job) {
            Ok(answer) => answers.extend(answer),
            Err(error) => {
                // The whole transaction is gone, as when the disk is full.
                lost = Some(error);
                break;
            }
        }
        let full = answers.len() >= WRITES_PER_COMMIT_MAX
            || since.elapsed() >= Duration::from_millis(TRANSACTION_MS_MAX);
        next = if full { None } else { waiting.try_recv().ok() };
    }
    let committed = match lost {
        None => transaction.commit().map_err(|error| {
            let error = from_sql("commit to the database", &error);
            // Whatever it was, every write of it can be tried again.
            Error {
                kind: if error.kind == Kind::Fatal { Kind::Fatal } else { Kind::Retry },
                ..error
            }
        }),
        Some(error) => Err(error),
    };
    for answer in answers {
        answer(&committed);
    }
    committed.is_ok()
}

/// Runs one job so that it can be undone alone. No answer if it panicked: its caller learns that
/// from the closed channel. An error: SQLite gave up the transaction.
fn in_savepoint(conn: &Connection, job: Job) -> Result<Option<Answer>, Error> {
    let say = |sql| {
        conn.prepare_cached(sql).and_then(|mut statement| statement.execute([])).doing(OPERATION)
    };
    if let Err(error) = say("SAVEPOINT one") {
        let (answer, _) = job(Err(&error));
        answer(&Err(error.clone()));
        return Err(error);
    }
    let ran = catch_unwind(AssertUnwindSafe(|| job(Ok(&Tx::new(conn)))));
    let (answer, stays) = match ran {
        Ok((answer, stays)) => (Some(answer), stays),
        Err(_) => (None, false),
    };
    let ended = if conn.is_autocommit() {
        Err(Error::retry(OPERATION, "the database gave up the transaction"))
    } else if stays {
        say("RELEASE one")
    } else {
        say("ROLLBACK TO one").and_then(|_| say("RELEASE one"))
    };
    match (ended, answer) {
        (Ok(_), answer) => Ok(answer),
        (Err(error), answer) => {
            if let Some(answer) = answer {
                answer(&Err(error.clone()));
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests;
