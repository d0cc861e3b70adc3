//! `POST /customers` with NDJSON: many customers, a line each, and a result per line in order, in
//! constant memory however many there are. No line's error stops the rest.
//!
//! One thread reads and judges lines, a second one commits them, many in one transaction, and what
//! the client does not take at once waits in a spool: most clients read no answer before they have
//! sent all, and neither side may wait for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use common::error::{Error, Kind, Result};
use common::http::{Answer, BodyStream, Line, Problem, Request, Response, StreamLimits};
use common::store::Writer;

use crate::api::Api;
use crate::pages::{self, NDJSON};
use crate::spool::{self, Spool};
use crate::upsert::{self, Judged, Outcome, Upsert};

/// Imports at once. Each has two threads and some megabytes, and they share one writer anyway.
const IMPORTS_MAX: usize = 4;

/// Customers in one transaction, at most: some 10 ms of the one writer's time.
const LINES_PER_COMMIT: usize = 250;

/// Bytes of lines in one transaction, at most.
const BYTES_PER_COMMIT: usize = 1024 * 1024;

/// Batches that are judged and wait for the writer.
const BATCHES_WAITING: usize = 2;

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

/// Lines that go into one transaction.
type Batch = Vec<Judged>;

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
    let (send, batches) = sync_channel(BATCHES_WAITING);
    let writer = api.writer.clone();
    start("import", move || read(body, &send))?;
    start("commit", move || {
        write(&batches, &writer, &spool);
        drop(import);
    })?;
    Ok(Response::stream(NDJSON, results))
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(run).map_err(|error| Error::retry("start a thread for an import", error))?;
    Ok(())
}

/// Reads to the end of the body, or until nobody wants the batches any more.
fn read(mut body: BodyStream, batches: &SyncSender<Batch>) {
    let (mut batch, mut bytes) = (Batch::new(), 0);
    let mut number = 0;
    loop {
        number += 1;
        let judged = match body.line() {
            Ok(None) => break,
            Ok(Some(Line::Text(text))) if text.iter().all(u8::is_ascii_whitespace) => None,
            Ok(Some(Line::Text(text))) => {
                bytes += text.len();
                Some(upsert::judge(number, text))
            }
            Ok(Some(Line::TooLong)) => {
                let limit = StreamLimits::BULK.line_bytes_max;
                Some(Err(Outcome::refused(
                    number,
                    413,
                    "line",
                    format!("longer than {limit} bytes"),
                )))
            }
            Err(problem) => {
                // What came of the last line is not the whole of it.
                let message = format!("{}; nothing from here on was read", problem.detail);
                batch.push(Err(Outcome::refused(number, problem.status, "body", message)));
                break;
            }
        };
        batch.extend(judged);
        let full = batch.len() >= LINES_PER_COMMIT || bytes >= BYTES_PER_COMMIT;
        // A client that waits for its results before it sends more must get them.
        if full || !batch.is_empty() && !body.has_line() {
            if batches.send(std::mem::take(&mut batch)).is_err() {
                return;
            }
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        // Nobody left to tell if nobody takes it.
        let _ = batches.send(batch);
    }
}

/// Commits batch by batch; a result is told when its line is durable, not before.
fn write(batches: &Receiver<Batch>, writer: &Writer, spool: &Spool) {
    let mut lines = Vec::new();
    while let Ok(mut batch) = batches.recv() {
        while batch.len() < LINES_PER_COMMIT
            && let Ok(more) = batches.try_recv()
        {
            batch.extend(more);
        }
        lines.clear();
        for outcome in commit(writer, batch) {
            pages::line(&mut lines, &outcome);
        }
        if let Err(error) = spool.write(&lines) {
            log::debug!("an import ends early: {error}");
            return;
        }
    }
}

fn commit(writer: &Writer, batch: Batch) -> Vec<Outcome> {
    let batch = Arc::new(batch);
    let lines = Arc::clone(&batch);
    let error = match writer.run(move |tx| lines.iter().map(|line| one(tx, line)).collect()) {
        Ok(outcomes) => return outcomes,
        Err(error) => error,
    };
    match error.kind {
        // One of them cannot be stored: find it, and let the others through.
        Kind::Reject => (0..batch.len())
            .map(|index| {
                let lines = Arc::clone(&batch);
                let done = writer.run(move |tx| one(tx, &lines[index]));
                done.unwrap_or_else(|error| failed(&batch[index], &error))
            })
            .collect(),
        Kind::Retry | Kind::Fatal => batch.iter().map(|line| failed(line, &error)).collect(),
    }
}

fn one(tx: &common::store::Tx, line: &Judged) -> Result<Outcome> {
    match line {
        Ok(upsert) => upsert::apply(tx, upsert),
        Err(outcome) => Ok(outcome.clone()),
    }
}

/// The inside of the error is for the log.
fn failed(line: &Judged, error: &Error) -> Outcome {
    match line {
        Err(outcome) => outcome.clone(),
        Ok(Upsert { line, .. }) => {
            log::error!("line {line} of an import: {error}");
            let problem = Problem::inside(error.clone());
            Outcome::refused(*line, problem.status, "line", problem.detail)
        }
    }
}
