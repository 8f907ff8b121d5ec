//! OTLP: what OpenTelemetry SDKs send over HTTP on port 4318 and over gRPC on port 4317, where settings ask for it. Only spans are received.
//!
//! It shares memory, queue and counters with the trace agent: both together take no more than that alone. Beside those, a decoded request takes at most
//! [`crate::process::otlp::decode::MAX_DECODED_BYTES`], one at a time, and the spans of one of its traces as much again; and each port has as many connections as the trace agent at most, of which one
//! that speaks HTTP/2 keeps up to 1 MiB that nobody has read yet.
//!
//! One of two variants is compiled, selected by the switch `otlp`.

#[cfg(not(feature = "otlp"))]
mod disabled;
#[cfg(feature = "otlp")]
mod enabled;

#[cfg(not(feature = "otlp"))]
pub use disabled::Listeners;
#[cfg(feature = "otlp")]
pub use enabled::Listeners;

use crate::config::Otlp;

/// The ports that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ports {
    http: Option<u16>,
    grpc: Option<u16>,
}

impl Ports {
    /// Those of the settings. The host of an endpoint does not count: everything listens on the loopback interface.
    fn of(settings: &Otlp) -> Self {
        let port = |name: &str, endpoint: &Option<String>, default| {
            let endpoint = endpoint.as_deref().filter(|_| settings.traces)?;
            let port = port(endpoint);
            if port.is_none() {
                tracing::error!(
                    "OTLP | DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_{name}_ENDPOINT has no port in it; using {default}"
                );
            }
            Some(port.unwrap_or(default))
        };
        Self { http: port("HTTP", &settings.http_endpoint, 4318), grpc: port("GRPC", &settings.grpc_endpoint, 4317) }
    }
}

/// What follows the last colon, before any path.
fn port(endpoint: &str) -> Option<u16> {
    let (_, host) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let address = host.split('/').next().unwrap_or_default();
    address.rsplit(':').next()?.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_of_an_endpoint_counts() {
        for (endpoint, expected) in [
            ("localhost:4318", Some(4318)),
            ("0.0.0.0:5000", Some(5000)),
            ("http://localhost:6000", Some(6000)),
            ("http://localhost:6000/v1/traces", Some(6000)),
            ("[::1]:7000", Some(7000)),
            ("8000", Some(8000)),
            ("localhost", None),
            ("localhost:", None),
            ("localhost:0", None),
            ("localhost:99999", None),
            ("http://localhost", None),
        ] {
            assert_eq!(port(endpoint), expected, "{endpoint}");
        }
    }

    #[test]
    fn nothing_listens_unless_an_endpoint_is_set_and_traces_are_on() {
        let none = Ports { http: None, grpc: None };
        assert_eq!(Ports::of(&Otlp::default()), none);
        let both = Otlp {
            http_endpoint: Some("localhost:1".to_owned()),
            grpc_endpoint: Some("anywhere".to_owned()),
            ..Otlp::default()
        };
        assert_eq!(Ports::of(&both), Ports { http: Some(1), grpc: Some(4317) });
        assert_eq!(Ports::of(&Otlp { traces: false, ..both }), none);
    }
}
