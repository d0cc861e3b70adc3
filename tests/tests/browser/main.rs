//! What people see in a real browser: the page over the real programs, and Swagger UI. Skipped,
//! with the reason, where no browser is installed.

mod docs;
mod form;
mod page;
mod shape;
mod token;

use serde_json::{Value as Json, json};
use tests::harness::http::ask;
use tests::harness::{Browser, Pipes, Program, until};

/// A browser, and both directions of the pipeline over pipes.
#[derive(Debug)]
pub struct Town {
    pub browser: Browser,
    pub pipes: Pipes,
    pub url: String,
    _out: Vec<Program>,
    back: Vec<Program>,
}

impl Town {
    /// `None`, and the reason on stderr, where there is no browser.
    pub fn start(test: &str) -> Option<Self> {
        let browser = Browser::start(test)?;
        let pipes = Pipes::start();
        let out = pipes.line(&[
            ("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]),
            ("kafka-to-stripe", &["--from", "-", "--to", "-"]),
            ("hook-to-catalog", &["--from", "-"]),
        ]);
        let url = format!("http://{}", out[0].address());
        let mut town = Self { browser, pipes, url, _out: out, back: Vec::new() };
        town.hear_from_stripe();
        Some(town)
    }

    /// What happens at Stripe comes to the catalog (again).
    pub fn hear_from_stripe(&mut self) {
        self.back = self.pipes.line(&[
            ("stripe-tail", &["--follow", "--to", "-", "--state", "tail.json"]),
            ("hook-to-catalog", &["--from", "-"]),
        ]);
    }

    /// Nothing comes from Stripe for now.
    pub fn hear_nothing(&mut self) {
        self.back.clear();
    }

    /// Opens the page and waits until it has looked once.
    pub fn open(&self) {
        self.browser.go(&self.url);
        self.browser.shows("#live", "Live");
    }

    /// Creates a customer by the API and waits until it is in step; its id at Stripe.
    pub fn synced(&self, body: &Json) -> String {
        let reply = ask("POST", &format!("{}/customers", self.url), Some(body));
        assert_eq!(reply.status, 201, "{reply:?}");
        let url = format!("{}/customers/{}", self.url, reply.body["id"].as_str().expect("an id"));
        until("it is in step", || {
            let sync = ask("GET", &url, None).body["sync"]["stripe"].clone();
            (sync["state"] == "synced").then(|| sync["id"].as_str().map(str::to_owned))?
        })
    }

    pub fn patch(&self, id: &str, patch: &Json) {
        let reply = ask("PATCH", &format!("{}/customers/{id}", self.url), Some(patch));
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    pub fn catalog(&self, id: &str) -> Json {
        ask("GET", &format!("{}/customers/{id}", self.url), None).body
    }

    /// The browser has complained of nothing.
    pub fn is_clean(&self) {
        assert_eq!(self.browser.complaints(), [""; 0]);
    }
}

/// A button by its words.
pub fn button(words: &str) -> String {
    format!("//button[contains(normalize-space(), {words:?})]")
}

/// A row of the list by who it is.
pub fn row(who: &str) -> String {
    format!("//ul[@id='rows']//a[contains(., {who:?})]")
}

#[test]
fn a_customer_may_be_called_what_it_likes() {
    let Some(town) = Town::start("a_customer_may_be_called_what_it_likes") else { return };
    let name = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>";
    town.synced(
        &json!({"id": "evil", "name": name, "description": name, "metadata": {"<b>": name}}),
    );
    town.open();
    town.browser.click("#rows a");
    town.browser.shows("#detail h2", name);
    town.browser.shows("#detail table", "<b>");
    assert_ne!(town.browser.script("return document.title"), "run");
    assert_eq!(town.browser.script("return document.images.length"), 1, "the page's own");
    town.is_clean();
}
