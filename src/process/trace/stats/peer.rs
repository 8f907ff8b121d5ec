//! Peer tags: what a span says about the service that it called.

use std::{borrow::Cow, collections::HashSet, net::Ipv6Addr};

/// The tags that name a peer, sorted.
pub(super) const PEER_TAGS: [&str; 43] = [
    "_dd.base_service",
    "active_record.db.vendor",
    "amqp.destination",
    "amqp.exchange",
    "amqp.queue",
    "aws.queue.name",
    "aws.s3.bucket",
    "bucketname",
    "cassandra.keyspace",
    "db.cassandra.contact.points",
    "db.couchbase.seed.nodes",
    "db.hostname",
    "db.instance",
    "db.name",
    "db.namespace",
    "db.system",
    "db.type",
    "dns.hostname",
    "grpc.host",
    "hostname",
    "http.host",
    "http.server_name",
    "messaging.destination",
    "messaging.destination.name",
    "messaging.kafka.bootstrap.servers",
    "messaging.rabbitmq.exchange",
    "messaging.system",
    "mongodb.db",
    "msmq.queue.path",
    "net.peer.name",
    "network.destination.ip",
    "network.destination.name",
    "out.host",
    "peer.hostname",
    "peer.service",
    "queuename",
    "rpc.service",
    "rpc.system",
    "sequel.db.vendor",
    "server.address",
    "streamname",
    "tablename",
    "topicname",
];

/// What stands for an address. Addresses are too many to be told apart.
const BLOCKED: &str = "blocked-ip-address";

/// Addresses that are the same everywhere: the machine itself and metadata services.
const KEPT: [&str; 5] = ["127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "169.254.170.2"];

/// The value of a peer tag as it is aggregated: a list separated by commas, each address in it replaced, equal items once.
pub(super) fn value(text: &str) -> Cow<'_, str> {
    if !text.contains(',') {
        return without_address(text);
    }
    let (mut items, mut known) = (Vec::new(), HashSet::new());
    for item in text.split(',') {
        let item = without_address(item);
        if known.insert(item.clone()) {
            items.push(item);
        }
    }
    Cow::Owned(items.join(","))
}

fn without_address(item: &str) -> Cow<'_, str> {
    let (prefix, rest) = item.split_at(prefix_length(item));
    match address(rest) {
        Some((address, suffix)) if !KEPT.contains(&address) => Cow::Owned([prefix, BLOCKED, suffix].concat()),
        _ => Cow::Borrowed(item),
    }
}

/// `ip-`, or a scheme with two or three slashes.
fn prefix_length(item: &str) -> usize {
    if item.starts_with("ip-") {
        return 3;
    }
    let Some((scheme, rest)) = item.split_once(":/") else { return 0 };
    if !["dnspoll", "ftp", "file", "http", "https"].contains(&scheme) {
        return 0;
    }
    let slashes = rest.bytes().take(2).take_while(|byte| *byte == b'/').count();
    if slashes == 0 { 0 } else { scheme.len() + 2 + slashes }
}

/// The address at the start, and what follows it.
fn address(text: &str) -> Option<(&str, &str)> {
    let separator = text.chars().find(|char| !char.is_ascii_digit())?;
    match separator {
        '.' | '-' | '_' => ipv4(text, separator),
        '[' if text.starts_with('[') => {
            let (host, after) = text.get(1..)?.split_once(']')?;
            host.parse::<Ipv6Addr>().is_ok().then_some((host, after))
        }
        ':' | 'a'..='f' | 'A'..='F' => text.parse::<Ipv6Addr>().is_ok().then_some((text, "")),
        _ => None,
    }
}

/// Four numbers of at most 255 without needless zeros.
fn ipv4(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut rest = text;
    for part in 0..4 {
        if part > 0 {
            rest = rest.strip_prefix(separator)?;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let is_valid = number.parse::<u8>().is_ok() && (digits == 1 || !number.starts_with('0'));
        if !is_valid {
            return None;
        }
        rest = after;
    }
    text.split_at_checked(text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_for_searching() {
        assert!(PEER_TAGS.is_sorted());
    }

    #[test]
    fn addresses_are_blocked_in_every_spelling() {
        for (text, expected) in [
            ("10.1.2.3", "blocked-ip-address"),
            ("10-1-2-3.ec2.internal", "blocked-ip-address.ec2.internal"),
            ("ip-10-1-2-3.ec2.internal", "ip-blocked-ip-address.ec2.internal"),
            ("10_1_2_3", "blocked-ip-address"),
            ("10.1.2.3:9092,10.1.2.4:9092", "blocked-ip-address:9092"),
            ("https://10.1.2.3/x", "https://blocked-ip-address/x"),
            ("file:///10.1.2.3", "file:///blocked-ip-address"),
            ("2001:db8::1", "blocked-ip-address"),
            ("fe80::1", "blocked-ip-address"),
            ("[2001:db8::1]:443", "blocked-ip-address:443"),
            ("10.1.2.3.4", "blocked-ip-address.4"),
            ("a,a,b", "a,b"),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_list_takes_linear_time() {
        let list = (0..200_000).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(value(&list), list);
    }

    #[test]
    fn names_and_addresses_that_are_the_same_everywhere_are_kept() {
        for text in [
            "",
            "db.example.com",
            "127.0.0.1",
            "::1",
            "169.254.169.254",
            "256.1.1.1",
            "01.2.3.4",
            "1.2.3",
            "1.2.3.x",
            "10",
            "ip-name",
            "https://example.com",
            "https:/10.1.2.3",
            "beef",
            "[nonsense]:80",
        ] {
            assert_eq!(value(text), text, "{text}");
        }
    }
}
