//! `-`: one JSON object a line, on stdin and stdout (or any reader and writer). A bad line stops
//! nothing; no line is lost, none is held without a limit, none is written in part while another
//! is. Nothing here knows what a line means.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::warn;
use tokio::sync::{mpsc, oneshot};

use super::{Delivered, Delivery, Holder, Input, Lease, Position, Record, Sink, Source, Taken};
use crate::error::{Error, Result};

mod stdin;
use stdin::{Leave, Stdin};

/// The longest line that is a record, without its end.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// How much of a line that is too long is kept for the dead letters: all of most, since what one
/// of our programs writes is at most this long (a topic's records are); the rest is cut.
const BAD_LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Lines are handed from the reading thread in batches of about this size: fewer wake-ups when
/// there is much to read, and no waiting when there is little.
const READ_BATCH_BYTES: usize = 64 * 1024;

/// Batches between the reading thread and the program: when it is full, reading waits.
const READ_BATCHES_MAX: usize = 2;

/// Records between the program and the writing thread; beyond it `enqueue` waits.
const WRITE_QUEUE_RECORDS_MAX: usize = 1024;

/// Lines written by one call, so that a long queue does not fill memory twice.
const WRITE_BATCH_BYTES: usize = 256 * 1024;

struct Line {
    number: i64,
    bytes: Vec<u8>,
    /// The whole line's length, which is more than `bytes` when it was cut.
    length: usize,
}

/// Lines as records.
#[derive(Debug)]
pub struct NdjsonSource {
    batches: mpsc::Receiver<std::io::Result<Vec<Line>>>,
    batch: std::vec::IntoIter<Line>,
    paused: bool,
    ended: bool,
    /// Dropped, it ends the wait for more of stdin.
    leave: Option<Leave>,
    /// The reading thread has left stdin before its end.
    left: Arc<AtomicBool>,
    /// The number of the last line that was handed on; 0 where nothing is to be said of it.
    last: i64,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {} of {} bytes", self.number, self.length)
    }
}

impl NdjsonSource {
    /// Reads stdin, on a thread of its own: a read of a pipe cannot be taken back.
    pub fn stdin() -> Result<Self> {
        let left = Arc::new(AtomicBool::new(false));
        let opened = Stdin::open(Arc::clone(&left));
        let (stdin, leave) = opened.map_err(|error| Error::fatal("open stdin", error))?;
        Self::read(stdin, Some(leave), left)
    }

    pub fn new(reader: impl Read + Send + 'static) -> Result<Self> {
        Self::read(reader, None, Arc::default())
    }

    fn read(
        reader: impl Read + Send + 'static,
        leave: Option<Leave>,
        left: Arc<AtomicBool>,
    ) -> Result<Self> {
        let (sender, batches) = mpsc::channel(READ_BATCHES_MAX);
        let thread = std::thread::Builder::new().name("read -".to_owned());
        let is_left = Arc::clone(&left);
        thread
            .spawn(move || read_lines(reader, &sender, &is_left))
            .map_err(|error| Error::retry("start the reading thread", error))?;
        let batch = Vec::new().into_iter();
        Ok(Self { batches, batch, paused: false, ended: false, leave, left, last: 0 })
    }
}

impl Source for NdjsonSource {
    async fn next(&mut self) -> Result<Input> {
        if self.paused || self.ended {
            return std::future::pending().await;
        }
        loop {
            if let Some(line) = self.batch.next() {
                self.last = line.number;
                return Ok(to_input(line));
            }
            match self.batches.recv().await {
                Some(Ok(lines)) => self.batch = lines.into_iter(),
                Some(Err(error)) => return Err(Error::fatal("read stdin", error)),
                None => {
                    self.ended = true;
                    return Ok(Input::End);
                }
            }
        }
    }

    fn done(&mut self, _at: Position) {}

    fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    fn stop(&mut self) {
        self.leave = None;
    }

    fn left_off(&mut self) {
        self.last = 0;
    }

    fn lease(&self) -> Lease {
        Lease(Holder::Always)
    }

    fn replays(&self) -> bool {
        false
    }

    fn lag(&self) -> Option<i64> {
        None
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    async fn close(&mut self) -> Result<()> {
        self.ended = true;
        self.batches.close();
        // Of a file or of a program that was fed to us nobody else knows how far we came.
        if self.left.load(Ordering::Acquire) && self.last > 0 {
            let last = self.last;
            warn!("read up to line {last} only: tail -n +{} goes on from there", last + 1);
        }
        Ok(())
    }

    fn name(&self, _at: Position) -> String {
        "-".to_owned()
    }
}

fn to_input(line: Line) -> Input {
    let at = Position { source: 0, partition: 0, offset: line.number, epoch: 0 };
    match fault(&line) {
        None => {
            let record = Record { key: None, value: line.bytes, headers: Vec::new() };
            Input::Record(Taken { record, at, fresh: false })
        }
        Some(fault) => {
            Input::Bad { at, value: line.bytes, why: format!("line {}: {fault}", line.number) }
        }
    }
}

fn fault(line: &Line) -> Option<String> {
    if line.length > LINE_BYTES_MAX {
        let cut = if line.bytes.len() < line.length {
            format!("; only its first {} are kept", line.bytes.len())
        } else {
            String::new()
        };
        return Some(format!("{} bytes, at most {LINE_BYTES_MAX} are allowed{cut}", line.length));
    }
    let Ok(text) = std::str::from_utf8(&line.bytes) else {
        return Some("not UTF-8".to_owned());
    };
    if !text.trim_start().starts_with('{') {
        return Some("not a JSON object".to_owned());
    }
    let parsed = serde_json::from_str::<serde::de::IgnoredAny>(text);
    parsed.err().map(|error| format!("not JSON: {}", json_fault(&error)))
}

/// `serde_json` counts lines within the text, which would be confused with the line's number.
fn json_fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text).to_lowercase();
    format!("{what} at column {}", error.column())
}

fn read_lines(
    reader: impl Read,
    sender: &mpsc::Sender<std::io::Result<Vec<Line>>>,
    left: &AtomicBool,
) {
    let mut reader = BufReader::with_capacity(READ_BATCH_BYTES, reader);
    let (mut number, mut batch, mut batch_bytes) = (0, Vec::new(), 0);
    loop {
        let line = match read_line(&mut reader) {
            Ok(line) => line,
            Err(error) => {
                // What was read before it is not lost: it goes first.
                let _ = sender.blocking_send(Ok(std::mem::take(&mut batch)));
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        // A line that was cut short by leaving is none: it is read again as a whole, or not at all.
        let line = line.filter(|_| !left.load(Ordering::Acquire));
        let end = line.is_none();
        if let Some((bytes, length)) = line {
            number += 1;
            if !bytes.iter().all(u8::is_ascii_whitespace) || length > bytes.len() {
                batch_bytes += bytes.len();
                batch.push(Line { number, bytes, length });
            }
        }
        // The next read may wait for whoever writes: hand over what there is before it.
        let idle = reader.buffer().is_empty();
        if !batch.is_empty() && (end || idle || batch_bytes >= READ_BATCH_BYTES) {
            batch_bytes = 0;
            if sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return;
            }
        }
        if end {
            return;
        }
    }
}

/// One line without its end, cut at [`BAD_LINE_BYTES_MAX`], and its whole length. `None`: the end.
fn read_line(reader: &mut impl BufRead) -> std::io::Result<Option<(Vec<u8>, usize)>> {
    let (mut kept, mut length) = (Vec::new(), 0);
    let mut any = false;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            break;
        }
        any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        let room = BAD_LINE_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&part[..part.len().min(room)]);
        length += part.len();
        let consumed = part.len() + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            break;
        }
    }
    if kept.last() == Some(&b'\r') && kept.len() == length {
        kept.pop();
        length -= 1;
    }
    Ok(any.then_some((kept, length)))
}

enum Order {
    Write(Vec<u8>, oneshot::Sender<Result<Delivered>>),
    Flush(oneshot::Sender<Result<()>>),
}

/// Records as lines. Clones share the one writer.
#[derive(Clone, Debug)]
pub struct NdjsonSink {
    orders: mpsc::Sender<Order>,
    name: Arc<str>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write(value, _) => write!(f, "write {} bytes", value.len()),
            Self::Flush(_) => f.write_str("flush"),
        }
    }
}

impl NdjsonSink {
    pub fn stdout() -> Result<Self> {
        Self::new(std::io::stdout())
    }

    pub fn new(writer: impl Write + Send + 'static) -> Result<Self> {
        let (orders, queue) = mpsc::channel(WRITE_QUEUE_RECORDS_MAX);
        let thread = std::thread::Builder::new().name("write -".to_owned());
        thread
            .spawn(move || write_lines(writer, queue))
            .map_err(|error| Error::retry("start the writing thread", error))?;
        Ok(Self { orders, name: "-".into() })
    }
}

impl Sink for NdjsonSink {
    async fn enqueue(&self, record: Record) -> Result<Delivery> {
        if record.value.len() > LINE_BYTES_MAX {
            let cause = format!("{} bytes, at most {LINE_BYTES_MAX}", record.value.len());
            return Err(Error::reject("write a line", cause));
        }
        if record.value.contains(&b'\n') {
            return Err(Error::reject("write a line", "the record holds the end of a line"));
        }
        let (report, delivery) = Delivery::new(Arc::clone(&self.name));
        let order = Order::Write(record.value, report);
        self.orders.send(order).await.map_err(|_| Error::closed_pipe("write to stdout"))?;
        Ok(delivery)
    }

    async fn reopen(&self) -> Result<()> {
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        let (sender, flushed) = oneshot::channel();
        let gone = |()| Error::closed_pipe("write to stdout");
        self.orders.send(Order::Flush(sender)).await.map_err(|_| gone(()))?;
        flushed.await.unwrap_or_else(|_| Err(gone(())))
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn name(&self) -> String {
        self.name.to_string()
    }
}

/// Writes whole lines, many with one call while the queue has some, then reports them.
fn write_lines(mut writer: impl Write, mut queue: mpsc::Receiver<Order>) {
    let mut lines = 0;
    let mut text = Vec::new();
    // After a failed write a line may stand there in part: nothing may follow it, ever.
    let mut failed: Option<Error> = None;
    while let Some(first) = queue.blocking_recv() {
        text.clear();
        let (mut reports, mut flushes) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Write(value, report) => {
                    text.extend_from_slice(&value);
                    text.push(b'\n');
                    lines += 1;
                    reports.push((report, lines));
                }
                Order::Flush(report) => flushes.push(report),
            }
            next = if text.len() < WRITE_BATCH_BYTES { queue.try_recv().ok() } else { None };
        }
        if failed.is_none() {
            let written = writer.write_all(&text).and_then(|()| writer.flush());
            failed = written.err().map(|error| write_error(&error));
        }
        // Whoever wrote may not wait for the report: that is no error.
        for (report, offset) in reports {
            let delivered = Delivered { partition: 0, offset };
            let _ = report.send(failed.clone().map_or(Ok(delivered), Err));
        }
        for report in flushes {
            let _ = report.send(failed.clone().map_or(Ok(()), Err));
        }
    }
}

fn write_error(error: &std::io::Error) -> Error {
    if error.kind() == ErrorKind::BrokenPipe {
        Error::closed_pipe("write to stdout")
    } else {
        Error::fatal("write to stdout", error)
    }
}

#[cfg(test)]
mod tests;
