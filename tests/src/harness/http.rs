//! A few HTTP calls whose answers are JSON.

use serde_json::Value as Json;

/// A status and its JSON body (null when there is none, a string when it is no JSON).
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Json,
    pub headers: Vec<(String, String)>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(std::time::Duration::from_secs(30)))
        .build()
        .into()
}

/// One request; `None` when nobody answers.
pub fn call(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Option<Reply> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let agent = agent();
    let answer = match body {
        Some(body) => agent.run(request.body(body).ok()?),
        None => agent.run(request.body(()).ok()?),
    };
    let mut answer = answer.ok()?;
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().ok()?;
    let body = if text.is_empty() {
        Json::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Json::String(text))
    };
    Some(Reply { status, body, headers })
}

/// A request that must be answered.
///
/// # Panics
/// When nobody answers.
pub fn ask(method: &str, url: &str, body: Option<&Json>) -> Reply {
    let text = body.map(Json::to_string);
    let content = [("content-type", "application/json")];
    let headers: &[(&str, &str)] = if body.is_some() { &content } else { &[] };
    call(method, url, headers, text.as_deref().map(str::as_bytes))
        .unwrap_or_else(|| panic!("no answer: {method} {url}"))
}

/// One call of Stripe's API with another key than the programs': a person's.
///
/// # Panics
/// When nobody answers.
pub fn as_person(method: &str, url: &str, form: &str) -> Reply {
    let headers = [
        ("authorization", "Bearer sk_test_person"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = (method == "POST").then_some(form.as_bytes());
    call(method, url, &headers, body).unwrap_or_else(|| panic!("no answer: {method} {url}"))
}
