//! Compares what was sent to DogStatsD with the custom metrics that arrived.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Metric;

/// A custom metric of which values are missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CustomMetricLoss {
    pub name: String,
    /// The number of values that were sent, or their sum for a count.
    pub sent: f64,
    pub arrived: f64,
}

/// What was sent of a metric.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// The sum of a count, the number of values of a distribution, and 0 for other types, which may be aggregated.
    total: f64,
    is_exact: bool,
}

/// The metrics that did not arrive whole. `prefix` is put before every name.
pub(super) fn lost(datagrams: &[Vec<u8>], prefix: &str, metrics: &[Metric]) -> Vec<CustomMetricLoss> {
    let mut sent: BTreeMap<String, Sent> = BTreeMap::new();
    for datagram in datagrams {
        for line in String::from_utf8_lossy(datagram).lines() {
            if let Some((name, value)) = parse(line) {
                let all = sent.entry(format!("{prefix}{name}")).or_default();
                all.total += value.total;
                all.is_exact |= value.is_exact;
            }
        }
    }
    let loss = |(name, sent): (String, Sent)| {
        let arrived: Vec<&Metric> = metrics.iter().filter(|metric| is_of(metric, &name)).collect();
        let total = if arrived.iter().any(|metric| metric.kind == "distribution") {
            arrived.iter().map(|metric| f64::from(i32::try_from(metric.count).unwrap_or(i32::MAX))).sum()
        } else {
            arrived.iter().map(|metric| metric.sum).sum::<f64>()
        };
        // The sum of nothing is a negative zero.
        let total = total + 0.0;
        let is_whole = !arrived.is_empty() && (!sent.is_exact || (total - sent.total).abs() < 0.5);
        (!is_whole).then_some(CustomMetricLoss { name, sent: sent.total, arrived: total })
    };
    sent.into_iter().filter_map(loss).collect()
}

/// Whether a metric is this one, or one of those that a histogram becomes.
fn is_of(metric: &Metric, name: &str) -> bool {
    metric.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The name of a metric with what was sent. `None` for events, service checks and what is malformed. Source: "DogStatsD Datagram Format and Shell Usage".
fn parse(line: &str) -> Option<(&str, Sent)> {
    let (metric, rest) = line.split_once('|')?;
    let (name, values) = metric.split_once(':')?;
    let is_plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.'));
    if !is_plain || !name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return None;
    }
    let mut fields = rest.split('|');
    let kind = fields.next()?;
    let rate: f64 = fields.find_map(|field| field.strip_prefix('@')).map_or(Some(1.0), |rate| rate.parse().ok())?;
    let values: Vec<f64> = values.split(':').filter_map(|value| value.parse().ok()).collect();
    if values.is_empty() && kind != "s" {
        return None;
    }
    // What was sampled is only about as much.
    let is_exact = (rate - 1.0).abs() < f64::EPSILON;
    let number = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let sent = match kind {
        "d" => Sent { total: number, is_exact },
        "c" => Sent { total: values.iter().sum(), is_exact },
        "g" | "h" | "ms" | "s" => Sent::default(),
        _ => return None,
    };
    Some((name, sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, kind: &'static str, count: i64, sum: f64) -> Metric {
        Metric { name: name.to_owned(), kind, count, sum, min: 0.0, max: 0.0, tags: std::collections::BTreeSet::new() }
    }

    fn names(datagrams: &[&str], prefix: &str, metrics: &[Metric]) -> Vec<String> {
        let datagrams: Vec<Vec<u8>> = datagrams.iter().map(|text| text.as_bytes().to_vec()).collect();
        lost(&datagrams, prefix, metrics)
            .into_iter()
            .map(|loss| format!("{} {}/{}", loss.name, loss.arrived, loss.sent))
            .collect()
    }

    #[test]
    fn every_value_of_a_distribution_and_the_sum_of_a_count_have_to_arrive() {
        let sent = ["orders:1:2|d|#a:b\norders:3|d", "clicks:2|c", "clicks:3|c|#x"];
        let whole = [metric("orders", "distribution", 3, 6.0), metric("clicks", "count", 2, 5.0)];
        assert!(names(&sent, "", &whole).is_empty());
        let part = [metric("orders", "distribution", 2, 3.0)];
        assert_eq!(names(&sent, "", &part), ["clicks 0/5", "orders 2/3"]);
        assert_eq!(names(&sent[1..], "shop.", &whole), ["shop.clicks 0/5"]);
    }

    #[test]
    fn other_types_have_to_arrive_somehow() {
        let sent = ["load:0.5|g", "size:10|h", "users:mary|s", "sampled:1|c|@0.5"];
        let arrived = ["load", "size.avg", "users", "sampled"].map(|name| metric(name, "gauge", 1, 1.0));
        assert!(names(&sent, "", &arrived).is_empty());
        assert_eq!(names(&sent[..1], "", &[metric("loader", "gauge", 1, 1.0)]), ["load 0/0"]);
    }

    #[test]
    fn what_is_no_metric_is_not_expected() {
        assert!(names(&["_e{1,1}:a|b", "_sc|x|0", "bad name:1|c", "x:|c", "x:1", "x:1|z"], "", &[]).is_empty());
    }
}
