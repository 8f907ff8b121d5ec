//! The enhanced metrics: their names, and the one that is computed from others.

use std::sync::Arc;

use super::event::{ReportMetrics, Timestamp};

/// One measurement of a distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The metric's whole name.
    pub name: &'static str,
    /// In the unit that the name's documentation gives.
    pub value: f64,
    /// When it was measured.
    pub time: Timestamp,
    /// Tags beyond the function's own, sorted.
    pub tags: Arc<[String]>,
}

/// One a function invocation.
pub const INVOCATIONS: &str = "aws.lambda.enhanced.invocations";
/// One an invocation that did not end well.
pub const ERRORS: &str = "aws.lambda.enhanced.errors";
/// One an invocation that ran out of time.
pub const TIMEOUTS: &str = "aws.lambda.enhanced.timeouts";
/// One an invocation that ran out of memory.
pub const OUT_OF_MEMORY: &str = "aws.lambda.enhanced.out_of_memory";
/// Seconds from the invocation to the end of everybody's work.
pub const DURATION: &str = "aws.lambda.enhanced.duration";
/// Seconds that are paid for.
pub const BILLED_DURATION: &str = "aws.lambda.enhanced.billed_duration";
/// Milliseconds in the runtime.
pub const RUNTIME_DURATION: &str = "aws.lambda.enhanced.runtime_duration";
/// Milliseconds from the runtime's answer to the end of the extensions' work.
pub const POST_RUNTIME_DURATION: &str = "aws.lambda.enhanced.post_runtime_duration";
/// Milliseconds until the first byte of the response.
pub const RESPONSE_LATENCY: &str = "aws.lambda.enhanced.response_latency";
/// Milliseconds from the first to the last byte of the response.
pub const RESPONSE_DURATION: &str = "aws.lambda.enhanced.response_duration";
/// Bytes of the response.
pub const PRODUCED_BYTES: &str = "aws.lambda.enhanced.produced_bytes";
/// Seconds of initialization; once a sandbox.
pub const INIT_DURATION: &str = "aws.lambda.enhanced.init_duration";
/// Seconds of the restoration from a snapshot; once a sandbox.
pub const RESTORE_DURATION: &str = "aws.lambda.enhanced.snapstart_restore_duration";
/// One a sandbox that ends.
pub const SHUTDOWNS: &str = "aws.lambda.enhanced.shutdowns";
/// One a sandbox that ends without ever having been invoked.
pub const UNUSED_INIT: &str = "aws.lambda.enhanced.unused_init";
/// MB that were in use at most.
pub const MAX_MEMORY_USED: &str = "aws.lambda.enhanced.max_memory_used";
/// MB that are configured.
pub const MEMORY_SIZE: &str = "aws.lambda.enhanced.memorysize";
/// US dollars.
pub const ESTIMATED_COST: &str = "aws.lambda.enhanced.estimated_cost";

/// Bytes received during an invocation.
pub const RX_BYTES: &str = "aws.lambda.enhanced.rx_bytes";
/// Bytes sent during an invocation.
pub const TX_BYTES: &str = "aws.lambda.enhanced.tx_bytes";
/// The sum of both.
pub const TOTAL_NETWORK: &str = "aws.lambda.enhanced.total_network";
/// Milliseconds of CPU time spent in programs during an invocation.
pub const CPU_USER_TIME: &str = "aws.lambda.enhanced.cpu_user_time";
/// Milliseconds of CPU time spent in the kernel during an invocation.
pub const CPU_SYSTEM_TIME: &str = "aws.lambda.enhanced.cpu_system_time";
/// The sum of both.
pub const CPU_TOTAL_TIME: &str = "aws.lambda.enhanced.cpu_total_time";
/// How busy all cores together were, in percent: 0 to 100.
pub const CPU_TOTAL_UTILIZATION_PCT: &str = "aws.lambda.enhanced.cpu_total_utilization_pct";
/// How many cores' worth of time was used.
pub const CPU_TOTAL_UTILIZATION: &str = "aws.lambda.enhanced.cpu_total_utilization";
/// How busy the busiest core was, in percent.
pub const CPU_MAX_UTILIZATION: &str = "aws.lambda.enhanced.cpu_max_utilization";
/// How busy the least busy core was, in percent.
pub const CPU_MIN_UTILIZATION: &str = "aws.lambda.enhanced.cpu_min_utilization";
/// How many cores there are.
pub const NUM_CORES: &str = "aws.lambda.enhanced.num_cores";
/// How many files a process may have open.
pub const FD_MAX: &str = "aws.lambda.enhanced.fd_max";
/// How many files all processes had open at most.
pub const FD_USE: &str = "aws.lambda.enhanced.fd_use";
/// How many threads there may be.
pub const THREADS_MAX: &str = "aws.lambda.enhanced.threads_max";
/// How many threads all processes had at most.
pub const THREADS_USE: &str = "aws.lambda.enhanced.threads_use";
/// The size of `/tmp` in bytes.
pub const TMP_MAX: &str = "aws.lambda.enhanced.tmp_max";
/// How much of it was used at most.
pub const TMP_USED: &str = "aws.lambda.enhanced.tmp_used";
/// What was left of it then.
pub const TMP_FREE: &str = "aws.lambda.enhanced.tmp_free";

/// What one invocation costs in US dollars, rounded to a millionth of a millionth; None without a bill, or for an architecture without a known price.
///
/// Source: AWS Lambda pricing, first tier: 0.20 USD a million requests, and a price for each GB-second by architecture.
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
