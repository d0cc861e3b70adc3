//! From start to end: find the key, open the output, then list or follow.

use std::sync::{Arc, Mutex, PoisonError};

use common::cli::{Context, unless_asked_to_end};
use common::clock;
use common::endpoint::{self, Sink as _};
use common::error::{Error, Exit, Result};
use common::metrics::Ready;
use common::secret;
use common::stripe::{Client, Limits, Rate, StripeKey};
use prometheus::{IntCounter, IntGauge};

use crate::args::Args;
use crate::ask::{Ask, Customers, Events};
use crate::customers;
use crate::follow::{Seen, Tail};
use crate::state::{State, StateFile};
use crate::walk::Lister;
use crate::write::Writer;

/// How this program names itself to Stripe.
const USER_AGENT: &str = concat!("stripe-tail/", env!("CARGO_PKG_VERSION"));

pub async fn run(args: Args, context: Context) -> Result<Exit> {
    match read(args, &context).await {
        // Whoever read our lines has gone: a mover ends with it.
        Err(error) if endpoint::closed(&error) => Ok(Exit::Done),
        end => end,
    }
}

async fn read(args: Args, context: &Context) -> Result<Exit> {
    let key = key()?;
    let rate = Rate::new(Limits::new(&key, args.rate));
    let client = Client::new(args.api_base(), key, USER_AGENT)?;
    let kafka = args.kafka.options(context.program)?;
    let file = args.state.as_ref().map(StateFile::new);
    let to = args.to.to.to_string();
    let state = file.as_ref().map_or(Ok(None), |file| file.load(&to))?;
    let shown = Shown::new(context)?;
    args.metrics.serve(context, shown.ready())?;
    let opened = unless_asked_to_end(context, args.to.open(&kafka)).await?;
    let Some(sink) = opened else { return Ok(Exit::Done) };
    let shutdown = context.shutdown.clone();
    let ask = Ask::new(client, rate, shutdown.clone());
    let writer = Writer { sink: sink.clone(), shutdown: shutdown.clone() };

    let rejected = if args.list {
        customers::list(&Customers { ask }, &writer, &shutdown).await?
    } else {
        let mut state = state.unwrap_or_else(|| State { to, ..State::default() });
        state.position = args.since.unwrap_or(state.position);
        let events = Events { ask, types: args.types().into() };
        let seen = Seen::default();
        let mut tail = Tail { events, writer, state, file, kafka, seen };
        tail.run(args.interval(), &shutdown, |tail, round| shown.round(tail, round)).await?;
        tail.seen.rejected
    };
    sink.flush().await?;
    Ok(if rejected > 0 { Exit::Failed } else { Exit::Done })
}

/// The key that may only read, if there is one: this program never needs another.
fn key() -> Result<StripeKey> {
    for name in ["STRIPE_READ_KEY", "STRIPE_SECRET_KEY"] {
        if let Some(key) = secret::from_env(name)? {
            return StripeKey::new(key.expose(), name);
        }
    }
    let cause = "neither STRIPE_READ_KEY nor STRIPE_SECRET_KEY is set";
    Err(Error::fatal("read the key for Stripe", cause)
        .hint("set one of them (or …_FILE) to a key that may read events and customers"))
}

/// What people see of the program: metrics and readiness.
#[derive(Clone)]
struct Shown {
    written: IntCounter,
    position: IntGauge,
    read_at: IntGauge,
    problem: Arc<Mutex<Option<String>>>,
}

impl Shown {
    fn new(context: &Context) -> Result<Self> {
        let metrics = &context.metrics;
        Ok(Self {
            written: metrics.counter("events_written_total", "events read and delivered")?,
            position: metrics.gauge(
                "position_timestamp_seconds",
                "every event made before this was delivered; 0 before the first",
            )?,
            read_at: metrics.gauge(
                "last_read_timestamp_seconds",
                "when Stripe was last read to the end; 0 before that",
            )?,
            problem: Arc::new(Mutex::new(Some("nothing was read yet".into()))),
        })
    }

    fn round<L: Lister>(&self, tail: &Tail<L>, round: &Result<()>) {
        self.written.inc_by(tail.seen.written.saturating_sub(self.written.get()));
        self.position.set(tail.state.position);
        if round.is_ok() {
            self.read_at.set(clock::now_ms() / 1000);
        }
        let problem = round.as_ref().err().map(Error::to_string);
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn ready(&self) -> Ready {
        let problem = Arc::clone(&self.problem);
        Arc::new(move || {
            let problem = problem.lock().unwrap_or_else(PoisonError::into_inner);
            problem.clone().map_or(Ok(()), Err)
        })
    }
}
