//! Datadog's own libraries for functions, as customers put them around their handlers.

use std::time::Duration;

use matrix::sandbox::Setup;

use crate::support::{Life, live, python_through, request_id, setup_with, text};

const HANDLER: &str = r#"
import logging
from datadog_lambda.metric import lambda_metric

def handler(event, context):
    logging.getLogger().warning("order %s", event)
    lambda_metric("shop.orders", 2, tags=["store:berlin"])
    return event
"#;

fn with_datadog_lambda(variables: &[(&str, &str)]) -> Life {
    let directory = tempfile::tempdir().unwrap();
    // The tracer is a dependency of the library's, which takes any version of it.
    std::fs::write(directory.path().join("requirements.txt"), "datadog-lambda==8.130.0\nddtrace==4.16.0\n").unwrap();
    let function = python_through(&directory, HANDLER, "datadog_lambda.handler.handler");
    let own = [("DD_LAMBDA_HANDLER", "function.handler"), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let setup = setup_with(function, &[&own, variables].concat());
    live(Setup { timeout: Duration::from_secs(30), ..setup }, 3)
}

/// The tracer has nobody to send to yet, which is its own affair.
#[test]
fn a_function_wrapped_by_datadog_lambda_is_counted_once_and_its_metrics_arrive() {
    for variables in [&[("DD_TRACE_ENABLED", "false")][..], &[]] {
        let life = with_datadog_lambda(variables);
        life.assert_unharmed();
        let orders = life.intake.points("shop.orders");
        let sum: f64 = orders.iter().map(|point| point.sum).sum();
        assert!((sum - 6.0).abs() < 1e-9, "{orders:?}\n{}", life.own_lines());
        for tag in ["store:berlin", "functionname:function"] {
            assert!(orders.iter().all(|point| point.tags.contains(&tag.to_owned())), "{tag} in {orders:?}");
        }
        assert_eq!(life.count("invocations"), 3, "the library counts them too\n{}", life.own_lines());
        assert_eq!(life.count("errors"), 0);
        for (number, invocation) in life.invocations.iter().enumerate() {
            let logs = life.intake.logs();
            let line = logs.iter().find(|log| text(log).contains(&format!("order {number}")));
            assert_eq!(line.and_then(request_id), Some(invocation.request_id.as_str()), "{:?}", life.messages());
        }
    }
}
