//! How busy the machine is with other work, which decides how long a build takes.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// How often it is looked, and how long it is waited between two looks. Averages of the kernel go back a minute, to the compilation of this program.
const LOOKS: u32 = 8;
const BETWEEN: Duration = Duration::from_millis(50);

/// How many times as long as on an idle machine a build takes that starts now: at least 1, and 1 where the kernel does not tell. It takes less than half a second to find out.
pub fn slowdown() -> f64 {
    let processors = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    let processors = processors.and_then(|count| u32::try_from(count).ok());
    let threads = std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok());
    let load = load(LOOKS, || {
        thread::sleep(BETWEEN);
        others(&fs::read_to_string("/proc/stat").ok()?)
    });
    match (load, processors, threads) {
        (Some(load), Some(processors), Some(threads)) => shared(load, processors, threads),
        _ => 1.0,
    }
}

/// The mean of so many looks at how many threads want a processor; none if one of them tells nothing.
fn load(looks: u32, mut look: impl FnMut() -> Option<u32>) -> Option<f64> {
    let seen: f64 = (0..looks).map(|_| look().map(f64::from)).sum::<Option<f64>>()?;
    Some(seen / f64::from(looks.max(1)))
}

/// How many threads other than the one that asks want a processor, by the line `procs_running` of `/proc/stat`. Source: `proc_stat(5)`.
fn others(text: &str) -> Option<u32> {
    let running = text.lines().find_map(|line| line.strip_prefix("procs_running "))?;
    Some(running.trim().parse::<u32>().ok()?.saturating_sub(1))
}

/// The scheduler gives each thread the same share. A container may see fewer processors than the machine has, whose load it sees.
fn shared(load: f64, processors: u32, threads: u32) -> f64 {
    ((load + f64::from(threads)) / f64::from(processors.max(1))).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_shares_the_processors_with_what_runs_beside_it() {
        for (load, processors, expected) in
            [(0.0, 2, 1.0), (2.0, 2, 2.0), (8.0, 2, 5.0), (8.0, 16, 1.0), (30.0, 16, 2.0)]
        {
            let times = shared(load, processors, 2);
            assert!((times - expected).abs() < 1e-9, "{load} on {processors}: {times}");
        }
        assert!(slowdown() >= 1.0);
    }

    #[test]
    fn what_wants_a_processor_now_counts_without_the_thread_that_asks() {
        let stat =
            |running: &str| format!("cpu  1 2 3\nctxt 7\nprocesses 9\nprocs_running {running}\nprocs_blocked 4\n");
        assert_eq!(["1", "3", "0"].map(|running| others(&stat(running))), [Some(0), Some(2), Some(0)]);
        assert_eq!(["", "-1", "x"].map(|running| others(&stat(running))), [None; 3]);
        assert_eq!(others("cpu  1 2 3\n"), None);
        let mut seen = [0, 1, 5].into_iter();
        assert_eq!(load(3, || seen.next()), Some(2.0));
        assert_eq!(load(1, || seen.next()), None, "there is no fourth");
    }
}
