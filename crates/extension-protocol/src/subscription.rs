//! What the extension asks of the Telemetry API.

use crate::{Sink, decimal, initialization::Initialization};

/// A telemetry subscription, before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// The port of the telemetry listener.
    pub port: u16,
    /// Whether function and extension lines are wanted beside the platform's events.
    pub logs: bool,
    /// Which schema to speak depends on the kind of environment.
    pub initialization: Initialization,
}

impl Subscription {
    /// Writes the request's body.
    ///
    /// Source: AWS Lambda developer guide, "Telemetry API reference". The buffering is the platform's quickest: batches of at most 1,000 events
    /// or 256 KiB, never held longer than 25 ms, because under the `end` strategy the function's billed time waits for `platform.runtimeDone`.
    pub fn write_body(&self, out: Sink<'_>) {
        let schema = match self.initialization {
            Initialization::ManagedInstances => "2025-01-29",
            _ => "2022-12-13",
        };
        let types = if self.logs { r#""platform","extension","function""# } else { r#""platform""# };
        out(r#"{"schemaVersion":""#);
        out(schema);
        out(r#"","destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:"#);
        decimal::write(u64::from(self.port), out);
        out(r#"/"},"types":["#);
        out(types);
        out(r#"],"buffering":{"maxItems":1000,"maxBytes":262144,"timeoutMs":25}}"#);
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use serde_json::{Value, json};

    use super::*;

    fn body(subscription: Subscription) -> Value {
        let mut text = String::new();
        subscription.write_body(&mut |part| text.push_str(part));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn logs_off_leaves_only_the_platform_stream() {
        let of = |logs| body(Subscription { port: 8999, logs, initialization: Initialization::OnDemand });
        assert_eq!(of(false)["types"], json!(["platform"]));
        assert_eq!(of(true)["types"], json!(["platform", "extension", "function"]));
        assert_eq!(of(true)["destination"], json!({"protocol": "HTTP", "URI": "http://sandbox.localdomain:8999/"}));
        assert_eq!(of(true)["buffering"], json!({"maxItems": 1000, "maxBytes": 262_144, "timeoutMs": 25}));
    }

    #[test]
    fn managed_instances_speak_their_own_schema() {
        let of = |initialization| body(Subscription { port: 1, logs: true, initialization });
        assert_eq!(of(Initialization::ManagedInstances)["schemaVersion"], "2025-01-29");
        assert_eq!(of(Initialization::SnapStart)["schemaVersion"], "2022-12-13");
    }
}
