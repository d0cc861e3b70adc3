//! Pages and searches: rare and common, alone and together.

use std::path::Path;
use std::time::{Duration, Instant};

use common::store::{Query, Store};

use crate::api::Api;

/// How often each list is asked for.
const ROUNDS: usize = 15;

pub fn lists(api: &Api, folder: &Path) {
    let store = Store::open_reader(&folder.join("bench.sqlite3")).expect("opens");
    let (mut one, mut number, mut middle) = (None, 0_u64, None);
    let total = api.metric("catalog_customers") as u64;
    let walk = store.for_each(&Query::default(), |entry| {
        number += 1;
        if number == total / 2 {
            middle = Some(entry.customer.updated_at);
        }
        if number == total * 2 / 3 {
            one = Some(entry.customer);
        }
        Ok(())
    });
    walk.expect("reads");
    let one = one.expect("some customers");
    let email = one.fields.text(&common::record::Field::Email).expect("an e-mail").to_owned();
    let rare = &email[..10];
    let since = common::clock::rfc3339(middle.unwrap_or(0));
    let late = common::clock::rfc3339(common::clock::now_ms() + 1_000_000);
    let paths = [
        "/customers".to_owned(),
        "/customers?limit=1000".to_owned(),
        format!("/customers/{}", one.id),
        format!("/customers/{}/history", one.id),
        format!("/customers?email={email}"),
        "/customers?email=nobody@example.com".to_owned(),
        "/customers?sync=failed".to_owned(),
        "/customers?sync=synced".to_owned(),
        "/customers?sync=pending".to_owned(),
        format!("/customers?updated_since={since}"),
        format!("/customers?updated_since={late}"),
        "/customers?updated_since=2000-01-01T00:00:00Z".to_owned(),
        format!("/customers?q={rare}"),
        format!("/customers?q={email}"),
        "/customers?q=example.com".to_owned(),
        "/customers?q=lovelace".to_owned(),
        "/customers?q=LOVELACE%20f".to_owned(),
        "/customers?q=nowhere%20at%20all".to_owned(),
        "/customers?q=zzz".to_owned(),
        "/customers?q=qx".to_owned(),
        "/customers?q=ad".to_owned(),
        "/customers?q=a".to_owned(),
        "/customers?q=%E7%8E%8B".to_owned(),
        "/customers?q=%E5%B0%8F%E6%98%8E".to_owned(),
        "/customers?q=%E9%BE%8D".to_owned(),
        "/customers?q=example.com&sync=failed".to_owned(),
        "/customers?q=lovelace&sync=failed".to_owned(),
        "/customers?q=example.com&sync=synced".to_owned(),
        format!("/customers?q={rare}&updated_since=2000-01-01T00:00:00Z"),
        "/customers?q=example.com&updated_since=2000-01-01T00:00:00Z".to_owned(),
        format!("/customers?q=lovelace&updated_since={since}"),
        "/customers?sync=failed&updated_since=2000-01-01T00:00:00Z".to_owned(),
        "/customers?sync=synced&updated_since=2000-01-01T00:00:00Z".to_owned(),
        "/conflicts".to_owned(),
        "/metrics".to_owned(),
    ];
    println!("{:<60} {:>9} {:>9} {:>8} {:>8}", "list", "median", "most", "rows", "KiB");
    for path in paths {
        let mut times = Vec::new();
        let mut rows = 0;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let text = api.get(&path);
            times.push(begun.elapsed());
            rows = text.matches("\"created_at\"").count();
        }
        times.sort();
        let shown: String = path.chars().take(60).collect();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (median, most) = (ms(times[ROUNDS / 2]), ms(times[ROUNDS - 1]));
        println!("{shown:<60} {median:>6.1} ms {most:>6.1} ms {rows:>8} {:>8}", api.resident());
    }
}
