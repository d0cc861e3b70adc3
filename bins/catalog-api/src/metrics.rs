//! What `/metrics` shows of the catalog and of the relay.

use std::time::Duration;

use common::error::Result;
use common::http::{Method, method_name};
use common::metrics::{Histogram, IntCounter, IntCounterVec, IntGauge, Metrics};
use common::store::Counts;

/// Where a request's time falls, in seconds: a durable commit is a few milliseconds.
const SECONDS_BUCKETS: [f64; 8] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];

#[derive(Clone, Debug)]
pub struct ApiMetrics {
    all: Metrics,
    requests: IntCounterVec,
    seconds: Histogram,
    pub commits: IntCounter,
    pub published: IntCounter,
    pub announced_again: IntCounter,
    customers: IntGauge,
    pending: IntGauge,
    synced: IntGauge,
    failed: IntGauge,
    outbox: IntGauge,
    outbox_age: IntGauge,
    doubts: IntGauge,
    conflicts: IntGauge,
    duplicates: IntGauge,
}

impl ApiMetrics {
    pub fn new(all: Metrics) -> Result<Self> {
        Ok(Self {
            requests: all.counters(
                "catalog_requests_total",
                "Requests answered, by method, path and status",
                &["method", "route", "status"],
            )?,
            seconds: all.histogram(
                "catalog_request_seconds",
                "Time from a request's head to its answer",
                &SECONDS_BUCKETS,
            )?,
            commits: all.counter(
                "catalog_commits_total",
                "Commits of this program; requests that wait together share one",
            )?,
            published: all.counter(
                "catalog_changes_published_total",
                "Change events whose delivery was confirmed",
            )?,
            announced_again: all.counter(
                "catalog_changes_announced_again_total",
                "Change events repeated because something stayed pending",
            )?,
            customers: all.gauge("catalog_customers", "Live customers")?,
            pending: all.gauge("catalog_sync_pending", "Customers with something on its way")?,
            synced: all.gauge("catalog_sync_synced", "Customers that both sides agree on")?,
            failed: all.gauge("catalog_sync_failed", "Customers with something refused")?,
            outbox: all.gauge("catalog_outbox_changes", "Changes that wait to be published")?,
            outbox_age: all.gauge(
                "catalog_outbox_oldest_seconds",
                "Age of the oldest change that waits to be published",
            )?,
            doubts: all.gauge(
                "catalog_sync_doubts",
                "Customers of whom it is unknown what Stripe has, until it is seen again",
            )?,
            conflicts: all.gauge("catalog_conflicts_open", "Conflicts that nobody has settled")?,
            duplicates: all.gauge(
                "catalog_duplicates",
                "Stripe customers that carry our stamp and are linked to nobody",
            )?,
            all,
        })
    }

    pub fn answered(&self, method: Method, route: &str, status: u16, elapsed: Duration) {
        let labels = [method_name(method), route, &status.to_string()];
        self.requests.with_label_values(&labels).inc();
        self.seconds.observe(elapsed.as_secs_f64());
    }

    /// All metrics as text; what the store counts is asked only now.
    pub fn render(&self, counts: &Counts) -> String {
        let age_ms = counts.outbox_oldest_at.map_or(0, |at| common::clock::now_ms() - at);
        self.customers.set(counts.customers as i64);
        self.pending.set(counts.pending as i64);
        self.synced.set(counts.synced as i64);
        self.failed.set(counts.failed as i64);
        self.outbox.set(counts.outbox as i64);
        self.outbox_age.set(age_ms.max(0) / 1000);
        self.doubts.set(counts.doubts as i64);
        self.conflicts.set(counts.conflicts_open as i64);
        self.duplicates.set(counts.duplicates as i64);
        self.all.render()
    }
}
