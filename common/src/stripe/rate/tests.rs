use std::sync::Arc;

use super::*;

const LIVE: Limits = Limits { all_per_s: 100.0, endpoint_per_s: 25.0 };

/// Takes whenever it may, as blocking callers do, and counts until `end`.
fn taken(buckets: &mut Buckets, from_s: f64, to_s: f64, endpoints: &[Endpoint]) -> usize {
    let (mut now, end) = (Duration::from_secs_f64(from_s), Duration::from_secs_f64(to_s));
    let mut count = 0;
    while now < end {
        let mut wait = Duration::MAX;
        for endpoint in endpoints {
            match buckets.take(now, *endpoint) {
                Ok(()) => {
                    count += 1;
                    wait = Duration::ZERO;
                }
                Err(this) => wait = wait.min(this),
            }
        }
        now += wait;
    }
    count
}

#[test]
fn an_operation_gets_its_rate_and_all_together_get_theirs() {
    use Endpoint::{Create, Delete, Events, ListCustomers, Retrieve, Update};
    let cases: [(Limits, &[Endpoint], usize); 4] = [
        (LIVE, &[Create], 250),
        (LIVE, &[Create, Update], 500),
        (LIVE, &[Create, Update, Retrieve, Delete, ListCustomers, Events], 1000),
        (Limits { all_per_s: 25.0, endpoint_per_s: 25.0 }, &[Create, Update], 250),
    ];
    for (limits, endpoints, expected) in cases {
        let count = taken(&mut Buckets::new(limits), 0.0, 10.0, endpoints);
        assert!(count.abs_diff(expected) <= expected / 50 + 5, "{endpoints:?}: {count}");
    }
}

#[test]
fn a_quiet_hour_does_not_allow_a_burst() {
    let mut buckets = Buckets::new(LIVE);
    let count = taken(&mut buckets, 3600.0, 3601.0, &[Endpoint::Update]);
    assert!(count <= 27, "{count}");
}

#[test]
fn too_many_halves_the_rate_once_a_second_and_it_recovers_slowly() {
    let mut buckets = Buckets::new(LIVE);
    let at = Duration::from_secs;
    for _ in 0..10 {
        buckets.slow_down(at(100));
    }
    let rate = |buckets: &mut Buckets, s| buckets.now(at(s)).endpoint_per_s.round() as u32;
    assert_eq!(rate(&mut buckets, 100), 13);
    assert_eq!(rate(&mut buckets, 130), 19);
    assert_eq!(rate(&mut buckets, 161), 25);
    for s in 200..300 {
        buckets.slow_down(at(s));
    }
    assert!(buckets.now(at(300)).all_per_s >= 100.0 * SHARE_MIN);
}

#[test]
fn a_pause_holds_everybody_and_a_shorter_one_does_not_end_it() {
    let mut buckets = Buckets::new(LIVE);
    buckets.pause(Duration::from_secs(10));
    buckets.pause(Duration::from_secs(5));
    assert_eq!(buckets.take(Duration::from_secs(4), Endpoint::Update), Err(Duration::from_secs(6)));
    assert_eq!(buckets.take(Duration::from_secs(10), Endpoint::Update), Ok(()));
}

#[test]
fn a_rate_above_the_default_holds_for_each_operation_too() {
    let key = |text| StripeKey::new(text, "STRIPE_SECRET_KEY").expect("a key");
    let limits = |text, rate| {
        let Limits { all_per_s, endpoint_per_s } = Limits::new(&key(text), rate);
        (all_per_s, endpoint_per_s)
    };
    assert_eq!(limits("sk_live_a", None), (100.0, 25.0));
    assert_eq!(limits("rk_test_a", None), (25.0, 25.0));
    assert_eq!(limits("sk_live_a", Some(50.0)), (50.0, 25.0));
    assert_eq!(limits("sk_live_a", Some(10.0)), (10.0, 10.0));
    assert_eq!(limits("sk_live_a", Some(400.0)), (400.0, 400.0));
    assert_eq!(limits("sk_test_a", Some(500.0)), (500.0, 500.0));
    assert_eq!(limits("sk_test_a", Some(0.0)), (25.0, 25.0));
    assert_eq!(limits("sk_test_a", Some(f64::NAN)), (25.0, 25.0));
}

#[test]
fn threads_share_the_rate_and_are_let_go_at_the_end() {
    let rate = Arc::new(Rate::new(Limits { all_per_s: 1000.0, endpoint_per_s: 1000.0 }));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert!(rate.take(Endpoint::Update))));
        }
    });
    // 200 requests, 50 of which may have come at once.
    assert!(started.elapsed() >= Duration::from_millis(140), "{:?}", started.elapsed());
    assert_eq!(rate.waiting(), 0);

    rate.pause(Duration::from_secs(3600));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rate.take(Endpoint::Create));
        while rate.waiting() == 0 {
            std::thread::yield_now();
        }
        assert!(rate.try_take(Endpoint::Create).is_err());
        rate.close();
        assert!(!waiting.join().expect("no panic"));
    });
    assert_eq!(rate.waiting(), 0);
}
