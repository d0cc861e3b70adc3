//! Stripe's errors: status, type, code, message, param, and the JSON they are shown in. It must
//! never put a key or a secret into a message.

use serde_json::{Map, Value, json};

/// An error as Stripe's API answers it.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub status: u16,
    pub kind: &'static str,
    pub code: Option<String>,
    pub message: String,
    pub param: Option<String>,
    /// `Stripe-Rate-Limited-Reason`, on 429 only.
    pub reason: Option<String>,
    /// `Stripe-Should-Retry`, where Stripe is explicit.
    pub should_retry: Option<bool>,
}

impl ApiError {
    pub fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            message: message.into(),
            param: None,
            reason: None,
            should_retry: None,
        }
    }

    /// 400, the request itself is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// 404, or 400 where a parameter (a cursor) names what is missing.
    pub fn missing(status: u16, what: &str, id: &str, param: &str) -> Self {
        Self::new(status, "invalid_request_error", format!("No such {what}: '{id}'"))
            .code("resource_missing")
            .param(param)
    }

    pub fn unknown_url(method: &str, path: &str) -> Self {
        Self::new(
            404,
            "invalid_request_error",
            format!(
                "Unrecognized request URL ({method}: {path}). Please see \
                 https://stripe.com/docs or we can help at https://support.stripe.com/."
            ),
        )
    }

    pub fn empty(param: &str) -> Self {
        Self::invalid(format!(
            "You passed an empty string for '{param}'. We assume empty values are an attempt to \
             unset a parameter; however '{param}' cannot be unset. You should remove '{param}' \
             from your request or supply a non-empty value."
        ))
        .code("parameter_invalid_empty")
        .param(param)
    }

    pub fn missing_param(param: &str) -> Self {
        Self::invalid(format!("Missing required param: {param}."))
            .code("parameter_missing")
            .param(param)
    }

    pub fn integer(param: &str, value: &str) -> Self {
        Self::invalid(format!("Invalid integer: {value}"))
            .code("parameter_invalid_integer")
            .param(param)
    }

    pub fn rate_limited(reason: &str) -> Self {
        let mut error = Self::new(
            429,
            "invalid_request_error",
            "Request rate limit exceeded. Learn more about rate limits here \
             https://stripe.com/docs/rate-limits.",
        )
        .code("rate_limit");
        error.reason = Some(reason.to_owned());
        error
    }

    pub fn lock_timeout() -> Self {
        Self::new(
            429,
            "invalid_request_error",
            "This object cannot be accessed right now because another API request or Stripe \
             process is currently accessing it. If you see this error intermittently, retry the \
             request. If you see this error frequently and are making multiple concurrent \
             requests to a single object, make your requests serially or at a lower rate.",
        )
        .code("lock_timeout")
        .retry(true)
    }

    pub fn key_in_use(key: &str) -> Self {
        Self::new(
            409,
            "invalid_request_error",
            format!(
                "There is currently another in-progress request using this Idempotent Key \
                 ({key}). Please try again later."
            ),
        )
        .code("idempotency_key_in_use")
        .retry(true)
    }

    pub fn key_reused(key: &str) -> Self {
        Self::new(
            400,
            "idempotency_error",
            format!(
                "Keys for idempotent requests can only be used with the same parameters they \
                 were first used with. Try using a key other than '{key}' if you meant to \
                 execute a different request."
            ),
        )
        .retry(false)
    }

    /// An error a fault asks for, in Stripe's words for that status.
    pub fn fault(status: u16) -> Self {
        match status {
            429 => Self::rate_limited("global-rate"),
            409 => Self::new(409, "invalid_request_error", "The request conflicts with another.")
                .retry(true),
            402 => Self::new(402, "card_error", "The request failed."),
            401 => Self::new(401, "invalid_request_error", "Invalid API Key provided."),
            400..=499 => Self::new(status, "invalid_request_error", "The request was refused."),
            status => Self::new(
                status,
                "api_error",
                "An unexpected error occurred. If this keeps happening, contact support.",
            ),
        }
    }

    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    #[must_use]
    pub fn param(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    #[must_use]
    pub fn retry(mut self, retry: bool) -> Self {
        self.should_retry = Some(retry);
        self
    }

    /// The JSON body; members that are absent are left out, as Stripe leaves them out.
    pub fn body(&self, request_id: &str) -> String {
        let mut error = Map::new();
        if let Some(code) = &self.code {
            error.insert("code".into(), json!(code));
            let page = code.replace('_', "-");
            let url = format!("https://stripe.com/docs/error-codes/{page}");
            error.insert("doc_url".into(), json!(url));
        }
        error.insert("message".into(), json!(self.message));
        if let Some(param) = &self.param {
            error.insert("param".into(), json!(param));
        }
        let log = format!("https://dashboard.stripe.com/test/logs/{request_id}");
        error.insert("request_log_url".into(), json!(log));
        error.insert("type".into(), json!(self.kind));
        let body = json!({ "error": Value::Object(error) });
        crate::pretty(&body)
    }
}
