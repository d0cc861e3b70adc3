//! What a request asks for: the call, the version, the parameters. It must never look at what is
//! stored.

use crate::errors::ApiError;
use crate::form::{self, Form};
use crate::ops::Write;
use crate::wire::Request;

/// The calls that exist here.
pub enum Route {
    List,
    Search,
    Retrieve(String),
    Write(Write),
    Events,
    Event(String),
}

/// Which call this is.
pub fn route(request: &Request) -> Result<Route, ApiError> {
    let Request { method, path, .. } = request;
    let unknown = || ApiError::unknown_url(method, path);
    let rest = path.strip_prefix("/v1/").ok_or_else(unknown)?;
    let (collection, id) = match rest.split_once('/') {
        Some((collection, id)) => (collection, Some(id)),
        None => (rest, None),
    };
    let id = match id {
        Some(id) if id.is_empty() || id.contains('/') => return Err(unknown()),
        Some(id) => Some(form::decode(id.replace('+', "%2B").as_bytes())?),
        None => None,
    };
    match (method.as_str(), collection, id) {
        ("GET", "customers", None) => Ok(Route::List),
        ("GET", "customers", Some(id)) if id == "search" => Ok(Route::Search),
        ("GET", "customers", Some(id)) => Ok(Route::Retrieve(id)),
        ("POST", "customers", None) => Ok(Route::Write(Write::Create)),
        ("POST", "customers", Some(id)) => Ok(Route::Write(Write::Update(id))),
        ("DELETE", "customers", Some(id)) => Ok(Route::Write(Write::Delete(id))),
        ("GET", "events", None) => Ok(Route::Events),
        ("GET", "events", Some(id)) => Ok(Route::Event(id)),
        (_, _, _) => Err(unknown()),
    }
}

/// `2026-10-28.endive`: a date, perhaps with a name.
pub fn check_version(request: &Request) -> Result<(), ApiError> {
    let Some(version) = request.header("stripe-version") else { return Ok(()) };
    let date = version.split('.').next().unwrap_or_default();
    let shape = date.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b });
    if shape.eq(*b"0000-00-00") {
        return Ok(());
    }
    Err(ApiError::invalid(format!("Invalid Stripe API version: {version}")))
}

/// The parameters, from the query and the body.
pub fn decode(request: &Request) -> Result<Form, ApiError> {
    let mut form = Form::default();
    form.add(request.query.as_bytes())?;
    if request.body.is_empty() {
        return Ok(form);
    }
    let kind = request.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(ApiError::invalid(
            "Invalid request (check that your POST content type is \
             application/x-www-form-urlencoded). If you have any questions, we can help at \
             https://support.stripe.com/.",
        ));
    }
    form.add(&request.body)?;
    Ok(form)
}
