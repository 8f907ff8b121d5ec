//! When the proxy is started, and where it listens.
//!
//! The environment alone decides: the wrapper script and the Lambda Web Adapter, which send the runtime to the proxy, see nothing else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use extension_protocol::listeners::WEB_ADAPTER_PROXY;

/// The script that starts a managed runtime.
const EXEC_WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";
/// That script of this extension's layer, which sends the runtime to the proxy.
const OUR_WRAPPER: &str = "/opt/datadog_wrapper";
const EXPERIMENTAL: &str = "DD_EXPERIMENTAL_ENABLE_PROXY";

/// Where the proxy listens unless the Lambda Web Adapter is told of another address; the wrapper knows this one only.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9000);

/// A proxy that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub address: SocketAddr,
    /// Whether the runtime is the Lambda Web Adapter, whose invocations nobody else reports.
    pub is_web_adapter: bool,
    /// What is wrong with the variables, for the customer's log.
    pub problem: Option<String>,
}

impl Rules {
    /// Reads the process's variables; None: nobody wants a proxy.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let non_empty = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(text) = non_empty(WEB_ADAPTER_PROXY) {
            return Some(Self::of_web_adapter(&text));
        }
        let is_wanted = non_empty(EXPERIMENTAL).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        (is_wanted && non_empty(EXEC_WRAPPER).as_deref() == Some(OUR_WRAPPER)).then_some(Self {
            address: DEFAULT,
            is_web_adapter: false,
            problem: None,
        })
    }

    fn of_web_adapter(text: &str) -> Self {
        let rules = |address, problem| Self { address, is_web_adapter: true, problem };
        // With a scheme or without, and with a path behind it or without.
        let host = text.split_once("://").map_or(text, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or_default();
        if let Some(port) = host.strip_prefix("localhost:") {
            let address = port.parse().map_or(DEFAULT, |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
            let problem = format!(
                "Cannot use localhost as host in {WEB_ADAPTER_PROXY}, use 127.0.0.1 instead; listening on {address}"
            );
            return rules(address, Some(problem));
        }
        match host.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => rules(address, None),
            _ => rules(
                DEFAULT,
                Some(format!("{WEB_ADAPTER_PROXY}: {text:?} is no IP address with a port; listening on {DEFAULT}")),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Option<Rules> {
        Rules::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    const WRAPPED: (&str, &str) = (EXEC_WRAPPER, OUR_WRAPPER);

    #[test]
    fn the_wrapper_together_with_the_experiment_starts_it_and_neither_alone_does() {
        let expected = Rules { address: DEFAULT, is_web_adapter: false, problem: None };
        for variable in [(EXPERIMENTAL, "true"), (EXPERIMENTAL, "TRUE")] {
            assert_eq!(read(&[WRAPPED, variable]).as_ref(), Some(&expected), "{variable:?}");
            assert_eq!(read(&[variable]), None, "{variable:?} without the wrapper");
            assert_eq!(read(&[(EXEC_WRAPPER, "/opt/other"), variable]), None, "{variable:?} with another wrapper");
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[WRAPPED]), None);
        for variable in [("DD_SERVERLESS_APPSEC_ENABLED", "true"), (EXPERIMENTAL, "1"), (EXPERIMENTAL, "")] {
            assert_eq!(read(&[WRAPPED, variable]), None, "{variable:?}");
        }
    }

    #[test]
    fn proxy_listens_where_the_web_adapter_connects() {
        for (text, address) in [
            ("127.0.0.1:9009", "127.0.0.1:9009"),
            ("http://127.0.0.1:9009", "127.0.0.1:9009"),
            ("http://0.0.0.0:9000/", "0.0.0.0:9000"),
            ("[::1]:9001", "[::1]:9001"),
        ] {
            let rules = read(&[(WEB_ADAPTER_PROXY, text)]).unwrap();
            assert_eq!((rules.address, rules.problem), (address.parse().unwrap(), None), "{text}");
            assert!(rules.is_web_adapter);
        }
        assert_eq!(read(&[(WEB_ADAPTER_PROXY, "")]), None);
    }

    #[test]
    fn unusable_address_warns_and_uses_the_default() {
        for (text, address) in [
            ("localhost:9009", "127.0.0.1:9009"),
            ("http://localhost:9000", "127.0.0.1:9000"),
            ("localhost:x", "127.0.0.1:9000"),
            ("127.0.0.1", "127.0.0.1:9000"),
            ("127.0.0.1:0", "127.0.0.1:9000"),
            ("proxy.internal:9000", "127.0.0.1:9000"),
            ("true", "127.0.0.1:9000"),
        ] {
            let rules = read(&[(WEB_ADAPTER_PROXY, text)]).unwrap();
            assert_eq!(rules.address, address.parse().unwrap(), "{text}");
            assert!(rules.problem.unwrap().contains(WEB_ADAPTER_PROXY), "{text}");
        }
    }
}
