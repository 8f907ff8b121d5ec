//! What the customer's metrics take while they wait. Each number is taken in a process of its own, so that nobody else's memory counts.

use std::process::Command;

use bottlecap::{
    aggregate::{Contexts, contexts::MAX_BUCKETS},
    process::dogstatsd::read,
};

use super::{
    Effort,
    page::{Section, count},
};

/// Asks this program to be the process that is measured.
pub const FLAG: &str = "--contexts=";

/// Measures memory at a rising number of contexts.
pub fn measure(effort: Effort) -> Section {
    let all = [1_000, 2_500, 5_000, 10_000, 20_000, 100_000];
    Section {
        title: "Memory of metrics",
        about: format!(
            "Distributions with five tags and ten values of which each has a bin of its own, as they wait for a flush: what the process has grown by. At most \
             {} combinations of name, tags and ten seconds wait, and together they take at most 10 MiB; what is more is refused and counted.",
            count(MAX_BUCKETS as f64)
        ),
        columns: vec!["contexts offered", "kept", "refused", "KiB in all", "bytes each"],
        rows: all[..effort.of(all.len(), 2)].iter().map(|offered| row(*offered)).collect(),
    }
}

fn row(offered: usize) -> Vec<String> {
    let child = Command::new(std::env::current_exe().unwrap()).arg(format!("{FLAG}{offered}")).output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let told = String::from_utf8(child.stdout).unwrap();
    let [kept, refused, grown]: [usize; 3] =
        told.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap();
    let columns = [offered, kept, refused, grown >> 10, grown / kept];
    columns.map(|each| count(each as f64)).to_vec()
}

/// In a process of its own: takes so many in and says what has become of them, and by how many bytes the process has grown.
pub fn child(offered: usize) {
    let lines: Vec<_> = (0..offered).map(line).collect();
    let mut contexts = Contexts::default();
    let before = resident();
    for line in &lines {
        read(line.as_bytes(), 0, None, |metric| contexts.push(metric));
    }
    let grown = resident().saturating_sub(before);
    let refused = contexts.take_dropped();
    println!("{} {refused} {grown}", contexts.drain().distributions.len());
}

fn line(number: usize) -> String {
    format!(
        "shop.checkout.request.latency:1:2:4:8:16:32:64:128:256:512|d|#customer:customer-{number:08},endpoint:/api/v2/orders,\
         payment:card,status:200,store:berlin-mitte"
    )
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
