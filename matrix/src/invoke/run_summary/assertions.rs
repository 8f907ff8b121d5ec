//! The assertions of the command line, such as `--expect-metric`.

use super::{Log, Metric};

/// The demands of a command line.
#[derive(Clone, Debug, Default)]
pub struct Assertions {
    /// Texts that have to occur in a log each.
    pub logs: Vec<String>,
    pub metrics: Vec<MetricAssertion>,
    /// Whether nothing may arrive.
    pub nothing: bool,
}

/// A metric that has to arrive, with its sum, if that is given.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricAssertion {
    pub name: String,
    pub sum: Option<f64>,
}

impl MetricAssertion {
    /// Parses `NAME` or `NAME=VALUE`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, sum) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.parse().map_err(|_| format!("\"{value}\" is not a number"))?)),
            None => (text, None),
        };
        if name.is_empty() {
            Err("write it as NAME or NAME=VALUE".to_owned())
        } else {
            Ok(Self { name: name.to_owned(), sum })
        }
    }

    fn failure(&self, metrics: &[Metric]) -> Option<String> {
        let arrived: Vec<f64> =
            metrics.iter().filter(|metric| metric.name == self.name).map(|metric| metric.sum).collect();
        let Some(sum) = self.sum else {
            return arrived.is_empty().then(|| format!("the metric {} has not arrived", self.name));
        };
        let total: f64 = arrived.iter().sum();
        let tolerance = 1e-6 * sum.abs().max(1.0);
        ((total - sum).abs() > tolerance || arrived.is_empty())
            .then(|| format!("the metric {} adds up to {}, not to {sum}", self.name, total + 0.0))
    }
}

impl Assertions {
    /// The demands that are not met. `requests` is the number of requests at the intake.
    pub(super) fn failures(&self, logs: &[Log], metrics: &[Metric], requests: usize) -> Vec<String> {
        let missing = |text: &&String| !logs.iter().any(|log| log.message.contains(text.as_str()));
        let of_logs = self.logs.iter().filter(missing).map(|text| format!("no log has the text \"{text}\""));
        let of_metrics = self.metrics.iter().filter_map(|metric| metric.failure(metrics));
        let anything =
            (self.nothing && requests > 0).then(|| format!("{requests} requests have arrived, and none was expected"));
        of_logs.chain(of_metrics).chain(anything).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn demands_that_are_not_met_are_named() {
        let metric = |name: &str, sum| Metric {
            name: name.into(),
            kind: "count",
            count: 1,
            sum,
            min: sum,
            max: sum,
            tags: BTreeSet::new(),
        };
        let log = Log {
            timestamp: None,
            status: "info".into(),
            request_id: None,
            span_id: None,
            message: "order 7 created".into(),
        };
        let failures = |logs: &[&str], metrics: &[&str], nothing| {
            let assertions = Assertions {
                logs: logs.iter().map(|text| (*text).to_owned()).collect(),
                metrics: metrics.iter().map(|text| MetricAssertion::parse(text).unwrap()).collect(),
                nothing,
            };
            assertions.failures(std::slice::from_ref(&log), &[metric("orders", 3.0), metric("orders", 0.5)], 2)
        };
        assert!(failures(&["order 7"], &["orders", "orders=3.5"], false).is_empty());
        let all = failures(&["order 8"], &["orders=3", "clicks", "clicks=0"], true);
        assert_eq!(all.len(), 5, "{all:?}");
        assert_eq!(all[1], "the metric orders adds up to 3.5, not to 3");
    }

    #[test]
    fn a_demand_of_a_metric_has_a_name_and_perhaps_a_number() {
        assert_eq!(MetricAssertion::parse("a=1.5"), Ok(MetricAssertion { name: "a".into(), sum: Some(1.5) }));
        assert_eq!(MetricAssertion::parse("a").map(|it| it.sum), Ok(None));
        assert!(MetricAssertion::parse("=1").is_err() && MetricAssertion::parse("a=x").is_err());
    }
}
