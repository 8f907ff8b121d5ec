//! What the customer's metrics take while they wait: measured in a process of its own, so that nobody else's memory counts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bottlecap::{aggregate::Contexts, process::dogstatsd::read};

const ENTRIES: usize = 10_000;

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// A metric with tags of its own, as long as they are in practice, and ten values of which each has a bin of its own.
fn line(number: usize) -> String {
    format!(
        "shop.checkout.request.latency:1:2:4:8:16:32:64:128:256:512|d|#customer:customer-{number:08},endpoint:/api/v2/orders,\
         payment:card,status:200,store:berlin-mitte"
    )
}

#[test]
fn ten_thousand_entries_take_at_most_a_kibibyte_each() {
    let lines: Vec<_> = (0..ENTRIES).map(line).collect();
    let mut contexts = Contexts::default();
    let before = resident();
    for line in &lines {
        read(line.as_bytes(), 0, None, |metric| contexts.push(metric));
    }
    let each = resident().saturating_sub(before) / ENTRIES;
    assert_eq!(contexts.take_refused(), 0);
    assert_eq!(contexts.drain().distributions.len(), ENTRIES);
    assert!(each > 100, "{each} bytes cannot be: this measures something else");
    assert!(each <= 1024, "{each} bytes for each of {ENTRIES} entries");
    println!("{each} bytes each");
}
