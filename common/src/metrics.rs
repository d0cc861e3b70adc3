//! Metrics in Prometheus' text form, and the small server that shows them beside `/healthz` and
//! `/readyz` on a mover's `--metrics` address. It answers from memory and never touches a record.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, Opts, Registry, TextEncoder};
use tiny_http::{Header, Request, Response, Server};

use crate::error::{Error, Result};

pub use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

/// The content type of Prometheus' text form.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// Says whether the pipeline moves; the text says why not.
pub type Ready = Arc<dyn Fn() -> std::result::Result<(), String> + Send + Sync>;

/// A program's metrics. Cheap to clone; every clone shows the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Registry);

impl Metrics {
    pub fn new() -> Self {
        Self::default()
    }

    /// A number that only rises; its name ends in `_total`. A name given twice, or one that is no
    /// name, is an error of ours: it is `Fatal` and shows on the first start.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.register(name, IntCounter::new(name, help))
    }

    /// Like [`Metrics::counter`], one for each combination of labels. Labels have few values, never
    /// a customer's id.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.register(name, IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A number that rises and falls; its name ends in its unit.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(name, IntGauge::new(name, help))
    }

    /// How long something takes, in seconds, in the given buckets.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(name, Histogram::with_opts(options))
    }

    fn register<C: Collector + Clone + 'static>(
        &self,
        name: &str,
        made: prometheus::Result<C>,
    ) -> Result<C> {
        let fatal = |error| Error::fatal(format!("register the metric {name}"), error);
        let collector = made.map_err(fatal)?;
        self.0.register(Box::new(collector.clone())).map_err(fatal)?;
        Ok(collector)
    }

    /// All of them as text for `/metrics`.
    pub fn render(&self) -> String {
        // Only a metric without a name could fail here, and none can be registered.
        TextEncoder::new().encode_to_string(&self.0.gather()).unwrap_or_default()
    }
}

/// Serves `/healthz`, `/readyz` and `/metrics` on a thread of its own until the process ends.
/// Returns where it listens (port 0 picks one).
pub fn serve(address: SocketAddr, metrics: Metrics, ready: Ready) -> Result<SocketAddr> {
    let operation = || format!("listen on {address} for metrics");
    let server = Server::http(address).map_err(|error| Error::fatal(operation(), error))?;
    let bound = server.server_addr().to_ip().unwrap_or(address);
    let run = move || {
        for request in server.incoming_requests() {
            let response = answer(request.url(), &metrics, &ready);
            // Whoever asked may have gone; nobody else is concerned.
            let _ = Request::respond(request, response);
        }
    };
    let thread = std::thread::Builder::new().name("metrics".to_owned());
    thread.spawn(run).map_err(|error| Error::fatal(operation(), error))?;
    Ok(bound)
}

fn answer(url: &str, metrics: &Metrics, ready: &Ready) -> Response<Cursor<Vec<u8>>> {
    let path = url.split('?').next().unwrap_or(url);
    let (status, text) = match path {
        "/healthz" => (200, "ok\n".to_owned()),
        "/readyz" => match ready() {
            Ok(()) => (200, "ready\n".to_owned()),
            Err(why) => (503, format!("not ready: {why}\n")),
        },
        "/metrics" => (200, metrics.render()),
        _ => (404, "only /healthz, /readyz and /metrics are here\n".to_owned()),
    };
    let response = Response::from_string(text).with_status_code(status);
    match Header::from_bytes("Content-Type", CONTENT_TYPE) {
        Ok(header) => response.with_header(header),
        Err(()) => response,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).expect("connect");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("ask");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answer");
        text
    }

    #[test]
    fn a_counter_is_shown_and_its_name_is_given_once() {
        let metrics = Metrics::new();
        metrics.counter("records_read_total", "records read").expect("new").inc_by(3);
        assert!(metrics.render().contains("records_read_total 3"));
        assert!(metrics.counter("records_read_total", "again").is_err());
        assert!(metrics.gauge("no name", "a space").is_err());
    }

    #[test]
    fn the_server_tells_alive_from_ready() {
        let ready: Ready = Arc::new(|| Err("no partitions yet".to_owned()));
        let bound = serve(SocketAddr::from(([127, 0, 0, 1], 0)), Metrics::new(), ready);
        let address = bound.expect("a free port");
        assert!(get(address, "/healthz").starts_with("HTTP/1.1 200"));
        let answer = get(address, "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("no partitions yet"));
        assert!(get(address, "/metrics").starts_with("HTTP/1.1 200"));
        assert!(get(address, "/x").starts_with("HTTP/1.1 404"));
    }
}
