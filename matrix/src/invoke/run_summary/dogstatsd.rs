//! Compares what was sent to DogStatsD with the custom metrics that arrived.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Metric;

/// The metrics that the values of a histogram become, below its name, besides percentiles. Source: "Metrics Types", histogram.
const AGGREGATES: [&str; 6] = ["avg", "count", "max", "median", "min", "sum"];

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
struct SentMetric {
    /// The sum of a count, the number of values of a distribution, and 0 for other types, which may be aggregated.
    total: f64,
    is_exact: bool,
    /// Whether it becomes metrics of other names.
    is_histogram: bool,
}

/// The metrics that did not arrive whole. `prefix` is put before every name.
pub(super) fn lost(datagrams: &[Vec<u8>], prefix: &str, metrics: &[Metric]) -> Vec<CustomMetricLoss> {
    let mut sent: BTreeMap<String, SentMetric> = BTreeMap::new();
    for datagram in datagrams {
        for line in String::from_utf8_lossy(datagram).lines() {
            if let Some((name, value)) = parse(line) {
                let all = sent.entry(format!("{prefix}{name}")).or_default();
                all.total += value.total;
                all.is_exact |= value.is_exact;
                all.is_histogram |= value.is_histogram;
            }
        }
    }
    let loss = |(name, sent): (String, SentMetric)| {
        let arrived: Vec<&Metric> = metrics.iter().filter(|metric| is_of(metric, &name, sent)).collect();
        let total = if arrived.iter().any(|metric| metric.kind == "distribution") {
            arrived.iter().map(|metric| f64::from(i32::try_from(metric.count).unwrap_or(i32::MAX))).sum()
        } else {
            arrived.iter().map(|metric| metric.sum).sum::<f64>()
        };
        // More is no loss: a payload may be sent twice, when its answer got lost. The sum of nothing is a negative zero.
        let total = total + 0.0;
        let is_whole = !arrived.is_empty() && (!sent.is_exact || total > sent.total - 0.5);
        (!is_whole).then_some(CustomMetricLoss { name, sent: sent.total, arrived: total })
    };
    sent.into_iter().filter_map(loss).collect()
}

/// Whether a metric is this one, or one of those that a histogram becomes. Others below its name are metrics of their own.
fn is_of(metric: &Metric, name: &str, sent: SentMetric) -> bool {
    let Some(rest) = metric.name.strip_prefix(name) else { return false };
    rest.is_empty() || (sent.is_histogram && rest.strip_prefix('.').is_some_and(is_aggregate))
}

/// Whether a name is that of an aggregate of histograms, such as `avg` or `95percentile`.
fn is_aggregate(name: &str) -> bool {
    let rank = name.strip_suffix("percentile").filter(|rank| !rank.is_empty());
    AGGREGATES.contains(&name) || rank.is_some_and(|rank| rank.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The name of a metric with what was sent. `None` for events, service checks and what is malformed. Source: "DogStatsD Datagram Format and Shell Usage".
fn parse(line: &str) -> Option<(&str, SentMetric)> {
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
        "d" => SentMetric { total: number, is_exact, is_histogram: false },
        "c" => SentMetric { total: values.iter().sum(), is_exact, is_histogram: false },
        "h" | "ms" => SentMetric { is_histogram: true, ..SentMetric::default() },
        "g" | "s" => SentMetric::default(),
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
    fn a_metric_whose_name_begins_with_another_one_is_not_that_one() {
        let sent = ["orders:2|c", "orders.failed:3|c", "queue:1|h", "queue.size:4|g"];
        let siblings = [metric("orders.failed", "count", 1, 3.0), metric("queue.size", "gauge", 1, 4.0)];
        assert_eq!(names(&sent, "", &siblings), ["orders 0/2", "queue 0/0"]);
        let own = ["queue.95percentile", "orders"].map(|name| metric(name, "count", 1, 2.0));
        assert!(names(&sent, "", &[&siblings[..], &own].concat()).is_empty());
        assert_eq!(names(&sent[2..3], "", &[metric("queue.percentile", "gauge", 1, 1.0)]), ["queue 0/0"]);
    }

    #[test]
    fn what_arrives_twice_is_not_lost() {
        assert!(names(&["orders:2|c"], "", &[metric("orders", "count", 2, 4.0)]).is_empty());
    }

    #[test]
    fn what_is_no_metric_is_not_expected() {
        assert!(names(&["_e{1,1}:a|b", "_sc|x|0", "bad name:1|c", "x:|c", "x:1", "x:1|z"], "", &[]).is_empty());
    }
}
