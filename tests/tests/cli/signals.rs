//! What becomes of the lines in hand when a mover on pipes is told to stop, or nobody reads its
//! output any more: each is finished, kept, or said to be neither.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tests::harness::process::command;
use tests::harness::until;

use crate::{Place, created, with_stripe};

const MOVER: &str = "kafka-to-stripe";
const PIPES: [&str; 6] = ["--from", "-", "--to", "-", "--rate", "1000"];

/// Ten seconds for the lines, ten for what was written, and what a busy machine takes.
const LIMIT: Duration = Duration::from_secs(28);

/// Far more than a pipe takes of their results, far less than a mover reads ahead.
const LINES: i64 = 1000;

/// The most results that a pipe of 64 KiB holds: none is shorter than this.
const RESULTS_MAX: i64 = 64 * 1024 / 150;

/// A mover whose pipes are held by the test itself, so that nobody reads when it does not.
struct Mover<'a> {
    place: &'a Place,
    child: Child,
}

impl Drop for Mover<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Mover<'a> {
    fn start(place: &'a Place, more: &[&str]) -> (Self, PipeWriter, PipeReader) {
        let (input, feed) = std::io::pipe().expect("a pipe");
        let (output, results) = std::io::pipe().expect("a pipe");
        let said = File::create(place.dir.path().join("said")).expect("a file");
        let mut command = command(MOVER);
        command.current_dir(place.dir.path()).args(PIPES).args(more);
        command.envs(place.environment.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(input).stdout(results).stderr(said).spawn().expect("starts");
        (Self { place, child }, feed, output)
    }

    /// All its lines are read, and its output is full.
    fn stalled(place: &'a Place) -> (Self, PipeReader) {
        let (mover, mut feed, output) = Self::start(place, &[]);
        feed.write_all(lines(LINES).as_bytes()).expect("it reads");
        let mut before = 0;
        // Full is what does not grow any more.
        until("its output is full", || {
            std::thread::sleep(Duration::from_millis(500));
            let now = rustix::io::ioctl_fionread(&output).expect("a pipe");
            let was = std::mem::replace(&mut before, now);
            (now > 0 && now == was).then_some(())
        });
        (mover, output)
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kills").success());
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.place.dir.path().join("said")).expect("readable")
    }

    fn until_said(&self, words: &str) {
        until(words, || self.said().contains(words).then_some(()));
    }

    /// Its exit code, once it has ended within the limit.
    fn code(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(begun.elapsed() < LIMIT, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The lines among the dead letters.
    fn kept(&self) -> Vec<i64> {
        let line = |letter: &Json| letter["line"].as_i64().expect("a line's number");
        let mut lines: Vec<_> = self.place.dead_letters(MOVER).iter().map(line).collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }
}

fn lines(count: i64) -> String {
    let line = |n| format!("{}\n", created(&format!("c{n}"), &"Ada ".repeat(40)));
    (0..count).map(line).collect()
}

#[test]
fn a_reader_that_sleeps_does_not_keep_a_mover_from_ending() {
    let (place, _stripe, _) = with_stripe();
    let (mut mover, _output) = Mover::stalled(&place);
    mover.terminate();
    assert_eq!(mover.code(), Some(69), "{}", mover.said());
    assert!(mover.said().contains("was not taken within 10 s"), "{}", mover.said());
    assert_eq!(mover.kept().last(), Some(&LINES), "{}", mover.said());
}

#[test]
fn a_reader_that_the_same_ctrl_c_ends_loses_no_line() {
    let (place, _stripe, _) = with_stripe();
    let (mut mover, output) = Mover::stalled(&place);
    mover.terminate();
    std::thread::sleep(Duration::from_millis(500));
    drop(output);
    assert_eq!(mover.code(), Some(1), "{}", mover.said());
    let kept = mover.kept();
    assert!(mover.said().contains("are kept as dead letters"), "{}", mover.said());
    assert_eq!(kept.last(), Some(&LINES), "{}", mover.said());
    // No more can have been finished than the pipe has room for.
    assert!(kept.len() as i64 >= LINES - RESULTS_MAX, "{} of {LINES}", kept.len());
}

#[test]
fn a_reader_that_has_had_enough_is_no_fault_but_the_line_to_go_on_from_is_said() {
    let (place, _stripe, _) = with_stripe();
    let (mut mover, mut feed, output) = Mover::start(&place, &[]);
    drop(output);
    feed.write_all(lines(1).as_bytes()).expect("it reads");
    assert_eq!(mover.code(), Some(0), "{}", mover.said());
    let said = mover.said();
    assert_eq!(said.matches("tail -n +1 goes on from line 1").count(), 1, "{said}");
    assert_eq!(mover.kept(), [0; 0]);
}

#[test]
fn a_place_for_dead_letters_that_is_full_leaves_word_of_where_to_go_on() {
    let place = Place::usual();
    let (mut mover, mut feed, _output) = Mover::start(&place, &["--dlq", "/dev/full"]);
    feed.write_all(lines(3).as_bytes()).expect("it reads");
    mover.until_said("trying again");
    mover.terminate();
    assert_eq!(mover.code(), Some(69), "{}", mover.said());
    let said = mover.said();
    assert!(said.contains("from line 1 on nothing was kept"), "{said}");
    assert!(said.contains("tail -n +1 ") && !said.contains("read up to line"), "{said}");
}

#[test]
fn a_mover_that_is_fed_without_end_stops_at_the_signal() {
    let place = Place::usual();
    let (mut mover, mut feed, _output) = Mover::start(&place, &[]);
    let feeding = std::thread::spawn(move || {
        let text = "{}\n".repeat(1000);
        while feed.write_all(text.as_bytes()).is_ok() {}
    });
    until("a line is refused", || (!place.dead_letters_text(MOVER).is_empty()).then_some(()));
    mover.terminate();
    assert_eq!(mover.code(), Some(1), "{}", mover.said());
    feeding.join().expect("its pipe is closed");
    let said = mover.said();
    let last = said.split("read up to line ").nth(1).and_then(|it| it.split(' ').next());
    let last: i64 = last.and_then(|it| it.parse().ok()).expect("it says how far it came");
    // Each line that it says it has read is there.
    assert_eq!(mover.kept().len() as i64, last, "{said}");
}
