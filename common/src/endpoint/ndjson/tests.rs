use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use super::*;
use crate::endpoint::closed;

async fn read_all(text: Vec<u8>) -> Vec<Input> {
    let mut source = NdjsonSource::new(Cursor::new(text)).expect("a thread");
    let mut inputs = Vec::new();
    loop {
        match source.next().await.expect("readable") {
            Input::End => return inputs,
            input => inputs.push(input),
        }
    }
}

fn show(inputs: &[Input]) -> Vec<String> {
    let show = |input: &Input| match input {
        Input::Record(taken) => {
            format!("{} {}", taken.at.offset, String::from_utf8_lossy(&taken.record.value))
        }
        Input::Bad { at, value, why } => format!("{} bad {} {why}", at.offset, value.len()),
        Input::Revoked(_) | Input::Lost(_) | Input::End => "?".to_owned(),
    };
    inputs.iter().map(show).collect()
}

#[tokio::test]
async fn one_line_is_one_record_and_blank_lines_are_only_counted() {
    let inputs = read_all(b"{\"a\":1}\n\n \t\n{\"b\": 2}\r\n{\"last\":true}".to_vec()).await;
    assert_eq!(show(&inputs), ["1 {\"a\":1}", "4 {\"b\": 2}", "5 {\"last\":true}"]);
}

#[tokio::test]
async fn a_bad_line_says_its_number_and_the_next_one_is_read() {
    let mut text = b"{\"a\":\n[1]\n\xff{}\n{} {}\n".to_vec();
    text.extend_from_slice(b"{\"ok\":1}\n");
    let inputs = read_all(text).await;
    assert_eq!(
        show(&inputs),
        [
            "1 bad 5 line 1: not JSON: eof while parsing a value at column 5",
            "2 bad 3 line 2: not a JSON object",
            "3 bad 3 line 3: not UTF-8",
            "4 bad 5 line 4: not JSON: trailing characters at column 4",
            "5 {\"ok\":1}",
        ]
    );
}

#[tokio::test]
async fn a_line_too_long_is_kept_up_to_its_limit_and_skipped_to_its_end() {
    for (length, kept, cut) in [
        (LINE_BYTES_MAX + 1, LINE_BYTES_MAX + 1, ""),
        (3 * LINE_BYTES_MAX, 2 * LINE_BYTES_MAX, "; only its first 2097152 are kept"),
    ] {
        let mut text = vec![b'x'; length];
        text.extend_from_slice(b"\n{\"ok\":1}\n");
        let shown = show(&read_all(text).await);
        let why = format!("line 1: {length} bytes, at most 1048576 are allowed{cut}");
        assert_eq!(shown, [format!("1 bad {kept} {why}"), "2 {\"ok\":1}".to_owned()]);
    }
}

#[tokio::test]
async fn a_line_of_exactly_the_limit_is_a_record() {
    let mut text = b"{\"a\":\"".to_vec();
    text.resize(LINE_BYTES_MAX - 2, b'x');
    text.extend_from_slice(b"\"}\n");
    assert!(matches!(read_all(text).await.as_slice(), [Input::Record(_)]));
}

#[tokio::test]
async fn a_paused_source_gives_nothing_and_loses_nothing() {
    let mut source = NdjsonSource::new(Cursor::new(b"{}\n".to_vec())).expect("a thread");
    source.pause(true);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(20), source.next()).await;
    assert!(waited.is_err());
    source.pause(false);
    assert!(matches!(source.next().await, Ok(Input::Record(_))));
}

#[tokio::test]
async fn of_an_endless_input_only_what_was_read_before_the_stop_still_comes() {
    let (read, mut write) = std::io::pipe().expect("a pipe");
    let left = Arc::new(AtomicBool::new(false));
    let input = std::fs::File::from(std::os::fd::OwnedFd::from(read));
    let (stdin, leave) = Stdin::over(input, Arc::clone(&left)).expect("opens");
    let mut source = NdjsonSource::read(stdin, Some(leave), left).expect("a thread");
    let endless = std::thread::spawn(move || while write.write_all(b"{}\n{}\n").is_ok() {});
    for _ in 0..10 {
        assert!(matches!(source.next().await, Ok(Input::Record(_))));
    }
    source.stop();
    let mut late = 0;
    while let Input::Record(_) = source.next().await.expect("readable") {
        late += 1;
    }
    // One batch here, those between, one in the making, one in the reader's buffer.
    let most = (READ_BATCHES_MAX + 3) * READ_BATCH_BYTES / 2;
    assert!(late <= most, "{late} lines");
    drop(source);
    endless.join().expect("its pipe is closed");
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>, Option<ErrorKind>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(kind) = self.1 {
            return Err(kind.into());
        }
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn record(text: &str) -> Record {
    Record { key: None, value: text.as_bytes().to_vec(), headers: vec![] }
}

#[tokio::test]
async fn lines_are_written_whole_and_in_order_and_counted() {
    let page = Page::default();
    let sink = NdjsonSink::new(page.clone()).expect("a thread");
    let mut deliveries = Vec::new();
    for number in 0..2000 {
        deliveries.push(sink.enqueue(record(&format!("{{\"n\":{number}}}"))).await.expect("room"));
    }
    let mut last = 0;
    for delivery in deliveries {
        let delivered = delivery.delivered().await.expect("written");
        assert_eq!(delivered.offset, last + 1);
        last = delivered.offset;
    }
    sink.flush().await.expect("flushed");
    let text = String::from_utf8(page.0.lock().expect("unpoisoned").clone()).expect("text");
    let expected: Vec<_> = (0..2000).map(|number| format!("{{\"n\":{number}}}")).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_closed_pipe_is_told_from_other_errors() {
    let sink = NdjsonSink::new(Page(Arc::default(), Some(ErrorKind::BrokenPipe))).expect("thread");
    assert!(closed(&sink.send(record("{}")).await.expect_err("closed")));
    assert!(closed(&sink.send(record("{}")).await.expect_err("still closed")));
    assert!(closed(&sink.flush().await.expect_err("still closed")));

    let sink = NdjsonSink::new(Page(Arc::default(), Some(ErrorKind::StorageFull))).expect("thread");
    assert!(!closed(&sink.send(record("{}")).await.expect_err("full")));
}

#[tokio::test]
async fn what_is_no_line_is_not_written() {
    let sink = NdjsonSink::new(Page::default()).expect("a thread");
    for value in ["{\n}".to_owned(), "x".repeat(LINE_BYTES_MAX + 1)] {
        let error = sink.send(record(&value)).await.expect_err("no line");
        assert_eq!(error.kind, crate::error::Kind::Reject);
    }
}
