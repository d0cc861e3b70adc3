//! Asks Stripe, at the allowed rate and off the async threads. It only ever reads.

use std::sync::Arc;

use common::error::{Error, Result};
use common::record::Seconds;
use common::shutdown::Shutdown;
use common::stripe::client::PAGE_MAX;
use common::stripe::{CallError, Client, Endpoint, EventsQuery, Page, Rate, Scope};

use crate::walk::Lister;

/// Stripe, for reading. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ask {
    client: Client,
    rate: Arc<Rate>,
    shutdown: Shutdown,
}

impl Ask {
    pub fn new(client: Client, rate: Rate, shutdown: Shutdown) -> Self {
        Self { client, rate: Arc::new(rate), shutdown }
    }

    /// Asks for a page when its turn comes. Once the end is asked for, it gives up at once: an
    /// answer that nobody waits for changes nothing.
    async fn page(
        &self,
        endpoint: Endpoint,
        ask: impl FnOnce(&Client) -> std::result::Result<Page, CallError> + Send + 'static,
    ) -> Result<Page> {
        let ends = || Error::retry("ask Stripe", "the program ends");
        let (client, rate) = (self.client.clone(), Arc::clone(&self.rate));
        let asking = tokio::task::spawn_blocking(move || {
            if !rate.take(endpoint) {
                return Err(ends());
            }
            ask(&client).map_err(|CallError { error, scope }| {
                match scope {
                    Scope::Account => rate.slow_down(),
                    Scope::Customer => {}
                }
                error
            })
        });
        match self.shutdown.unless(asking).await {
            Some(Ok(page)) => page,
            Some(Err(panic)) => Err(Error::retry("ask Stripe", panic)),
            None => {
                self.rate.close();
                Err(ends())
            }
        }
    }
}

/// The account's events of these types; of all types when there are none.
#[derive(Clone, Debug)]
pub struct Events {
    pub ask: Ask,
    pub types: Arc<[String]>,
}

impl Lister for Events {
    async fn page(&self, since: Seconds, after: Option<String>) -> Result<Page> {
        let types = Arc::clone(&self.types);
        let ask = move |client: &Client| {
            let types: Vec<_> = types.iter().map(String::as_str).collect();
            client.events(&EventsQuery {
                types: &types,
                ending_before: None,
                starting_after: after.as_deref(),
                created_gte: (since > 0).then_some(since),
                limit: PAGE_MAX,
            })
        };
        self.ask.page(Endpoint::Events, ask).await
    }
}

/// The account's live customers.
#[derive(Clone, Debug)]
pub struct Customers {
    pub ask: Ask,
}

impl Lister for Customers {
    async fn page(&self, since: Seconds, after: Option<String>) -> Result<Page> {
        let since = (since > 0).then_some(since);
        let ask = move |client: &Client| client.list_customers(since, after.as_deref(), PAGE_MAX);
        self.ask.page(Endpoint::ListCustomers, ask).await
    }
}
