use super::*;

const STAT: &str = "\
cpu  2337 3 188 17838 12 0 9 4 0 0
cpu0 1160 1 90 9188 6 0 9 2 0 0
cpu1 1177 2 98 8649 6 0 0 2 0 0
intr 5319 0 0 0
ctxt 93212
cpufreq 1 2
btime 1700000000
";

const DEVICES: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    9999      45    0    0    0     0          0         0     9999      45    0    0    0     0       0          0
vinternal_1:  180       2    0    0    0     0          0         0      254       3    0    0    0     0       0          0
 Ceth1:     7       1    0    0    0     0          0         0        8       1    0    0    0     0       0          0
";

const MANAGED_DEVICES: &str = "\
 face |bytes    packets errs drop fifo frame compressed multicast|bytes
    lo:       0       0    0    0    0     0          0         0        0       0
 Ceth1:309048     250    0    0    0     0          0         0    84870     200    0    0    0     0       0          0
";

const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max processes             901                  901                  processes
Max open files            900                  1024                 files
";

fn reading() -> CounterReading {
    CounterReading::parse(Some(STAT), Some("3213103123.00 6001.5\n"), Some(DEVICES))
}

#[test]
fn the_kernels_texts_are_read() {
    let cpu =
        Cpu { user_ms: 23_400.0, system_ms: 1880.0, idle_ms: 178_380.0, idle_ms_of_cores: vec![91_880.0, 86_490.0] };
    let network = Network { received: 180, sent: 254 };
    let expected = CounterReading { cpu: Some(cpu), uptime_ms: Some(3_213_103_123_000.0), network: Some(network) };
    assert_eq!(reading(), expected);
    assert_eq!(Network::parse(MANAGED_DEVICES), Some(Network { received: 309_048, sent: 84_870 }));
    assert_eq!(CounterReading::parse(None, None, None), CounterReading::default());
}

#[test]
fn texts_that_lack_something_are_no_reading() {
    for stat in [
        "",
        "cpu  1 2 3 4\n",
        "cpu0 1 2 3 4\n",
        "cpu  1 2 3\ncpu0 1 2 3 4\n",
        "cpu  1 2 3 4\ncpu0 1 2 3 4\ncpu1 1 2 3\n",
        "cpu  1 2 3 x\ncpu0 1 2 3 4\n",
        "cpu  1 2 -3 4\ncpu0 1 2 3 4\n",
    ] {
        assert_eq!(Cpu::parse(stat), None, "{stat}");
    }
    for uptime in ["", "x 1", "inf", "NaN 1"] {
        assert_eq!(CounterReading::parse(None, Some(uptime), None).uptime_ms, None, "{uptime}");
    }
    for devices in ["", "eth0: 1 2 3 4 5 6 7 8 9 10", "vinternal_1: 1 2 3 4 5 6 7 8", "vinternal_1: a 2 3 4 5 6 7 8 9"]
    {
        assert_eq!(Network::parse(devices), None, "{devices}");
    }
    assert_eq!(Network::parse("vint_runtime:5 2 3 4 5 6 7 8 9"), Some(Network { received: 5, sent: 9 }));
}

#[test]
fn the_tightest_limit_counts_and_none_is_above_1024() {
    let mut limits = Limits::default();
    for text in
        ["", "Max open files            65536 65536 files\nMax processes             unlimited unlimited processes\n"]
    {
        limits.tighten(text);
        assert_eq!(limits, Limits { files: 1024, threads: 1024 });
    }
    limits.tighten(LIMITS);
    assert_eq!(limits, Limits { files: 900, threads: 901 });
}

fn cpu(user_ms: f64, system_ms: f64, idle_ms_of_cores: &[f64]) -> Cpu {
    let idle_ms = idle_ms_of_cores.iter().sum();
    Cpu { user_ms, system_ms, idle_ms, idle_ms_of_cores: idle_ms_of_cores.to_vec() }
}

fn later(uptime_ms: f64, cpu: Cpu, network: Option<Network>) -> CounterReading {
    CounterReading { cpu: Some(cpu), uptime_ms: Some(uptime_ms), network }
}

#[test]
fn utilization_is_the_share_of_the_time_that_was_not_idle() {
    let from = later(1000.0, cpu(0.0, 0.0, &[50.0, 50.0]), None);
    // Over 100 ms, one core was idle for 20 ms and the other for 90 ms.
    let to = later(1100.0, cpu(80.0, 10.0, &[70.0, 140.0]), None);
    let expected = [
        (metric::CPU_TOTAL_UTILIZATION_PCT, 45.0),
        (metric::CPU_TOTAL_UTILIZATION, 0.9),
        (metric::CPU_MAX_UTILIZATION, 80.0),
        (metric::CPU_MIN_UTILIZATION, 10.0),
        (metric::NUM_CORES, 2.0),
    ];
    let told = utilization(&from, &to);
    assert_eq!(told.len(), expected.len());
    for ((name, value), (expected_name, expected)) in told.into_iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert!((value - expected).abs() < 1e-9, "{name} {value}");
    }
}

#[test]
fn utilization_is_never_below_zero_and_idle_time_never_runs_backwards() {
    let from = later(1000.0, cpu(0.0, 0.0, &[50.0, 50.0]), None);
    let idle = utilization(&from, &later(1100.0, cpu(0.0, 0.0, &[160.0, 170.0]), None));
    assert!(idle[..4].iter().all(|(_, value)| *value == 0.0), "{idle:?}");
    let backwards = utilization(&from, &later(1100.0, cpu(0.0, 0.0, &[40.0, 150.0]), None));
    assert!(backwards.contains(&(metric::CPU_MAX_UTILIZATION, 100.0)), "{backwards:?}");
}

#[test]
fn unavailable_usage_is_not_reported() {
    let from = reading();
    let without = |change: &dyn Fn(&mut CounterReading)| {
        let mut reading = later(3_213_103_124_000.0, cpu(1.0, 1.0, &[1.0, 1.0]), None);
        change(&mut reading);
        utilization(&from, &reading)
    };
    assert_eq!(without(&|_| ()).len(), 5);
    assert_eq!(without(&|reading| reading.uptime_ms = None), []);
    assert_eq!(without(&|reading| reading.uptime_ms = from.uptime_ms), []);
    assert_eq!(without(&|reading| reading.cpu = None), []);
    assert_eq!(without(&|reading| reading.cpu = Some(cpu(1.0, 1.0, &[1.0]))), [], "a core has gone");
    assert_eq!(consumption(&CounterReading::default(), &from), []);
}

#[test]
fn consumption_is_what_the_counters_have_gained() {
    let from = later(0.0, cpu(100.0, 50.0, &[0.0]), Some(Network { received: 180, sent: 254 }));
    let to = later(0.0, cpu(130.0, 60.0, &[0.0]), Some(Network { received: 1180, sent: 754 }));
    let expected = [
        (metric::RX_BYTES, 1000.0),
        (metric::TX_BYTES, 500.0),
        (metric::TOTAL_NETWORK, 1500.0),
        (metric::CPU_USER_TIME, 30.0),
        (metric::CPU_SYSTEM_TIME, 10.0),
        (metric::CPU_TOTAL_TIME, 40.0),
    ];
    assert_eq!(consumption(&from, &to), expected);
    assert!(consumption(&to, &from).iter().all(|(_, value)| *value == 0.0), "counters that were set back");
}

#[test]
fn peaks_are_reported_with_the_limits() {
    let space = |used| Some(DiskUsage { size: 1000, used });
    let mut peak = Peak::default();
    let limits = Limits { files: 900, threads: 901 };
    assert_eq!(footprint(&peak, limits), [(metric::FD_MAX, 900.0), (metric::THREADS_MAX, 901.0)]);
    for seen in [
        Peak { files: Some(5), threads: None, tmp: space(0) },
        Peak { files: Some(3), threads: Some(5), tmp: space(400) },
        Peak { files: None, threads: Some(4), tmp: space(300) },
    ] {
        peak.raise(seen);
    }
    assert_eq!(
        footprint(&peak, limits)[2..],
        [
            (metric::FD_USE, 5.0),
            (metric::THREADS_USE, 5.0),
            (metric::TMP_MAX, 1000.0),
            (metric::TMP_USED, 400.0),
            (metric::TMP_FREE, 600.0),
        ]
    );
    let unused = Peak { files: Some(0), threads: Some(0), tmp: space(0) };
    assert_eq!(footprint(&unused, limits).len(), 2, "what nothing is used of is left out");
}
