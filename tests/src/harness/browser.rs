//! A real browser without a window, driven by its own driver over HTTP (W3C WebDriver): no more is
//! needed than the system's `chromium` and `chromedriver`. Where they are not, tests are skipped.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::http::call;
use super::{PATIENCE, until};

/// How the programs are called, by those who package them.
const BROWSERS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const DRIVER: &str = "chromedriver";

/// It asks nobody but whom it is sent to.
const FLAGS: [&str; 7] = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// The key of an element's id, as WebDriver has it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser at a time: a small machine has enough to do with one.
static ONE: Mutex<()> = Mutex::new(());

/// A browser with an empty profile; it is gone when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
    profile: TempDir,
    _only: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts one, or prints why the test is skipped.
    pub fn start(test: &str) -> Option<Self> {
        let only = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        match Self::try_start(only) {
            Ok(browser) => Some(browser),
            Err(why) => {
                eprintln!("skipped: {test}: {why}");
                None
            }
        }
    }

    fn try_start(only: MutexGuard<'static, ()>) -> Result<Self, String> {
        let driver = find(&[DRIVER]).ok_or("chromedriver is not installed")?;
        let browser = find(&BROWSERS).ok_or("no Chromium is installed")?;
        let profile = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (driver, address) = start_driver(&driver)?;
        let mut this = Self { driver, session: String::new(), profile, _only: only };
        let mut flags: Vec<_> = FLAGS.iter().map(ToString::to_string).collect();
        flags.push(format!("--user-data-dir={}", this.profile.path().display()));
        if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            // Its sandbox does not work for root.
            flags.push("--no-sandbox".to_owned());
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            // What a page needs is waited for by what it shows; a slow machine is no failure.
            "pageLoadStrategy": "none",
            "goog:chromeOptions": {"args": flags, "binary": browser},
            "goog:loggingPrefs": {"browser": "ALL"}}}});
        let session = format!("{address}/session");
        let body = wanted.to_string();
        let reply =
            call("POST", &session, &[("content-type", "application/json")], Some(body.as_bytes()))
                .ok_or("chromedriver does not answer")?;
        let id = reply.body["value"]["sessionId"].as_str();
        let id =
            id.ok_or_else(|| format!("no browser starts: {}", reply.body["value"]["message"]))?;
        this.session = format!("{session}/{id}");
        this.look_like(1280, 900, "light");
        Ok(this)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Json>) -> Result<Json, String> {
        let text = body.map(Json::to_string);
        let headers = [("content-type", "application/json")];
        let url = format!("{}{path}", self.session);
        let reply = call(method, &url, &headers, text.as_deref().map(str::as_bytes))
            .ok_or_else(|| format!("the driver does not answer {method} {path}"))?;
        let value = reply.body["value"].clone();
        if reply.status == 200 { Ok(value) } else { Err(value["message"].to_string()) }
    }

    fn must(&self, method: &str, path: &str, body: Option<&Json>) -> Json {
        self.ask(method, path, body).unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    /// A screen so many pixels wide and high, by day (`light`) or by night (`dark`).
    pub fn look_like(&self, width: u32, height: u32, scheme: &str) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 600});
        self.tool("Emulation.setDeviceMetricsOverride", &screen);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tool("Emulation.setEmulatedMedia", &media);
    }

    fn tool(&self, command: &str, parameters: &Json) -> Json {
        let body = json!({"cmd": command, "params": parameters});
        self.must("POST", "/goog/cdp/execute", Some(&body))
    }

    pub fn go(&self, url: &str) {
        self.must("POST", "/url", Some(&json!({"url": url})));
    }

    /// Runs a function's body in the page and gives what it returns.
    pub fn script(&self, body: &str) -> Json {
        self.must("POST", "/execute/sync", Some(&json!({"script": body, "args": []})))
    }

    /// An element by a CSS selector, or by an XPath when it begins with `//`. Elements that are
    /// not shown do not count.
    fn element(&self, selector: &str) -> Option<String> {
        let using = if selector.starts_with("//") { "xpath" } else { "css selector" };
        let body = json!({"using": using, "value": selector});
        let found = self.ask("POST", "/elements", Some(&body)).ok()?;
        let ids = found.as_array()?.iter().filter_map(|element| element[ELEMENT].as_str());
        ids.map(str::to_owned).find(|id| {
            self.ask("GET", &format!("/element/{id}/displayed"), None) == Ok(Json::Bool(true))
        })
    }

    pub fn has(&self, selector: &str) -> bool {
        self.element(selector).is_some()
    }

    /// The text of an element as it is shown; `None` when it is not.
    pub fn text(&self, selector: &str) -> Option<String> {
        let id = self.element(selector)?;
        let text = self.ask("GET", &format!("/element/{id}/text"), None).ok()?;
        text.as_str().map(str::to_owned)
    }

    /// Waits until the element shows this text.
    pub fn shows(&self, selector: &str, text: &str) {
        let start = Instant::now();
        loop {
            let shown = self.text(selector);
            if shown.as_ref().is_some_and(|shown| shown.contains(text)) {
                return;
            }
            if start.elapsed() > PATIENCE {
                let page = self.text("body");
                let complaints = self.complaints();
                panic!("{selector} shows {shown:?}, not {text:?}: {complaints:?} {page:?}");
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// Waits for the element and clicks it, as a person would: what covers it gets the click.
    pub fn click(&self, selector: &str) {
        until(&format!("{selector} takes a click"), || {
            let id = self.element(selector)?;
            self.ask("POST", &format!("/element/{id}/click"), Some(&json!({}))).ok().map(|_| ())
        });
    }

    /// Replaces what stands in an input.
    pub fn fill(&self, selector: &str, text: &str) {
        let id = until(&format!("{selector} is there"), || self.element(selector));
        self.must("POST", &format!("/element/{id}/clear"), Some(&json!({})));
        self.must("POST", &format!("/element/{id}/value"), Some(&json!({"text": text})));
    }

    /// Types into whatever has the focus.
    pub fn keys(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        let body = json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]});
        self.must("POST", "/actions", Some(&body));
    }

    /// What the browser has complained of since it was asked last: errors of scripts, refused by
    /// policy, not found.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.must("POST", "/se/log", Some(&json!({"type": "browser"})));
        let entries = log.as_array().into_iter().flatten();
        let bad = entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        bad.map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Ends the browser's processes, which the driver's death would not.
            let _ = self.ask("DELETE", "", None);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let mut files = names.iter().flat_map(|name| folders.iter().map(move |dir| dir.join(name)));
    files.find(|file| file.is_file())
}

/// The driver, and its address, which it says on stdout.
fn start_driver(program: &Path) -> Result<(Child, String), String> {
    let mut command = Command::new(program);
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().map_err(|error| format!("chromedriver: {error}"))?;
    let stdout = driver.stdout.take().ok_or("no stdout")?;
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let port = lines.find_map(|line| {
        let (_, rest) = line.split_once("started successfully on port ")?;
        rest.trim_end_matches('.').parse::<u16>().ok()
    });
    // Read on, so that it never waits for a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    match port {
        Some(port) => Ok((driver, format!("http://127.0.0.1:{port}"))),
        None => {
            let _ = driver.kill();
            let _ = driver.wait();
            Err("chromedriver does not start".to_owned())
        }
    }
}
