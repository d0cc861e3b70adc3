//! Writes of many at once: each for itself, none before it is durable.

use std::sync::atomic::{AtomicUsize, Ordering};

use std::sync::mpsc::channel;

use super::super::tests::{create, folder, fresh};
use super::*;

/// Starts a write that holds the thread until told to go on, so that others gather behind it.
fn hold(writer: &Writer) -> (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<()>) {
    let (go_on, told) = channel::<()>();
    let (started, holding) = channel();
    let writer = writer.clone();
    let held = std::thread::spawn(move || {
        let work = move |_: &Tx| {
            let _ = started.send(());
            let _ = told.recv();
            Ok(())
        };
        writer.run(work).expect("holds");
    });
    holding.recv().expect("started");
    (go_on, held)
}

#[test]
fn a_write_that_fails_or_panics_undoes_itself_only() {
    let (_folder, path) = folder();
    let writer = Writer::spawn(Store::open(&path).expect("opens"));
    let (go_on, held) = hold(&writer);
    let results: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..30)
            .map(|n| {
                let writer = &writer;
                scope.spawn(move || {
                    writer.run(move |tx| {
                        create(tx, &n.to_string(), 1)?;
                        match n % 3 {
                            0 => Ok(n),
                            1 => Err(Error::reject("test", "no")),
                            _ => panic!("on purpose"),
                        }
                    })
                })
            })
            .collect();
        go_on.send(()).expect("holds");
        writers.into_iter().map(|one| one.join().expect("is answered")).collect()
    });
    held.join().expect("ends");
    let reader = Store::open_reader(&path).expect("opens");
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(result.is_ok(), n % 3 == 0, "{n}: {result:?}");
        let there = reader.entry(&n.to_string()).expect("loads").is_some();
        assert_eq!(there, n % 3 == 0, "{n}");
    }
    let counts = reader.counts().expect("counts");
    assert_eq!((counts.customers, counts.outbox), (10, 10));
}

#[test]
fn an_answer_comes_only_when_others_can_see_the_write() {
    let (_folder, path) = folder();
    let writer = Writer::spawn(Store::open(&path).expect("opens"));
    let reader = Store::open_reader(&path).expect("opens");
    for n in 0..50 {
        let id = n.to_string();
        writer.run(move |tx| create(tx, &id, 1)).expect("creates");
        assert!(reader.entry(&n.to_string()).expect("loads").is_some());
    }
}

#[test]
fn a_later_write_of_the_same_commit_sees_the_earlier_one() {
    let (_folder, store) = fresh();
    let writer = Writer::spawn(store);
    let made = AtomicUsize::new(0);
    let (go_on, held) = hold(&writer);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (writer, made) = (&writer, &made);
            scope.spawn(move || {
                let work = |tx: &Tx| match tx.entry("same")? {
                    Some(_) => Ok(0),
                    None => create(tx, "same", 1).map(|()| 1),
                };
                made.fetch_add(writer.run(work).expect("runs"), Ordering::Relaxed);
            });
        }
        go_on.send(()).expect("holds");
    });
    held.join().expect("ends");
    assert_eq!(made.into_inner(), 1);
}

#[test]
fn whoever_asked_is_called_after_a_commit_and_not_before() {
    let (_folder, path) = folder();
    let writer = Writer::spawn(Store::open(&path).expect("opens"));
    let reader = Store::open_reader(&path).expect("opens");
    let (called, calls) = channel();
    writer.on_commit(move || {
        let _ = called.send(reader.outbox_len());
    });
    writer.run(|tx| create(tx, "a", 1)).expect("creates");
    assert_eq!(calls.recv().expect("is called").expect("counts"), 1);
}

#[test]
fn the_search_index_catches_up_by_itself() {
    let (_folder, path) = folder();
    let mut other = Store::open(&path).expect("opens");
    other.write(|tx| create(tx, "other's", 1)).expect("creates");
    let writer = Writer::spawn(Store::open(&path).expect("opens"));
    writer.run(|tx| create(tx, "own", 1)).expect("creates");
    let patience = Instant::now();
    while search::is_behind(&other.conn).expect("looks") {
        assert!(patience.elapsed() < Duration::from_secs(60), "it never does");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_second_writer_gets_its_turn() {
    let (_folder, path) = folder();
    let writer = Writer::spawn(Store::open(&path).expect("opens"));
    let mut other = Store::open(&path).expect("opens");
    let busy = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (writer, busy) = (&writer, &busy);
            scope.spawn(move || {
                let mut count = 0;
                while busy.load(Ordering::Relaxed) {
                    let id = format!("{n}-{count}");
                    writer.run(move |tx| create(tx, &id, 1)).expect("creates");
                    count += 1;
                }
            });
        }
        for n in 0..50 {
            let added = other.write(|tx| tx.inbox_add(&n.to_string(), n));
            if added.is_err() {
                busy.store(false, Ordering::Relaxed);
            }
            added.expect("gets its turn");
        }
        busy.store(false, Ordering::Relaxed);
    });
}
