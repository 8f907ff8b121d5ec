//! The address of Lambda's APIs.

use core::net::{Ipv4Addr, SocketAddrV4};

use extension_protocol::decimal;

/// The address of Lambda's Runtime and Extensions APIs.
#[derive(Clone, Copy)]
pub struct Api<'e> {
    pub address: SocketAddrV4,
    /// The same as the environment has it, which requests name.
    pub host: &'e str,
}

impl<'e> Api<'e> {
    /// None unless it is an IPv4 address and a port: a name needs a resolver, which the agent has.
    pub fn parse(host: &'e str) -> Option<Self> {
        let between = host.bytes().filter(|byte| !byte.is_ascii_digit());
        let mut numbers = host.as_bytes().split(|byte| !byte.is_ascii_digit());
        let mut octets = [0; 4];
        for octet in &mut octets {
            *octet = u8::try_from(number(numbers.next()?)?).ok()?;
        }
        let port = u16::try_from(number(numbers.next()?)?).ok()?;
        between.eq(*b"...:").then(|| Self { address: SocketAddrV4::new(Ipv4Addr::from(octets), port), host })
    }
}

/// A number without leading zeros, which some programs read as octal. The standard library's parser would be a tenth of this program.
fn number(text: &[u8]) -> Option<usize> {
    if text.len() > 1 && text.starts_with(b"0") { None } else { decimal::parse(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_and_a_port_are_one() {
        assert_eq!(Api::parse("169.254.100.1:9001").unwrap().address, "169.254.100.1:9001".parse().unwrap());
        for host in [
            "127.0.0.1:0",
            "0.0.0.0:1",
            "255.255.255.255:65535",
            "",
            "localhost:9001",
            "127.0.0.1",
            "[::1]:9001",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "http://127.0.0.1:1",
            "127.0.0.01:1",
            "256.0.0.1:1",
            "1.2.3:1",
            "1.2.3.4.5:1",
            "1.2.3.:1",
            "+1.2.3.4:1",
        ] {
            assert_eq!(Api::parse(host).map(|api| api.address), host.parse().ok(), "{host}");
        }
    }
}
