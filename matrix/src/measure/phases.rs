//! Reads the extension's own checkpoints.

use std::time::Duration;

use super::sample::Phase;

/// The variable with the path of the file to which an extension with the switch `init-trace` writes its checkpoints.
pub(super) const VARIABLE: &str = "BOTTLECAP_INIT_TRACE";

/// Parses lines of the form `name nanoseconds`, in nanoseconds of `CLOCK_MONOTONIC`. `executed` is the exec on the same clock. Other lines are skipped: the
/// last one may be cut off by the end of the process.
pub(super) fn read(trace: &str, executed: Duration) -> Vec<Phase> {
    let executed = i128::try_from(executed.as_nanos()).unwrap_or(i128::MAX);
    let phase = |line: &str| {
        let (name, nanoseconds) = line.trim().rsplit_once(' ')?;
        let since = nanoseconds.parse::<i128>().ok()?.checked_sub(executed)?;
        // The clocks agree to a microsecond.
        #[expect(clippy::cast_precision_loss, reason = "no start takes so long that microseconds get lost")]
        let at_ms = (since / 1000) as f64 / 1000.0;
        Some(Phase { name: name.to_owned(), at_ms })
    };
    trace.lines().filter_map(phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_count_from_the_exec() {
        let trace = "start 5000700000\nnext written 5003250000\nbroken\ncut 50";
        let phases = read(trace, Duration::from_secs(5));
        let read: Vec<_> = phases.iter().map(|phase| (phase.name.as_str(), phase.at_ms)).collect();
        assert_eq!(read[..2], [("start", 0.7), ("next written", 3.25)]);
        assert!(read[2].1 < 0.0 && read.len() == 3, "nonsense is shown as nonsense: {read:?}");
    }
}
