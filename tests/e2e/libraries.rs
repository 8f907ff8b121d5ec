//! Datadog's own libraries for functions, as customers put them around their handlers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use matrix::sandbox::{Function, Setup, intake::Point};

use crate::{
    node::node_through,
    support::{Life, TRACED_PYTHON, live, python_through, request_id, setup_with, text},
};

const PYTHON: &str = r#"
import logging
from datadog_lambda.metric import lambda_metric

def handler(event, context):
    logging.getLogger().warning("order %s", event)
    lambda_metric("shop.orders", 2, tags=["store:berlin"])
    return event
"#;

const NODE: &str = r#"
const { sendDistributionMetric, sendDistributionMetricWithDate } = require("datadog-lambda-js");

exports.handler = async (event) => {
    console.log(`order ${event}`);
    sendDistributionMetric("shop.orders", 2, "store:berlin");
    sendDistributionMetricWithDate("shop.late", 3, new Date(Number(process.env.ORDERED_AT) * 1000), "store:berlin");
    return event;
};
"#;

/// Three invocations of a function that prints `order <event>` and counts two orders in each, behind a handler of a library's.
fn behind_library(function: Function, variables: &[(&str, &str)]) -> Life {
    let own = [("DD_LAMBDA_HANDLER", "function.handler"), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let setup = setup_with(function, &[&own, variables].concat());
    live(Setup { timeout: Duration::from_secs(30), ..setup }, 3)
}

/// The sum of a metric of the function's, of which every point has its own tags and those of the function.
fn sum(life: &Life, metric: &str) -> f64 {
    let points = life.intake.points(metric);
    for tag in ["store:berlin", "functionname:function"] {
        assert!(points.iter().all(|point| point.tags.contains(&tag.to_owned())), "{tag} in {points:?}");
    }
    points.iter().map(|point| point.sum).sum()
}

fn assert_counted_once(life: &Life) {
    life.assert_unharmed();
    assert!((sum(life, "shop.orders") - 6.0).abs() < 1e-9, "{}", life.own_lines());
    assert_eq!(life.count("invocations"), 3, "the library counts them too\n{}", life.own_lines());
    assert_eq!(life.count("errors"), 0);
    for (number, invocation) in life.invocations.iter().enumerate() {
        let logs = life.intake.logs();
        let line = logs.iter().find(|log| text(log).contains(&format!("order {number}")));
        assert_eq!(line.and_then(request_id), Some(invocation.request_id.as_str()), "{:?}", life.messages());
    }
}

/// With the tracer and without it.
#[test]
fn a_function_wrapped_by_datadog_lambda_is_counted_once_and_its_metrics_arrive() {
    for variables in [&[("DD_TRACE_ENABLED", "false")][..], &[]] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("requirements.txt"), TRACED_PYTHON).unwrap();
        let function = python_through(&directory, PYTHON, "datadog_lambda.handler.handler");
        assert_counted_once(&behind_library(function, variables));
    }
}

/// Without the tracer.
#[test]
fn a_function_wrapped_by_datadog_lambda_js_is_counted_once_and_its_metrics_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let function = node_through(&directory, NODE, "node_modules/datadog-lambda-js/dist/handler.handler");
    // Older ones than of four hours ago are not sent by the library.
    let an_hour_ago = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 3600;
    let variables = [("DD_TRACE_ENABLED", "false"), ("ORDERED_AT", &an_hour_ago.to_string())];
    let life = behind_library(function, &variables);
    assert_counted_once(&life);
    assert!((sum(&life, "shop.late") - 9.0).abs() < 1e-9, "{}", life.own_lines());
    let moments: Vec<i64> = life.intake.points("shop.late").iter().map(|Point { ts, .. }| *ts / 10).collect();
    let ordered = i64::try_from(an_hour_ago).unwrap() / 10;
    assert!(moments.iter().all(|moment| *moment == ordered), "{moments:?}");
}
