//! The log lines that CloudWatch shows for platform events, so that customers find the same text in Datadog.

use super::{Log, Status};
use crate::process::event::{self, InitStart, InvocationStart, Report, ReportMetrics, RuntimeDone, Timestamp};

/// The line `INIT_START …`, without a request id.
pub fn init_start(event: &InitStart, time: Timestamp) -> Log {
    let known = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).unwrap_or("?").to_owned();
    let message = format!(
        "INIT_START Runtime Version: {} Runtime Version ARN: {}",
        known(&event.runtime_version),
        known(&event.runtime_version_arn)
    );
    Log { message, status: Status::Info, time, request_id: None, tags: None, execution: None }
}

/// The line `START …`.
pub fn start(event: &InvocationStart, time: Timestamp) -> Log {
    let version = event.version.as_deref().unwrap_or("$LATEST");
    let message = format!("START RequestId: {} Version: {version}", event.request_id);
    Log { message, status: Status::Info, time, request_id: Some(event.request_id.clone()), tags: None, execution: None }
}

/// The line `END …`, with the error if the invocation failed.
pub fn runtime_done(event: &RuntimeDone, time: Timestamp) -> Log {
    let mut message = format!("END RequestId: {}", event.request_id);
    let mut status = Status::Info;
    match (event.status, &event.error_type) {
        (event::Status::Timeout, _) => {
            status = Status::Error;
            if let Some(duration_ms) = event.metrics.duration_ms {
                message += &format!(" Task timed out after {:.2} seconds", duration_ms / 1000.0);
            }
        }
        (event::Status::Error | event::Status::Failure, _) | (event::Status::Unknown, Some(_)) => {
            status = Status::Error;
            message += &format!(" Task failed: \"{}\"", event.error_type.as_deref().unwrap_or_default());
        }
        (event::Status::Success | event::Status::Unknown, _) => {}
    }
    Log { message, status, time, request_id: Some(event.request_id.clone()), tags: None, execution: None }
}

/// The line `REPORT …`, with durations and memory. `runtime_ms` is the duration in `platform.runtimeDone`, if that event was received.
pub fn report(event: &Report, runtime_ms: Option<f64>, time: Timestamp) -> Log {
    let metrics = &event.metrics;
    let on_demand = [metrics.billed_duration_ms, metrics.memory_size_mb, metrics.max_memory_used_mb];
    let message = format!("REPORT RequestId: {}", event.request_id);
    let (message, status) = if on_demand.iter().any(Option::is_some) {
        (message + &bill(metrics, runtime_ms), Status::Info)
    } else {
        let duration = metrics.duration_ms.map(|duration| format!(" Runtime Duration: {duration:.2} ms"));
        let outcome = outcome(event);
        let status = if outcome.is_empty() { Status::Info } else { Status::Error };
        (message + &duration.unwrap_or_default() + &outcome, status)
    };
    Log { message, status, time, request_id: Some(event.request_id.clone()), tags: None, execution: None }
}

/// The measurements in the line of an on-demand function.
fn bill(metrics: &ReportMetrics, runtime_ms: Option<f64>) -> String {
    let mut bill = String::new();
    if let Some(duration) = metrics.duration_ms {
        let post_runtime = runtime_ms.map_or(0.0, |runtime| (duration - runtime).max(0.0));
        bill += &format!(
            " Duration: {duration:.2} ms Runtime Duration: {:.2} ms Post Runtime Duration: {post_runtime:.2} ms",
            runtime_ms.unwrap_or_default()
        );
    }
    if let Some(billed) = metrics.billed_duration_ms {
        bill += &format!(" Billed Duration: {billed} ms");
    }
    if let Some(size) = metrics.memory_size_mb {
        bill += &format!(" Memory Size: {size} MB");
    }
    if let Some(used) = metrics.max_memory_used_mb {
        bill += &format!(" Max Memory Used: {used} MB");
    }
    if let Some(init) = metrics.init_duration_ms {
        bill += &format!(" Init Duration: {init:.2} ms");
    }
    bill
}

/// The error in the line of a managed instance; empty if the invocation succeeded or its outcome is unknown.
fn outcome(event: &Report) -> String {
    match (event.status, &event.error_type) {
        (event::Status::Success, _) | (event::Status::Unknown, None) => String::new(),
        (event::Status::Timeout, _) => event.metrics.duration_ms.map_or_else(
            || " Task timed out".to_owned(),
            |duration| format!(" Task timed out after {:.2} seconds", duration / 1000.0),
        ),
        (_, Some(error_type)) => format!(" Task failed: {error_type}"),
        (_, None) => " Task failed with an unknown error".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::event::RuntimeMetrics;

    fn done(status: event::Status, error_type: Option<&str>, measured: bool) -> Log {
        let metrics = RuntimeMetrics { duration_ms: measured.then_some(1234.5), produced_bytes: None };
        let error_type = error_type.map(str::to_owned);
        runtime_done(&RuntimeDone { request_id: "r".into(), status, error_type, metrics, spans: vec![] }, 1)
    }

    #[test]
    fn init_start_says_what_it_knows() {
        assert_eq!(
            init_start(&InitStart::default(), 1).message,
            "INIT_START Runtime Version: ? Runtime Version ARN: ?"
        );
        let known = InitStart { runtime_version: Some("v".to_owned()), runtime_version_arn: Some("a".to_owned()) };
        assert_eq!(init_start(&known, 1).message, "INIT_START Runtime Version: v Runtime Version ARN: a");
    }

    #[test]
    fn start_defaults_to_the_latest_version() {
        let log = start(&InvocationStart { request_id: "r".into(), version: None }, 1);
        assert_eq!(log.message, "START RequestId: r Version: $LATEST");
        assert_eq!(log.request_id, Some("r".into()));
    }

    #[test]
    fn shutdown_line_lists_losses() {
        let told = |log: Log| (log.message, log.status);
        assert_eq!(told(done(event::Status::Success, None, true)), ("END RequestId: r".to_owned(), Status::Info));
        assert_eq!(
            told(done(event::Status::Timeout, None, true)),
            ("END RequestId: r Task timed out after 1.23 seconds".to_owned(), Status::Error)
        );
        assert_eq!(
            told(done(event::Status::Error, Some("Runtime.ExitError"), false)),
            ("END RequestId: r Task failed: \"Runtime.ExitError\"".to_owned(), Status::Error)
        );
        assert_eq!(
            told(done(event::Status::Failure, None, true)),
            ("END RequestId: r Task failed: \"\"".to_owned(), Status::Error)
        );
        assert_eq!(told(done(event::Status::Unknown, None, true)), ("END RequestId: r".to_owned(), Status::Info));
        assert_eq!(
            told(done(event::Status::Unknown, Some("E"), true)),
            ("END RequestId: r Task failed: \"E\"".to_owned(), Status::Error)
        );
        assert_eq!(told(done(event::Status::Timeout, None, false)), ("END RequestId: r".to_owned(), Status::Error));
    }

    #[test]
    fn the_report_line_on_demand_and_on_managed_instances() {
        let metrics = ReportMetrics {
            duration_ms: Some(12.5),
            billed_duration_ms: Some(13.0),
            memory_size_mb: Some(128.0),
            max_memory_used_mb: Some(90.0),
            init_duration_ms: Some(99.999),
        };
        let mut event =
            Report { request_id: "r".into(), status: event::Status::Success, error_type: None, metrics, spans: vec![] };
        assert_eq!(
            report(&event, Some(10.25), 1).message,
            "REPORT RequestId: r Duration: 12.50 ms Runtime Duration: 10.25 ms Post Runtime Duration: 2.25 ms Billed Duration: 13 ms \
             Memory Size: 128 MB Max Memory Used: 90 MB Init Duration: 100.00 ms"
        );
        assert!(
            report(&event, Some(12.75), 1).message.contains("Post Runtime Duration: 0.00 ms"),
            "a timeout ends the invocation before Lambda has measured the runtime's end"
        );
        event.metrics.duration_ms = None;
        event.metrics.max_memory_used_mb = None;
        assert_eq!(
            report(&event, Some(10.25), 1).message,
            "REPORT RequestId: r Billed Duration: 13 ms Memory Size: 128 MB Init Duration: 100.00 ms"
        );
        event.metrics = ReportMetrics { duration_ms: Some(1500.0), ..ReportMetrics::default() };
        let of_managed = |event: &Report| {
            let log = report(event, None, 1);
            let rest = log.message.strip_prefix("REPORT RequestId: r Runtime Duration: 1500.00 ms").unwrap().to_owned();
            (rest, log.status)
        };
        assert_eq!(of_managed(&event), (String::new(), Status::Info));
        event.status = event::Status::Timeout;
        assert_eq!(of_managed(&event), (" Task timed out after 1.50 seconds".to_owned(), Status::Error));
        event.status = event::Status::Error;
        assert_eq!(of_managed(&event), (" Task failed with an unknown error".to_owned(), Status::Error));
        event.error_type = Some("E".to_owned());
        assert_eq!(of_managed(&event), (" Task failed: E".to_owned(), Status::Error));
        event.status = event::Status::Unknown;
        assert_eq!(of_managed(&event), (" Task failed: E".to_owned(), Status::Error));
        event.error_type = None;
        assert_eq!(of_managed(&event), (String::new(), Status::Info));
    }
}
