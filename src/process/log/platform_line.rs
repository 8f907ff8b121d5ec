//! The lines that CloudWatch shows for the platform's events, so that a log search finds what people know from there.

use super::{Log, Status};
use crate::process::event::{self, InitStart, Report, RuntimeDone, Start, Timestamp};

/// `INIT_START …`; belongs to no request.
pub fn init_start(event: &InitStart, time: Timestamp) -> Log {
    let known = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).unwrap_or("?").to_owned();
    let message = format!(
        "INIT_START Runtime Version: {} Runtime Version ARN: {}",
        known(&event.runtime_version),
        known(&event.runtime_version_arn)
    );
    Log { message, status: Status::Info, time, request_id: None, tags: None, execution: None }
}

/// `START …`.
pub fn start(event: &Start, time: Timestamp) -> Log {
    let version = event.version.as_deref().unwrap_or("$LATEST");
    let message = format!("START RequestId: {} Version: {version}", event.request_id);
    Log { message, status: Status::Info, time, request_id: Some(event.request_id.clone()), tags: None, execution: None }
}

/// `END …`, with what went wrong.
pub fn runtime_done(event: &RuntimeDone, time: Timestamp) -> Log {
    let mut message = format!("END RequestId: {}", event.request_id);
    let mut status = Status::Info;
    match (event.status, &event.metrics) {
        (event::Status::Timeout, metrics) => {
            status = Status::Error;
            if let Some(metrics) = metrics {
                message += &format!(" Task timed out after {:.2} seconds", metrics.duration_ms / 1000.0);
            }
        }
        (event::Status::Error | event::Status::Failure, _) => {
            status = Status::Error;
            message += &format!(" Task failed: \"{}\"", event.error_type.as_deref().unwrap_or_default());
        }
        (event::Status::Success, _) => {}
    }
    Log { message, status, time, request_id: Some(event.request_id.clone()), tags: None, execution: None }
}

/// `REPORT …`; `runtime_ms` is what `platform.runtimeDone` measured, where it was seen.
pub fn report(event: &Report, runtime_ms: Option<f64>, time: Timestamp) -> Log {
    let metrics = &event.metrics;
    let mut status = Status::Info;
    let mut message = format!("REPORT RequestId: {}", event.request_id);
    if let Some(billed) = &metrics.billed {
        let post_runtime = runtime_ms.map_or(0.0, |runtime| metrics.duration_ms - runtime);
        message += &format!(
            " Duration: {:.2} ms Runtime Duration: {:.2} ms Post Runtime Duration: {post_runtime:.2} ms Billed Duration: {} ms \
             Memory Size: {} MB Max Memory Used: {} MB",
            metrics.duration_ms,
            runtime_ms.unwrap_or_default(),
            billed.duration_ms,
            billed.memory_size_mb,
            billed.max_memory_used_mb,
        );
        if let Some(init) = metrics.init_duration_ms {
            message += &format!(" Init Duration: {init:.2} ms");
        }
    } else {
        message += &format!(" Runtime Duration: {:.2} ms", metrics.duration_ms);
        match (event.status, &event.error_type) {
            (event::Status::Success, _) => {}
            (event::Status::Timeout, _) => {
                status = Status::Error;
                message += &format!(" Task timed out after {:.2} seconds", metrics.duration_ms / 1000.0);
            }
            (_, Some(error_type)) => {
                status = Status::Error;
                message += &format!(" Task failed: {error_type}");
            }
            (_, None) => {
                status = Status::Error;
                message += " Task failed with an unknown error";
            }
        }
    }
    Log { message, status, time, request_id: Some(event.request_id.clone()), tags: None, execution: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::event::{Billed, ReportMetrics, RuntimeMetrics};

    fn done(status: event::Status, error_type: Option<&str>, measured: bool) -> Log {
        let metrics = measured.then_some(RuntimeMetrics { duration_ms: 1234.5, produced_bytes: None });
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
        let log = start(&Start { request_id: "r".into(), version: None }, 1);
        assert_eq!(log.message, "START RequestId: r Version: $LATEST");
        assert_eq!(log.request_id, Some("r".into()));
    }

    #[test]
    fn the_end_line_says_what_went_wrong() {
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
    }

    #[test]
    fn the_report_line_on_demand_and_on_managed_instances() {
        let billed = Billed { duration_ms: 13.0, memory_size_mb: 128.0, max_memory_used_mb: 90.0 };
        let mut event = Report {
            request_id: "r".into(),
            status: event::Status::Success,
            error_type: None,
            metrics: ReportMetrics { duration_ms: 12.5, billed: Some(billed), init_duration_ms: Some(99.999) },
            spans: vec![],
        };
        assert_eq!(
            report(&event, Some(10.25), 1).message,
            "REPORT RequestId: r Duration: 12.50 ms Runtime Duration: 10.25 ms Post Runtime Duration: 2.25 ms Billed Duration: 13 ms \
             Memory Size: 128 MB Max Memory Used: 90 MB Init Duration: 100.00 ms"
        );
        event.metrics = ReportMetrics { duration_ms: 1500.0, billed: None, init_duration_ms: None };
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
    }
}
