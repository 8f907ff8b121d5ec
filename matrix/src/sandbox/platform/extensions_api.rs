//! The Extensions API, as in "Using the Lambda Extensions API to create extensions".

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::agents::{Agent, EventSubscriptions};
use super::router::{ArrivalTime, accepted, answer, refusal};
use super::{Fatal, Platform};
use crate::sandbox::faults::Endpoint;
use crate::sandbox::footprint::Footprint;
use crate::sandbox::journal::JournalEvent;
use crate::sandbox::setup::{Initialization, MAX_EXTENSIONS};

const NAME: &str = "lambda-extension-name";
const FEATURES: &str = "lambda-extension-accept-feature";
const ERROR_TYPE: &str = "lambda-extension-function-error-type";
const IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-identifier");

#[derive(Deserialize)]
struct Registration {
    #[serde(default)]
    events: Vec<String>,
    #[serde(default, rename = "configurationKeys")]
    configuration_keys: Vec<Value>,
}

/// `POST /extension/register`
pub(crate) async fn register(
    State(platform): State<Arc<Platform>>,
    Extension(arrival): Extension<ArrivalTime>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name = text(&headers, NAME);
    match enlist(&platform, name, &body) {
        Ok(agent) => {
            let registered = JournalEvent::Registered { name: name.to_owned(), internal: agent.internal };
            platform.journal.write_at(arrival.0, registered);
            greet(&platform, agent.id, text(&headers, FEATURES))
        }
        Err(Refusal { error_type, message }) => platform.forbid(Endpoint::Register, error_type, &message),
    }
}

struct RegisteredExtension {
    id: Uuid,
    internal: bool,
}

struct Refusal {
    error_type: &'static str,
    message: String,
}

fn refuse<T>(error_type: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { error_type, message: message.into() })
}

fn enlist(platform: &Platform, name: &str, body: &[u8]) -> Result<RegisteredExtension, Refusal> {
    if name.is_empty() {
        return refuse("Extension.InvalidExtensionName", "Empty extension name");
    }
    let registration: Registration = match serde_json::from_slice(body) {
        Ok(registration) => registration,
        Err(error) => return refuse("InvalidRequestFormat", error.to_string()),
    };
    if !registration.configuration_keys.is_empty() {
        return refuse("InvalidRequestFormat", "configurationKeys are deprecated; use environment variables instead");
    }
    let managed = platform.setup.initialization == Initialization::ManagedInstances;
    platform.change(|state| {
        let known = state.agents.iter().position(|agent| agent.name == name);
        let internal = known.and_then(|place| state.agents.get(place)).is_none_or(|agent| agent.internal);
        for event in &registration.events {
            let allowed = match event.as_str() {
                "INVOKE" => !managed,
                "SHUTDOWN" => !internal,
                _ => false,
            };
            if !allowed {
                return refuse("Extension.InvalidEventType", format!("{event}: event is not supported here"));
            }
        }
        if internal && known.is_some() {
            return refuse("Extension.InvalidExtensionState", "Extension with this name already registered");
        }
        if internal && !state.registration_open {
            return refuse("Extension.RegistrationClosed", "Extension registration closed already");
        }
        if internal && state.agents.len() >= MAX_EXTENSIONS {
            return refuse("Extension.TooManyExtensions", format!("Extension limit ({MAX_EXTENSIONS}) reached"));
        }
        if known.is_none() {
            state.agents.push(Agent::new(name, true));
        }
        let Some(agent) = state.agents.iter_mut().find(|agent| agent.name == name) else {
            return refuse("Extension.InvalidExtensionName", "Unknown extension");
        };
        if agent.registered {
            return refuse("Extension.InvalidExtensionState", "Extension is registered already");
        }
        agent.registered = true;
        agent.wants = EventSubscriptions::of(&registration.events);
        Ok(RegisteredExtension { id: agent.id, internal })
    })
}

fn greet(platform: &Platform, id: Uuid, features: &str) -> Response {
    let mut greeting = json!({
        "functionName": platform.setup.function_name,
        "functionVersion": "$LATEST",
        "handler": platform.setup.function.handler(),
    });
    let wants_account = features.split(',').any(|feature| feature.trim() == "accountId");
    if let (true, Some(account), Some(greeting)) = (wants_account, &platform.setup.account_id, greeting.as_object_mut())
    {
        greeting.insert("accountId".to_owned(), json!(account));
    }
    let mut response = answer(StatusCode::OK, greeting.to_string());
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(IDENTIFIER, id);
    }
    response
}

/// `GET /extension/event/next`
pub(crate) async fn next(
    State(platform): State<Arc<Platform>>,
    Extension(arrival): Extension<ArrivalTime>,
    headers: HeaderMap,
) -> Response {
    let id = match identify(&platform, &headers, Endpoint::ExtensionNext) {
        Ok(id) => id,
        Err(response) => return *response,
    };
    let parked = platform.change(|state| {
        let agent = state.agents.iter_mut().find(|agent| agent.id == id)?;
        let first = !agent.ready;
        let event = agent.park(arrival.0)?;
        platform.journal.write_at(arrival.0, JournalEvent::ExtensionNext { name: agent.name.clone() });
        if let (true, true, Some(body)) = (first, platform.setup.footprints, agent.process) {
            let taken = platform.next_breakpoint.as_ref().and_then(|next_breakpoint| next_breakpoint.taken());
            if let Some(footprint) = taken.or_else(|| Footprint::of(body.pid, body.baseline_usage)) {
                let (name, stopped) = (agent.name.clone(), taken.is_some());
                platform.journal.write(JournalEvent::Footprint { name, footprint, stopped });
            }
        }
        Some(event)
    });
    let Some(event) = parked else {
        let message = "A request for the next event is outstanding already";
        return platform.forbid(Endpoint::ExtensionNext, "Extension.InvalidExtensionState", message);
    };
    match event.await {
        Ok(event) => answer(StatusCode::OK, event.to_string()),
        // The environment ended while the extension waited.
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "the environment has ended"),
    }
}

/// `POST /extension/init/error`
pub(crate) async fn init_error(State(platform): State<Arc<Platform>>, headers: HeaderMap) -> Response {
    give_up(&platform, &headers, Endpoint::ExtensionInitError)
}

/// `POST /extension/exit/error`
pub(crate) async fn exit_error(State(platform): State<Arc<Platform>>, headers: HeaderMap) -> Response {
    give_up(&platform, &headers, Endpoint::ExtensionExitError)
}

/// Handles an init or exit error: either one ends the environment.
fn give_up(platform: &Platform, headers: &HeaderMap, endpoint: Endpoint) -> Response {
    let id = match identify(platform, headers, endpoint) {
        Ok(id) => id,
        Err(response) => return *response,
    };
    let error_type = text(headers, ERROR_TYPE).to_owned();
    if error_type.is_empty() {
        return platform.forbid(endpoint, "Extension.MissingHeader", "the type of the error is missing");
    }
    let found = platform.lock().agents.iter().find(|agent| agent.id == id).map(|agent| agent.name.clone());
    let name = found.unwrap_or_default();
    platform.journal.write(JournalEvent::ExtensionError { name: name.clone(), error_type: error_type.clone() });
    platform.fail(Fatal::ExtensionError { name, error_type });
    accepted()
}

/// The id of the registered extension that sent a request.
pub(crate) fn identify(platform: &Platform, headers: &HeaderMap, endpoint: Endpoint) -> Result<Uuid, Box<Response>> {
    let given = text(headers, IDENTIFIER.as_str());
    if given.is_empty() {
        let message = "the header Lambda-Extension-Identifier is missing";
        return Err(Box::new(platform.forbid(endpoint, "Extension.MissingExtensionIdentifier", message)));
    }
    let Ok(id) = Uuid::parse_str(given) else {
        let message = "the header Lambda-Extension-Identifier is no identifier";
        return Err(Box::new(platform.forbid(endpoint, "Extension.InvalidExtensionIdentifier", message)));
    };
    let known = platform.lock().agents.iter().any(|agent| agent.id == id && agent.registered);
    if known {
        return Ok(id);
    }
    Err(Box::new(platform.forbid(endpoint, "Extension.UnknownExtensionIdentifier", "unknown extension")))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
