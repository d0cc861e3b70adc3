//! Each rule broken in turn: is it noticed?

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tests::sim::mutations::{Found, find};
use tests::sync::rules::Rule;

use crate::args::{Args, usage};

/// Breaks each rule, says after how many histories that shows, and whether it always does.
pub fn mutations(args: &Args) -> bool {
    let next = AtomicUsize::new(0);
    let found: Mutex<BTreeMap<usize, Option<Found>>> = Mutex::default();
    let work = || {
        while let Some(rule) = Rule::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !format!("{rule:?}").contains(&args.why) {
                continue;
            }
            let result = find(*rule, args.histories);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(*rule as usize, result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            // A program that sends without end does so deeply.
            let thread = std::thread::Builder::new().stack_size(64 << 20);
            if let Err(error) = thread.spawn_scoped(scope, work) {
                usage(&error.to_string());
            }
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (rule, found) in &found {
        let rule = Rule::ALL[*rule];
        match found {
            Some(found) => println!(
                "{:<22} {:>7} {:<14} {}",
                format!("{rule:?}"),
                found.histories,
                found.mix,
                found.why
            ),
            None => println!("{:<22}  MISSED within {}", format!("{rule:?}"), args.histories),
        }
    }
    found.values().all(Option::is_some)
}
