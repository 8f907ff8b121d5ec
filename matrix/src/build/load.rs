//! How busy the machine is with other work, which decides how long a build takes.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// How many times as long as on an idle machine a build takes that starts now: at least 1, and 1 where the kernel does not tell.
pub fn slowdown() -> f64 {
    let processors = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    let processors = processors.and_then(|count| u32::try_from(count).ok());
    let threads = std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok());
    let load = fs::read_to_string("/proc/loadavg").ok().and_then(|text| wanting(&text));
    match (load, processors, threads) {
        (Some(load), Some(processors), Some(threads)) => shared(load, processors, threads),
        _ => 1.0,
    }
}

/// How many threads have wanted a processor in the last minute, by a line such as `0.50 0.40 0.30 1/200 4711`. Source: `proc_loadavg(5)`.
fn wanting(line: &str) -> Option<f64> {
    line.split(' ').next()?.parse().ok().filter(|load: &f64| load.is_finite())
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
        assert_eq!(wanting("0.50 0.40 0.30 1/200 4711"), Some(0.5));
        assert_eq!([wanting(""), wanting("NaN 1")], [None, None]);
        assert!(slowdown() >= 1.0);
    }
}
