use std::fs;

use super::*;

/// A machine with counters that the test sets.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir_all(machine.directory.path().join("net")).unwrap();
        fs::create_dir_all(machine.directory.path().join("7/task/7")).unwrap();
        fs::create_dir_all(machine.directory.path().join("7/fd")).unwrap();
        machine.set(0);
        machine
    }

    /// Sets the counters to `seconds` after boot: both cores busy half of the time, 100 bytes received and 10 sent per second.
    fn set(&self, seconds: u64) {
        let write = |file: &str, text: String| fs::write(self.directory.path().join(file), text).unwrap();
        let (user, system, idle) = (seconds * 40, seconds * 10, seconds * 50);
        let core = format!("{user} 0 {system} {idle}");
        write("stat", format!("cpu  {} 0 {} {}\ncpu0 {core}\ncpu1 {core}\n", user * 2, system * 2, idle * 2));
        write("uptime", format!("{seconds}.00 0.0\n"));
        write("net/dev", format!("vinternal_1: {} 0 0 0 0 0 0 0 {} 0\n", seconds * 100, seconds * 10));
    }

    fn open_files(&self, count: usize) {
        for number in 0..count {
            fs::write(self.directory.path().join("7/fd").join(number.to_string()), "").unwrap();
        }
    }

    fn close_files(&self) {
        for file in fs::read_dir(self.directory.path().join("7/fd")).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }

    fn usage_metrics(&self, overlapping: bool) -> UsageMetrics {
        UsageMetrics::new(&Proc::at(self.directory.path()), overlapping)
    }
}

fn tags() -> Arc<[String]> {
    Arc::from(["cold_start:true".to_owned()])
}

fn attempt(id: &str, attempt: u32) -> AttemptId {
    AttemptId { request_id: id.into(), attempt }
}

fn begun(id: &str) -> SamplingPoint {
    SamplingPoint::Begun(attempt(id, 1))
}

fn done(id: &str) -> SamplingPoint {
    SamplingPoint::Done(attempt(id, 1), tags())
}

fn reported(id: &str) -> SamplingPoint {
    SamplingPoint::Reported(attempt(id, 1), tags())
}

/// `name=value` of every point, sorted, without those of the real `/tmp`.
fn sent_values(usage_metrics: &mut UsageMetrics, moment: &SamplingPoint) -> Vec<String> {
    let points = usage_metrics.observe(moment);
    assert!(points.iter().all(|point| point.tags == tags() && point.time > 0));
    let mut told: Vec<_> = points
        .iter()
        .map(|point| format!("{}={}", point.name.trim_start_matches("aws.lambda.enhanced."), point.value))
        .filter(|point| !point.starts_with("tmp_"))
        .collect();
    told.sort();
    told
}

const UTILIZATION: [&str; 5] = [
    "cpu_max_utilization=50",
    "cpu_min_utilization=50",
    "cpu_total_utilization=1",
    "cpu_total_utilization_pct=50",
    "num_cores=2",
];

fn consumed(seconds: u64) -> Vec<String> {
    let (user, system, received, sent) = (seconds * 800, seconds * 200, seconds * 100, seconds * 10);
    vec![
        format!("cpu_system_time={system}"),
        format!("cpu_total_time={}", user + system),
        format!("cpu_user_time={user}"),
        format!("rx_bytes={received}"),
        format!("total_network={}", received + sent),
        format!("tx_bytes={sent}"),
    ]
}

#[test]
fn an_invocation_is_measured_from_its_beginning_to_each_of_its_ends() {
    let machine = Machine::new();
    let mut usage_metrics = machine.usage_metrics(false);
    machine.open_files(3);
    assert!(sent_values(&mut usage_metrics, &begun("a")).is_empty());
    machine.set(2);
    let at_the_end = sent_values(&mut usage_metrics, &done("a"));
    let others = ["fd_max=1024", "fd_use=3", "threads_max=1024", "threads_use=1"];
    assert!(UTILIZATION.iter().chain(&others).all(|point| at_the_end.contains(&(*point).to_owned())), "{at_the_end:?}");
    assert_eq!(at_the_end.len(), 9);
    machine.set(3);
    assert_eq!(sent_values(&mut usage_metrics, &reported("a")), consumed(3));
    assert!(usage_metrics.open.is_empty());
    assert!(sent_values(&mut usage_metrics, &done("a")).is_empty(), "what is over is over");
}

#[test]
fn a_peak_between_start_and_end_is_seen_by_the_sample_that_was_due() {
    let machine = Machine::new();
    let mut usage_metrics = machine.usage_metrics(false);
    usage_metrics.observe(&begun("a"));
    machine.open_files(5);
    usage_metrics.sample();
    machine.close_files();
    assert!(sent_values(&mut usage_metrics, &done("a")).contains(&"fd_use=5".to_owned()));
}

#[test]
fn usage_of_the_next_invocation_is_excluded_if_the_end_event_is_late() {
    let machine = Machine::new();
    let mut usage_metrics = machine.usage_metrics(false);
    machine.open_files(1);
    usage_metrics.observe(&begun("a"));
    machine.set(1);
    usage_metrics.observe(&begun("b"));
    machine.open_files(9);
    machine.set(5);
    assert!(sent_values(&mut usage_metrics, &done("a")).contains(&"fd_use=1".to_owned()));
    assert_eq!(sent_values(&mut usage_metrics, &reported("a")), consumed(1));
    assert_eq!(sent_values(&mut usage_metrics, &reported("b")), consumed(4));
}

#[test]
fn each_attempt_at_a_request_is_measured_by_itself() {
    let machine = Machine::new();
    let mut usage_metrics = machine.usage_metrics(false);
    usage_metrics.observe(&begun("a"));
    machine.set(1);
    usage_metrics.observe(&SamplingPoint::Begun(attempt("a", 2)));
    machine.set(5);
    assert_eq!(sent_values(&mut usage_metrics, &SamplingPoint::Reported(attempt("a", 2), tags())), consumed(4));
    assert_eq!(sent_values(&mut usage_metrics, &reported("a")), consumed(1));
}

#[test]
fn peaks_of_overlapping_invocations_are_reported_once_at_the_end() {
    let machine = Machine::new();
    let mut usage_metrics = machine.usage_metrics(true);
    machine.open_files(2);
    usage_metrics.observe(&begun("a"));
    usage_metrics.observe(&begun("b"));
    machine.set(1);
    assert_eq!(sent_values(&mut usage_metrics, &done("a")), UTILIZATION);
    machine.set(2);
    assert_eq!(sent_values(&mut usage_metrics, &reported("a")), consumed(2));
    assert_eq!(sent_values(&mut usage_metrics, &reported("b")), consumed(2));
    let ending = sent_values(&mut usage_metrics, &SamplingPoint::Ending(tags()));
    assert_eq!(ending, ["fd_max=1024", "fd_use=2", "threads_max=1024", "threads_use=1"]);
}

#[test]
fn a_sandbox_that_was_never_used_has_no_peaks() {
    for overlapping in [false, true] {
        let mut usage_metrics = Machine::new().usage_metrics(overlapping);
        assert!(sent_values(&mut usage_metrics, &SamplingPoint::Ending(tags())).is_empty());
    }
}

#[test]
fn unreadable_machine_facts_are_left_out() {
    let mut usage_metrics = UsageMetrics::new(&Proc::at("/nonexistent"), false);
    usage_metrics.observe(&begun("a"));
    assert_eq!(sent_values(&mut usage_metrics, &done("a")), ["fd_max=1024", "threads_max=1024"]);
    assert!(sent_values(&mut usage_metrics, &reported("a")).is_empty());
}

#[test]
fn what_is_measured_at_once_is_bounded() {
    let machine = Machine::new();
    let mut usage_metrics = machine.usage_metrics(true);
    for number in 0..CAPACITY + 3 {
        usage_metrics.observe(&begun(&number.to_string()));
    }
    assert_eq!(usage_metrics.open.len(), CAPACITY);
    assert!(sent_values(&mut usage_metrics, &reported("0")).is_empty());
    assert!(!sent_values(&mut usage_metrics, &reported("3")).is_empty());
}
