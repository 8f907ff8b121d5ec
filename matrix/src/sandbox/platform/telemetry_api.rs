//! The Telemetry API, as in "Lambda Telemetry API reference".

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use reqwest::Url;
use serde::Deserialize;

use super::events::{Category, telemetry_subscription};
use super::extensions_api::identify;
use super::router::{ArrivalTime, answer, refusal};
use super::telemetry::{Destination, Subscription};
use super::{Platform, delivery};
use crate::sandbox::faults::Endpoint;
use crate::sandbox::journal::JournalEvent;
use crate::sandbox::setup::Initialization;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SubscriptionRequest {
    schema_version: String,
    types: Vec<String>,
    #[serde(default)]
    buffering: Buffering,
    destination: WantedDestination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Buffering {
    max_items: usize,
    max_bytes: usize,
    timeout_ms: u64,
}

impl Default for Buffering {
    fn default() -> Self {
        Self { max_items: 10_000, max_bytes: 256 * 1024, timeout_ms: 1000 }
    }
}

#[derive(Deserialize)]
struct WantedDestination {
    protocol: String,
    #[serde(rename = "URI", default)]
    uri: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

/// `PUT /telemetry`
pub(crate) async fn subscribe(
    State(platform): State<Arc<Platform>>,
    Extension(arrival): Extension<ArrivalTime>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = match identify(&platform, &headers, Endpoint::Subscribe) {
        Ok(id) => id,
        Err(response) => return *response,
    };
    if !platform.setup.delivery.supported {
        return refusal(StatusCode::ACCEPTED, "Telemetry.NotSupported", "Telemetry API is not supported");
    }
    let (open, name) = {
        let state = platform.lock();
        let agent = state.agents.iter().find(|agent| agent.id == id);
        (state.subscription_open, agent.map(|agent| agent.name.clone()).unwrap_or_default())
    };
    if !open {
        let message = "Telemetry API subscription is closed";
        return platform.forbid(Endpoint::Subscribe, "Telemetry.SubscriptionClosed", message);
    }
    let managed = platform.setup.initialization == Initialization::ManagedInstances;
    let subscription = match understand(&name, managed, &body) {
        Ok(subscription) => subscription,
        Err(message) => {
            let error_type = "ValidationError".to_owned();
            platform.journal.write(JournalEvent::Refused { endpoint: Endpoint::Subscribe, error_type });
            return refusal(StatusCode::BAD_REQUEST, "ValidationError", &message);
        }
    };
    if platform.telemetry.has_subscriber(&name) {
        let message = "the extension has subscribed already";
        return platform.forbid(Endpoint::Subscribe, "Telemetry.AlreadySubscribed", message);
    }
    platform.journal.write_at(arrival.0, JournalEvent::Subscribed { name: name.clone() });
    let types = subscription.types.clone();
    platform.telemetry.subscribe(subscription, |subscriber| {
        tokio::spawn(delivery::deliver(Arc::clone(&platform), subscriber)).abort_handle()
    });
    platform.telemetry.emit("platform.telemetrySubscription", telemetry_subscription(&name, &types));
    answer(StatusCode::OK, "\"OK\"".to_owned())
}

/// Parses a subscription. Returns an error that says what is invalid.
fn understand(name: &str, managed: bool, body: &[u8]) -> Result<Subscription, String> {
    let wanted: SubscriptionRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let versions: &[&str] = if managed { &["2025-01-29"] } else { &["2022-07-01", "2022-12-13", "2025-01-29"] };
    if !versions.contains(&wanted.schema_version.as_str()) {
        return Err(format!("schemaVersion {} is not supported here", wanted.schema_version));
    }
    if wanted.types.is_empty() {
        return Err("types should not be empty".to_owned());
    }
    if let Some(unknown) = wanted.types.iter().find(|name| Category::of(name).is_none()) {
        return Err(format!("type {unknown} is unknown"));
    }
    let Buffering { max_items, max_bytes, timeout_ms } = wanted.buffering;
    if !(1000..=10_000).contains(&max_items) {
        return Err("maxItems must be 1000..=10000".to_owned());
    }
    if !(262_144..=1_048_576).contains(&max_bytes) {
        return Err("maxBytes must be 262144..=1048576".to_owned());
    }
    if !(25..=30_000).contains(&timeout_ms) {
        return Err("timeoutMs must be 25..=30000".to_owned());
    }
    let destination = destination(&wanted.destination)?;
    let timeout = Duration::from_millis(timeout_ms);
    Ok(Subscription { name: name.to_owned(), destination, types: wanted.types, max_items, max_bytes, timeout })
}

fn destination(wanted: &WantedDestination) -> Result<Destination, String> {
    match (wanted.protocol.as_str(), &wanted.uri, wanted.port) {
        ("HTTP", Some(uri), _) => {
            let mut url = Url::parse(uri).map_err(|error| format!("URI {uri}: {error}"))?;
            if !matches!(url.host_str(), Some("sandbox" | "sandbox.localdomain")) {
                return Err("the host of the URI must be sandbox.localdomain".to_owned());
            }
            match url.port() {
                None => return Err("URI port is not provided".to_owned()),
                Some(9001) => return Err("port 9001 is reserved".to_owned()),
                Some(_) => {}
            }
            url.set_host(Some("127.0.0.1")).map_err(|error| error.to_string())?;
            Ok(Destination::Http(url.into()))
        }
        ("TCP", _, Some(9001)) => Err("port 9001 is reserved".to_owned()),
        ("TCP", _, Some(port)) => Ok(Destination::Tcp(port)),
        _ => Err("the destination must be HTTP with a URI or TCP with a port".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wanted(change: impl FnOnce(&mut Value)) -> Result<Subscription, String> {
        let mut body = json!({
            "schemaVersion": "2022-12-13",
            "types": ["platform"],
            "buffering": {"maxItems": 1000, "maxBytes": 262_144, "timeoutMs": 25},
            "destination": {"protocol": "HTTP", "URI": "http://sandbox:8999/"},
        });
        change(&mut body);
        understand("a", false, body.to_string().as_bytes())
    }

    #[test]
    fn the_sandbox_host_is_the_loopback_device() {
        let subscription = wanted(|_| {}).unwrap();
        assert_eq!(subscription.destination, Destination::Http("http://127.0.0.1:8999/".to_owned()));
        assert_eq!(subscription.timeout, Duration::from_millis(25));
    }

    #[test]
    fn buffering_defaults_when_absent() {
        let subscription = wanted(|body| body["buffering"] = json!({})).unwrap();
        assert_eq!((subscription.max_items, subscription.max_bytes), (10_000, 262_144));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let buffering = |name: &'static str, value: u64| wanted(move |body| body["buffering"][name] = json!(value));
        for (name, values) in
            [("maxItems", [999, 10_001]), ("maxBytes", [262_143, 1_048_577]), ("timeoutMs", [24, 30_001])]
        {
            for value in values {
                assert!(buffering(name, value).unwrap_err().contains(name));
            }
        }
        assert!(wanted(|body| body["types"] = json!([])).is_err());
        assert!(wanted(|body| body["types"] = json!(["logs"])).is_err());
        assert!(wanted(|body| body["schemaVersion"] = json!("2021-01-01")).is_err());
        assert!(wanted(|body| body["destination"]["URI"] = json!("http://sandbox/")).is_err());
        assert!(wanted(|body| body["destination"]["URI"] = json!("http://example.com:80/")).is_err());
    }

    #[test]
    fn managed_instances_speak_one_schema_only() {
        let body = br#"{"schemaVersion":"2022-12-13","types":["platform"],
            "destination":{"protocol":"HTTP","URI":"http://sandbox:1/"}}"#;
        assert!(understand("a", true, body).is_err());
        assert!(understand("a", false, body).is_ok());
    }
}
