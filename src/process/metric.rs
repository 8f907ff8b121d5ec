//! Names of the enhanced metrics, and the estimated cost.

use std::sync::Arc;

use super::event::{ReportMetrics, Timestamp};

/// Maximum age of an enhanced metric that leaves, in milliseconds. Datadog accepts points of the last hour, and a payload needs time to arrive.
///
/// Source: Datadog API reference, "Submit metrics".
pub const MAX_POINT_AGE_MS: i64 = 55 * 60 * 1000;

/// A metric point: one value of a distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The full metric name.
    pub name: &'static str,
    /// The value, in the unit of the metric.
    pub value: f64,
    /// Timestamp of the measurement.
    pub time: Timestamp,
    /// Tags in addition to the function's own, sorted.
    pub tags: Arc<[String]>,
}

/// 1 per invocation.
pub const INVOCATIONS: &str = "aws.lambda.enhanced.invocations";
/// 1 per failed invocation.
pub const ERRORS: &str = "aws.lambda.enhanced.errors";
/// 1 per invocation that timed out.
pub const TIMEOUTS: &str = "aws.lambda.enhanced.timeouts";
/// 1 per invocation that ran out of memory.
pub const OUT_OF_MEMORY: &str = "aws.lambda.enhanced.out_of_memory";
/// Seconds from the start of the invocation until the runtime and all extensions were done.
pub const DURATION: &str = "aws.lambda.enhanced.duration";
/// Billed seconds.
pub const BILLED_DURATION: &str = "aws.lambda.enhanced.billed_duration";
/// Milliseconds in the runtime.
pub const RUNTIME_DURATION: &str = "aws.lambda.enhanced.runtime_duration";
/// Milliseconds from the end of the runtime's work to the end of the extensions' work.
pub const POST_RUNTIME_DURATION: &str = "aws.lambda.enhanced.post_runtime_duration";
/// Milliseconds until the first byte of the response.
pub const RESPONSE_LATENCY: &str = "aws.lambda.enhanced.response_latency";
/// Milliseconds from the first to the last byte of the response.
pub const RESPONSE_DURATION: &str = "aws.lambda.enhanced.response_duration";
/// Size of the response in bytes.
pub const PRODUCED_BYTES: &str = "aws.lambda.enhanced.produced_bytes";
/// Seconds of init; once per sandbox.
pub const INIT_DURATION: &str = "aws.lambda.enhanced.init_duration";
/// Seconds of the restore from a snapshot; once per sandbox.
pub const RESTORE_DURATION: &str = "aws.lambda.enhanced.snapstart_restore_duration";
/// 1 per sandbox that shuts down.
pub const SHUTDOWNS: &str = "aws.lambda.enhanced.shutdowns";
/// 1 per sandbox that shuts down without an invocation.
pub const UNUSED_INIT: &str = "aws.lambda.enhanced.unused_init";
/// Maximum memory used, in MB.
pub const MAX_MEMORY_USED: &str = "aws.lambda.enhanced.max_memory_used";
/// Configured memory in MB.
pub const MEMORY_SIZE: &str = "aws.lambda.enhanced.memorysize";
/// Estimated cost of the invocation in US dollars.
pub const ESTIMATED_COST: &str = "aws.lambda.enhanced.estimated_cost";

/// Bytes received during an invocation.
pub const RX_BYTES: &str = "aws.lambda.enhanced.rx_bytes";
/// Bytes sent during an invocation.
pub const TX_BYTES: &str = "aws.lambda.enhanced.tx_bytes";
/// Bytes received and sent.
pub const TOTAL_NETWORK: &str = "aws.lambda.enhanced.total_network";
/// Milliseconds of CPU time in user mode during an invocation.
pub const CPU_USER_TIME: &str = "aws.lambda.enhanced.cpu_user_time";
/// Milliseconds of CPU time in kernel mode during an invocation.
pub const CPU_SYSTEM_TIME: &str = "aws.lambda.enhanced.cpu_system_time";
/// Milliseconds of CPU time in user and kernel mode.
pub const CPU_TOTAL_TIME: &str = "aws.lambda.enhanced.cpu_total_time";
/// Utilization of all cores together in percent: 0 to 100.
pub const CPU_TOTAL_UTILIZATION_PCT: &str = "aws.lambda.enhanced.cpu_total_utilization_pct";
/// Utilization in cores: 1.5 means one and a half cores' worth of time.
pub const CPU_TOTAL_UTILIZATION: &str = "aws.lambda.enhanced.cpu_total_utilization";
/// Utilization of the busiest core in percent.
pub const CPU_MAX_UTILIZATION: &str = "aws.lambda.enhanced.cpu_max_utilization";
/// Utilization of the least busy core in percent.
pub const CPU_MIN_UTILIZATION: &str = "aws.lambda.enhanced.cpu_min_utilization";
/// Number of cores.
pub const NUM_CORES: &str = "aws.lambda.enhanced.num_cores";
/// Maximum number of open files of a process.
pub const FD_MAX: &str = "aws.lambda.enhanced.fd_max";
/// Peak number of open files of all processes.
pub const FD_USE: &str = "aws.lambda.enhanced.fd_use";
/// Maximum number of threads.
pub const THREADS_MAX: &str = "aws.lambda.enhanced.threads_max";
/// Peak number of threads of all processes.
pub const THREADS_USE: &str = "aws.lambda.enhanced.threads_use";
/// Size of `/tmp` in bytes.
pub const TMP_MAX: &str = "aws.lambda.enhanced.tmp_max";
/// Peak use of `/tmp` in bytes.
pub const TMP_USED: &str = "aws.lambda.enhanced.tmp_used";
/// Free space of `/tmp` at that peak, in bytes.
pub const TMP_FREE: &str = "aws.lambda.enhanced.tmp_free";

/// Estimated cost of one invocation in US dollars, rounded to 1e-12. None without a billed duration, or for an architecture without a known price.
///
/// Source: AWS Lambda pricing, first tier: 0.20 USD per million requests, and a price per GB-second for each architecture.
pub fn estimated_cost(metrics: &ReportMetrics, architecture: &str) -> Option<f64> {
    const REQUEST: f64 = 0.000_000_2;
    const ROUNDING: f64 = 1e12;
    let gigabyte_second = match architecture {
        "x86_64" => 0.000_016_666_7,
        "arm64" => 0.000_013_333_4,
        _ => return None,
    };
    let gigabyte_seconds = (metrics.billed_duration_ms? / 1000.0) * (metrics.memory_size_mb? / 1024.0);
    Some(((REQUEST + gigabyte_seconds * gigabyte_second) * ROUNDING).round() / ROUNDING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_the_price_list_to_twelve_digits() {
        for (duration_ms, memory_size_mb, x86_64, arm64) in [
            (100.0, 128.0, 4.083_34e-07, 3.666_68e-07),
            (1000.0, 1024.0, 1.686_67e-05, 1.353_34e-05),
            (2600.0, 128.0, 5.616_678e-06, 4.533_355e-06),
        ] {
            let metrics = ReportMetrics {
                billed_duration_ms: Some(duration_ms),
                memory_size_mb: Some(memory_size_mb),
                ..ReportMetrics::default()
            };
            assert_eq!(estimated_cost(&metrics, "x86_64"), Some(x86_64));
            assert_eq!(estimated_cost(&metrics, "arm64"), Some(arm64));
            assert_eq!(estimated_cost(&metrics, "riscv64"), None);
        }
        assert_eq!(estimated_cost(&ReportMetrics::default(), "arm64"), None);
    }
}
