//! SIGKILL again and again while events stream in: an event counts as taken in only together with
//! what it does.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value as Json;
use tests::harness::{World, broker, until};

const CUSTOMERS: usize = 150;
/// Enough to hit the program while it starts, while it works, and in between.
const KILLS: u64 = 12;

#[test]
fn hook_to_catalog_killed_in_a_loop_forgets_no_event() {
    let Some(broker) = broker("hook_to_catalog_killed_in_a_loop") else { return };
    let mut world = World::start(&broker, &[]);
    // One event each, and none that would make up for a lost one later.
    let url = format!("{}/v1/customers", world.sim_url);
    let streaming = std::thread::spawn(move || {
        let headers = [
            ("authorization", "Bearer sk_test_person"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let born = (0..CUSTOMERS).map(|n| {
            std::thread::sleep(Duration::from_millis(25));
            let form = format!("name=Customer+{n}");
            let reply = tests::harness::http::call("POST", &url, &headers, Some(form.as_bytes()));
            let reply = reply.expect("stripe-sim answers");
            reply.body["id"].as_str().expect("an id").to_owned()
        });
        born.collect::<BTreeSet<String>>()
    });
    for round in 0..KILLS {
        std::thread::sleep(Duration::from_millis(150 + 67 * round % 400));
        world.inward.as_mut().expect("it runs").kill();
        world.start_inward();
    }
    let born = streaming.join().expect("all were made");
    let all = until("every customer is here", || {
        let here = world.api("GET", "/customers?limit=1000", None).body;
        let here = here.as_array().cloned().unwrap_or_default();
        (here.len() == born.len()).then_some(here)
    });
    for customer in all {
        assert!(born.contains(customer["id"].as_str().unwrap_or_default()), "{customer}");
        assert_eq!(customer["version"], 1, "taken in once: {customer}");
    }
    let announced = tests::harness::Topic::new(&broker, &world.topic("customer_events"));
    let subjects: Vec<Json> =
        announced.records().iter().map(|record| record.json()["subject"].clone()).collect();
    let distinct: BTreeSet<String> = subjects.iter().map(Json::to_string).collect();
    assert_eq!((subjects.len(), distinct.len()), (CUSTOMERS, CUSTOMERS), "announced once each");
    assert_eq!(world.our_writes(), [Json::Null; 0], "and nothing went back to Stripe");
}
