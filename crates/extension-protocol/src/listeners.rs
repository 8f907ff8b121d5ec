//! The sockets that listen before the agent is there: the launcher binds them, and hands them over to the agent.
//!
//! Another service joins by a variant of [`Service`] and a row of [`LISTENERS`]; both programs take it from there.

use core::net::Ipv4Addr;

/// The environment variable with the address at which the Lambda Web Adapter expects a proxy in front of the Runtime API, through which it registers, too. Its address is a
/// setting, so the proxy has no row in [`LISTENERS`].
pub const WEB_ADAPTER_PROXY: &str = "AWS_LWA_LAMBDA_RUNTIME_API_PROXY";

/// The service behind a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Lambda sends telemetry.
    Telemetry,
    /// The function sends metrics.
    DogStatsd,
    /// Tracers send spans, statistics and proxied data.
    TraceAgent,
    /// Tracers report the start and the end of each invocation.
    Lifecycle,
}

/// Address, port and kind of a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    pub service: Service,
    /// Its name in the handover.
    pub key: &'static str,
    pub transport: Transport,
    pub address: Ipv4Addr,
    pub port: u16,
    /// Whether any other port serves as well where this one is taken.
    pub any_port: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

/// In the order of [`Service`].
pub const LISTENERS: [Listener; 4] = [
    // Lambda reaches it as `sandbox.localdomain`, which is not loopback; the subscription names the port.
    Listener {
        service: Service::Telemetry,
        key: "telemetry",
        transport: Transport::Tcp,
        address: Ipv4Addr::UNSPECIFIED,
        port: 8999,
        any_port: true,
    },
    // The libraries in the function know this port only.
    Listener {
        service: Service::DogStatsd,
        key: "dogstatsd",
        transport: Transport::Udp,
        address: Ipv4Addr::UNSPECIFIED,
        port: 8125,
        any_port: false,
    },
    Listener {
        service: Service::TraceAgent,
        key: "trace_agent",
        transport: Transport::Tcp,
        address: Ipv4Addr::LOCALHOST,
        port: 8126,
        any_port: false,
    },
    Listener {
        service: Service::Lifecycle,
        key: "lifecycle",
        transport: Transport::Tcp,
        address: Ipv4Addr::LOCALHOST,
        port: 8124,
        any_port: false,
    },
];

impl Service {
    /// The listening socket of this service.
    #[must_use]
    pub const fn listener(self) -> Listener {
        let [telemetry, dogstatsd, trace_agent, lifecycle] = LISTENERS;
        match self {
            Self::Telemetry => telemetry,
            Self::DogStatsd => dogstatsd,
            Self::TraceAgent => trace_agent,
            Self::Lifecycle => lifecycle,
        }
    }
}

/// The number of the descriptor of each service's socket, where it is bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sockets([Option<i32>; LISTENERS.len()]);

impl Sockets {
    /// The number for a service.
    #[must_use]
    pub fn get(&self, service: Service) -> Option<i32> {
        self.0.get(service as usize).copied().flatten()
    }

    /// Notes the number for a service.
    pub fn set(&mut self, service: Service, number: Option<i32>) {
        if let Some(place) = self.0.get_mut(service as usize) {
            *place = number;
        }
    }

    /// File descriptors of the bound sockets.
    pub fn bound(&self) -> impl Iterator<Item = i32> {
        self.0.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_row_and_keys_and_ports_are_unique() {
        for (at, listener) in LISTENERS.iter().enumerate() {
            assert_eq!(listener.service as usize, at);
            assert_eq!(listener.service.listener(), *listener);
            assert!(!listener.key.contains([' ', '=']));
            for other in &LISTENERS[..at] {
                assert!(other.key != listener.key && other.port != listener.port, "{listener:?}");
            }
        }
    }

    #[test]
    fn a_socket_is_found_under_its_service() {
        let mut sockets = Sockets::default();
        sockets.set(Service::DogStatsd, Some(7));
        assert_eq!((sockets.get(Service::DogStatsd), sockets.get(Service::Telemetry)), (Some(7), None));
        assert!(sockets.bound().eq([7]));
        sockets.set(Service::DogStatsd, None);
        assert_eq!(sockets, Sockets::default());
    }
}
