//! `POST /customers` with NDJSON: many customers, a line each, and a result per line in order, in
//! constant memory however many there are. No line's error stops the rest.
//!
//! One thread reads and judges lines and hands them to the writer, which commits many at once. A
//! second one gathers what became of them, in order. What the client does not take soon waits in a
//! spool: most clients read no answer before they have sent all, and neither side may wait for the
//! other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use common::error::{Error, Result};
use common::http::{Answer, BodyStream, Line, Problem, Request, Response, StreamLimits};
use common::store::{Started, Writer};
use common::sync::Policy;

use crate::api::Api;
use crate::pages::{self, NDJSON};
use crate::spool::{self, Spool};
use crate::upsert::{self, Outcome};

/// Imports at once. Each has two threads and some megabytes, and they share one writer anyway.
const IMPORTS_MAX: usize = 4;

/// Lines of an import that are on their way to the disk, at most: two commits full, so that the
/// writer never waits for more. Others' writes wait for as many.
const LINES_UNDER_WAY: usize = 512;

/// Bytes of lines on their way, at most: lines may be long.
const BYTES_UNDER_WAY: usize = 4 * 1024 * 1024;

/// Results that are gathered before they are handed on, if more are there at once.
const RESULT_BYTES: usize = 32 * 1024;

/// A stack that is enough for JSON as deep as it may be.
const STACK_BYTES: usize = 512 * 1024;

/// How many imports are under way.
#[derive(Clone, Debug, Default)]
pub struct Imports(Arc<AtomicUsize>);

impl Imports {
    fn begin(&self) -> std::result::Result<Import, Problem> {
        let taken = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
            (count < IMPORTS_MAX).then_some(count + 1)
        });
        match taken {
            Ok(_) => Ok(Import(Arc::clone(&self.0))),
            Err(_) => {
                let detail = format!("{IMPORTS_MAX} imports are under way; try again later");
                Err(Problem::new(503, detail).header("Retry-After", "10"))
            }
        }
    }
}

/// One of them; it counts until it is dropped.
#[derive(Debug)]
struct Import(Arc<AtomicUsize>);

impl Drop for Import {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A line that was read.
struct Read {
    line: u64,
    bytes: usize,
    result: Pending,
}

/// What became of a line, or will.
enum Pending {
    Known(Outcome),
    Started(Started<Outcome>),
}

pub fn import(api: &Api, request: &mut Request) -> Answer {
    request.only_parameters(&[])?;
    for header in ["Idempotency-Key", "If-Match"] {
        if request.header(header).is_some() {
            let why = "is for one customer; lines with an id can be sent again without harm";
            return Err(Problem::bad_parameter(header, why));
        }
    }
    let import = api.imports.begin()?;
    let body = request.stream(StreamLimits::BULK)?;
    let (spool, results) = spool::in_folder(&api.folder);
    let (send, lines) = sync_channel(LINES_UNDER_WAY);
    let (writer, room) = (api.writer.clone(), Arc::new(Room::default()));
    let gathering = Gathering { room: Arc::clone(&room), spool, _import: import };
    let policy = Arc::clone(&api.policy);
    start("import", move || read(body, (&writer, &policy), &room, &send))?;
    start("results", move || gathering.run(&lines))?;
    Ok(Response::stream(NDJSON, results))
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(run).map_err(|error| Error::retry("start a thread for an import", error))?;
    Ok(())
}

/// Reads to the end of the body, or until nobody wants the results any more.
fn read(
    mut body: BodyStream,
    (writer, policy): (&Writer, &Arc<Policy>),
    room: &Room,
    send: &SyncSender<Read>,
) {
    let mut line = 0;
    loop {
        line += 1;
        let (result, bytes, last) = match body.line() {
            Ok(None) => return,
            Ok(Some(Line::Text(text))) if text.iter().all(u8::is_ascii_whitespace) => continue,
            Ok(Some(Line::Text(text))) => {
                room.take(text.len());
                (begin(writer, policy, line, text), text.len(), false)
            }
            Ok(Some(Line::TooLong)) => {
                let limit = StreamLimits::BULK.line_bytes_max;
                let message = format!("is longer than {limit} bytes");
                (Pending::Known(Outcome::refused(line, 413, "line", message)), 0, false)
            }
            Err(problem) => {
                // What came of this line is not the whole of it.
                let message = format!("{}; nothing from here on was done", problem.detail);
                let refused = Outcome::refused(line, problem.status, "body", message);
                (Pending::Known(refused), 0, true)
            }
        };
        if send.send(Read { line, bytes, result }).is_err() || last {
            return;
        }
    }
}

fn begin(writer: &Writer, policy: &Arc<Policy>, line: u64, text: &[u8]) -> Pending {
    let upsert = match upsert::judge(line, text) {
        Ok(upsert) => upsert,
        Err(outcome) => return Pending::Known(outcome),
    };
    let policy = Arc::clone(policy);
    match writer.start(move |tx| upsert::apply(tx, &policy, upsert)) {
        Ok(started) => Pending::Started(started),
        Err(error) => Pending::Known(failed(line, error)),
    }
}

/// The inside of the error is for the log.
fn failed(line: u64, error: Error) -> Outcome {
    log::error!("line {line} of an import: {error}");
    let problem = Problem::inside(error);
    Outcome::refused(line, problem.status, "line", problem.detail)
}

/// Gathers the results in order. A result is told when its line is durable, not before.
struct Gathering {
    room: Arc<Room>,
    spool: Spool,
    _import: Import,
}

impl Gathering {
    fn run(&self, lines: &Receiver<Read>) {
        let mut results = Vec::new();
        loop {
            let Some(read) = lines.try_recv().ok().or_else(|| {
                // Whoever waits for the results so far before he sends more gets them.
                self.hand_on(&mut results).then(|| lines.recv().ok())?
            }) else {
                break;
            };
            let outcome = match read.result {
                Pending::Known(outcome) => Ok(outcome),
                Pending::Started(started) => match started.try_wait() {
                    Ok(done) => done,
                    Err(started) if self.hand_on(&mut results) => started.wait(),
                    Err(_) => break,
                },
            };
            self.room.give_back(read.bytes);
            let outcome = outcome.unwrap_or_else(|error| failed(read.line, error));
            pages::line(&mut results, &outcome);
            if results.len() >= RESULT_BYTES && !self.hand_on(&mut results) {
                break;
            }
        }
        // Whoever still waits for room finds that nobody wants his line.
        self.room.open();
    }

    /// False when nobody wants them.
    fn hand_on(&self, results: &mut Vec<u8>) -> bool {
        if results.is_empty() {
            return true;
        }
        let written = self.spool.write(results);
        results.clear();
        if let Err(error) = &written {
            log::debug!("an import ends early: {error}");
        }
        written.is_ok()
    }
}

/// Room for the bytes of lines under way.
#[derive(Debug, Default)]
struct Room {
    taken: Mutex<usize>,
    freed: Condvar,
}

impl Room {
    /// Waits until there is room for so many. A line always fits where there is none.
    fn take(&self, bytes: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken > 0 && *taken != OPEN && *taken + bytes > BYTES_UNDER_WAY {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        if *taken != OPEN {
            *taken += bytes;
        }
    }

    fn give_back(&self, bytes: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken -= bytes;
        self.freed.notify_one();
    }

    /// Nobody waits here any more.
    fn open(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = OPEN;
        self.freed.notify_one();
    }
}

/// Taken by nobody and for good.
const OPEN: usize = usize::MAX;
