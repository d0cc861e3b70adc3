//! What faults can be asked for: their JSON, their short form, and what is refused as nonsense. See
//! the crate's own page for the meaning.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// No fault may hold a request longer: a client has given up long before.
pub const HOLD_MS_MAX: u64 = 600_000;

/// One rule for requests: where it applies, and what it does.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A prefix of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    pub probability: f64,
    /// So many matching requests pass first.
    pub skip: u64,
    /// How often it acts at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    pub latency_ms: u64,
    pub latency_after_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub after: bool,
    pub store: bool,
    pub lost: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuse: Option<Refuse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub should_retry: Option<bool>,
    /// How often it acted; only shown.
    #[serde(skip_deserializing)]
    pub fired: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            method: None,
            path: None,
            probability: 1.0,
            skip: 0,
            count: None,
            latency_ms: 0,
            latency_after_ms: 0,
            status: None,
            after: false,
            store: false,
            lost: false,
            timeout_ms: None,
            refuse: None,
            code: None,
            message: None,
            reason: None,
            should_retry: None,
            fired: 0,
        }
    }
}

/// The parameter to refuse: its name, or with code and message.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Refuse {
    Name(String),
    Full { param: String, code: Option<String>, message: Option<String> },
}

impl Refuse {
    pub fn param(&self) -> &str {
        match self {
            Self::Name(param) | Self::Full { param, .. } => param,
        }
    }
}

/// Chances (0 to 1) of what happens to a webhook.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookFaults {
    /// Sent twice.
    pub duplicate: f64,
    /// Held back for up to `reorder_ms`, so that later ones come first.
    pub reorder: f64,
    pub reorder_ms: u64,
    /// Held back for `delay_ms`; with `delay_ms` alone, always.
    pub delay: Option<f64>,
    pub delay_ms: u64,
    /// Never sent, as if Stripe had given up; it is still in the list of events.
    pub drop: f64,
}

/// What `POST /_sim/faults` takes and `GET` shows.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    pub requests: Vec<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<WebhookFaults>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_second: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Requests a second that the account may make; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
}

const TOP: [&str; 5] = ["requests", "webhooks", "same_second", "seed", "rate"];

impl Spec {
    /// JSON (a whole spec, one rule, or a list of rules), or `key=value,…` of one rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let value = if text.starts_with(['{', '[']) {
            serde_json::from_str(text).map_err(|e| e.to_string())?
        } else {
            short_form(text)
        };
        let spec: Self = match value {
            Value::Object(map) if map.keys().any(|key| TOP.contains(&key.as_str())) => {
                serde_json::from_value(Value::Object(map)).map_err(|e| e.to_string())?
            }
            Value::Array(rules) => Self {
                requests: serde_json::from_value(Value::Array(rules)).map_err(|e| e.to_string())?,
                ..Self::default()
            },
            rule => Self {
                requests: vec![serde_json::from_value(rule).map_err(|e| e.to_string())?],
                ..Self::default()
            },
        };
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), String> {
        for rule in &self.requests {
            chance("probability", rule.probability)?;
            let held = [Some(rule.latency_ms), Some(rule.latency_after_ms), rule.timeout_ms];
            if held.iter().flatten().any(|ms| *ms > HOLD_MS_MAX) {
                return Err(format!("a request is held for at most {HOLD_MS_MAX} ms"));
            }
            if rule.status.is_some_and(|status| !(400..=599).contains(&status)) {
                return Err("status is 400 to 599".into());
            }
            let ends = usize::from(rule.status.is_some())
                + usize::from(rule.lost)
                + usize::from(rule.timeout_ms.is_some())
                + usize::from(rule.refuse.is_some());
            if ends > 1 {
                return Err("one of status, lost, timeout_ms and refuse to a rule".into());
            }
            if ends == 0 && rule.latency_ms == 0 && rule.latency_after_ms == 0 {
                return Err("the rule does nothing: give status, lost, timeout_ms, refuse, \
                            latency_ms or latency_after_ms"
                    .into());
            }
        }
        if let Some(webhooks) = &self.webhooks {
            chance("duplicate", webhooks.duplicate)?;
            chance("reorder", webhooks.reorder)?;
            chance("delay", webhooks.delay.unwrap_or(0.0))?;
            chance("drop", webhooks.drop)?;
            if webhooks.delay_ms > HOLD_MS_MAX || webhooks.reorder_ms > HOLD_MS_MAX {
                return Err(format!("a webhook is held for at most {HOLD_MS_MAX} ms"));
            }
        }
        Ok(())
    }
}

fn chance(name: &str, value: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{name} is from 0 to 1")) }
}

/// `status=500,after,count=1`, `webhooks,drop=0.1`, `same_second`, `seed=7`, `rate=25`
fn short_form(text: &str) -> Value {
    let (nested, text) = match text.strip_prefix("webhooks,") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut map = Map::new();
    for part in text.split(',') {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) => (key.trim(), scalar(value.trim())),
            None => (part.trim(), Value::Bool(true)),
        };
        map.insert(key.to_owned(), value);
    }
    if nested {
        return serde_json::json!({ "webhooks": map });
    }
    Value::Object(map)
}

fn scalar(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        Ok(_) | Err(_) => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        for spec in [
            "stats=500",
            "status=200",
            "status=500,lost",
            "probability=2,status=500",
            "latency_ms=99999999",
            "method=POST",
            "webhooks,dorp=1",
            "webhooks,drop=7",
            "{",
            "",
        ] {
            assert!(Spec::parse(spec).is_err(), "{spec}");
        }
    }
}
