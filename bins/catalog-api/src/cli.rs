//! The command line, and what it opens.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use common::cli::{Args, CommonArgs, Context, KafkaArgs, Program, ToArgs};
use common::error::{Error, Exit, Result};
use common::http::{Handler, Limits, Options, Server};
use common::log;
use common::store::{Store, Writer, database_path};
use common::sync::{Deletes, Owners, Policy};
use tokio::sync::Notify;

use crate::access::{Access, TOKEN};
use crate::again::Again;
use crate::api::Api;
use crate::bulk::Imports;
use crate::cors::Cors;
use crate::metrics::ApiMetrics;
use crate::readers::Readers;
use crate::ready::Ready;
use crate::relay::Relay;
use crate::watch;

pub const PROGRAM: Program =
    Program { name: "catalog-api", from: &[], to: Some("kafka:customer_events") };

/// Requests in progress when the end is asked for may take so long.
const FINISH_LIMIT: Duration = Duration::from_secs(10);

/// Publishing what is left may take so long; the rest is published at the next start.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Be the customer catalog
#[derive(Debug, Parser)]
#[command(
    version,
    long_about = "The customer catalog: REST on SQLite, announcing every change.",
    after_help = "\
Examples:
  catalog-api                               on 127.0.0.1:8000, to kafka:customer_events
  catalog-api --to - | jq .data.changed     no broker: changes to stdout, one a line
  catalog-api --to - | kafka-to-stripe --from - --to - | hook-to-catalog --from -
  curl --json '{\"name\":\"Ada\",\"email\":\"ada@example.com\"}' localhost:8000/customers
  curl -X POST -T all.ndjson -H 'Content-Type: application/x-ndjson' localhost:8000/customers

Environment: DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS; CATALOG_API_TOKEN may do everything,
CATALOG_API_READ_TOKEN may only read (both also by ..._FILE, several by commas): with any of them
set, every call needs one as Bearer token; without, only this machine may call.
Exit codes: 0 done, 2 usage, 69 broker or database unavailable or the pipe closed, 78 bad
configuration or credentials refused."
)]
pub struct Cli {
    /// Where to listen; port 0 picks one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8000")]
    listen: String,
    /// The catalog's file: sqlite:///PATH or a plain path
    #[arg(
        long,
        value_name = "FILE",
        env = "DATABASE_URL",
        default_value = "sqlite:///./db.sqlite3"
    )]
    database: String,
    /// A page of this origin may call from a browser; can be given several times
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "CATALOG_API_CORS_ORIGIN")]
    cors_origin: Vec<String>,
    /// Whose a field is, as FIELD=catalog|stripe|both, by commas; also metadata and metadata.KEY.
    /// What is Stripe's is refused here with 422. hook-to-catalog is told the same
    #[arg(
        long,
        value_name = "FIELD=SIDE,...",
        env = "CATALOG_OWNERS",
        default_value = "",
        hide_default_value = true
    )]
    owner: Owners,
    /// What a deletion here does at Stripe: mirror deletes there too, keep leaves the customer
    #[arg(long, value_name = "mirror|keep", env = "CATALOG_DELETES", default_value = "mirror")]
    deletes: Deletes,
    /// Say so once when the file was replaced by an older backup: versions go on far above all that
    /// it may have announced since. Then let stripe-tail read Stripe again, customers and events
    #[arg(long)]
    restored: bool,
    /// Connections at once; a newcomer takes the place of one that only waits
    #[arg(long, value_name = "COUNT", default_value_t = Limits::DEFAULT.connections_max)]
    connections_max: usize,
    #[command(flatten)]
    to: ToArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    common: CommonArgs,
}

impl Args for Cli {
    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

/// Opens the catalog, serves and publishes until the end is asked for.
pub async fn run(cli: Cli, context: Context) -> Result<Exit> {
    let listen = resolve(&cli.listen)?;
    let access = Access::from_env(listen)?;
    let cors = Cors::new(&cli.cors_origin)?;
    let kafka = cli.kafka.options(PROGRAM.name)?;
    let path = database_path(&cli.database)?;
    let _lock = lock(&path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_owned();

    let metrics = ApiMetrics::new(context.metrics.clone())?;
    let (wake, ready) = (Arc::new(Notify::new()), Arc::new(Ready::default()));
    let mut store = Store::open(&path)?;
    if cli.restored {
        // The method itself is not general enough in its lifetimes.
        #[allow(clippy::redundant_closure_for_method_calls)]
        let customers = store.write(|tx| tx.leap())?;
        log::say(PROGRAM.name, format_args!("restored: {customers} customers have new versions"));
    }
    let writer = Writer::spawn(store);
    let (woken, commits) = (Arc::clone(&wake), metrics.commits.clone());
    writer.on_commit(move || {
        commits.inc();
        woken.notify_one();
    });
    watch::start(path.clone(), Arc::clone(&wake))?;
    let readers = Arc::new(Readers::new(path));
    let before = readers.read(Store::outbox_last)?;
    let again =
        Again { writer: writer.clone(), readers: Arc::clone(&readers), metrics: metrics.clone() };
    again.clone().start(Arc::clone(&ready))?;
    let is_open = access.is_open();
    let (ready_too, imports) = (Arc::clone(&ready), Imports::default());
    let policy = Arc::new(Policy { owners: cli.owner.clone(), deletes: cli.deletes });
    let said = Arc::clone(&policy);
    let api =
        Api { writer, readers, access, cors, metrics, ready: ready_too, policy, imports, folder };
    let api: Arc<dyn Handler> = Arc::new(api);
    let limits = Limits::DEFAULT.connections(cli.connections_max);
    let server = Server::start_with(Options { program: PROGRAM.name, listen }, limits, &api)?;
    if is_open {
        log::say(PROGRAM.name, format_args!("no {TOKEN}: only this machine may call"));
    }
    if !said.is_default() {
        log::say(PROGRAM.name, format_args!("policy: {said}"));
    }
    let to = cli.to.clone();
    let open = Box::new(move || {
        let (to, kafka) = (to.clone(), kafka.clone());
        let opening: crate::relay::Opening = Box::pin(async move { to.open(&kafka).await });
        opening
    });
    let relay = Relay { to: cli.to.to.clone(), open, again, before, wake, ready };
    serve(server, relay, context).await
}

/// Until the end is asked for, or the server or the relay cannot go on. Then requests in progress
/// are finished first, and what they wrote is published.
async fn serve(server: Server, relay: Relay, context: Context) -> Result<Exit> {
    let (drain, draining) = common::shutdown::channel();
    let mut relaying = tokio::spawn(async move { relay.run(draining).await });
    let mut shutdown = context.shutdown.clone();
    let ended = tokio::select! {
        () = shutdown.requested() => Ok(()),
        error = server.failed() => Err(error),
        ended = &mut relaying => {
            stop(server).await;
            return ended.unwrap_or_else(|error| Err(Error::retry("publish", error)))
                .map(|()| Exit::Done);
        }
    };
    stop(server).await;
    drain.request();
    match tokio::time::timeout(DRAIN_LIMIT, relaying).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => log::say_error(PROGRAM.name, &error),
        Ok(Err(error)) => ::log::error!("publishing broke off: {error}"),
        Err(_) => {
            ::log::warn!("some changes are not published yet; they will be at the next start");
        }
    }
    ended.map(|()| Exit::Done)
}

async fn stop(server: Server) {
    let stopped = tokio::task::spawn_blocking(move || server.stop(FINISH_LIMIT)).await;
    if !stopped.unwrap_or(false) {
        ::log::warn!("some requests were not finished within {} s", FINISH_LIMIT.as_secs());
    }
}

/// `localhost:8000` too. The first address counts.
fn resolve(listen: &str) -> Result<SocketAddr> {
    let operation = || format!("read --listen {listen}");
    let hint = "give an address and a port, as in 127.0.0.1:8000";
    std::net::ToSocketAddrs::to_socket_addrs(listen)
        .map_err(|error| Error::fatal(operation(), error).hint(hint))?
        .next()
        .ok_or_else(|| Error::fatal(operation(), "it names no address").hint(hint))
}

/// Two relays of one outbox would publish it twice and out of order. The lock ends with the
/// process, however it ends.
fn lock(database: &Path) -> Result<File> {
    let mut path = database.as_os_str().to_owned();
    path.push(".catalog-api.lock");
    let path = PathBuf::from(path);
    let operation = || format!("lock {}", path.display());
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(|error| {
        Error::fatal(operation(), error).hint("its folder must exist and be writable")
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::retry(operation(), "another catalog-api has this database open")
                .hint("stop it, or give each its own --database"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(Error::retry(operation(), error)),
    }
}
