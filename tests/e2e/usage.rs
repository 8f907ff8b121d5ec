//! What a function uses of the machine, and what the extension reports of the sandbox itself.
//!
//! The kernel's counters are the whole machine's, and tests share it, so what is read from them has lower bounds only. Processes are the sandbox's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use matrix::{
    measure::digest,
    sandbox::{
        Function, OUTSIDE, Setup,
        function::HandlerOutcome,
        intake::Point,
        journal::{Entry, JournalEvent},
        setup::Initialization,
    },
};

use crate::support::{self, Run, echo, run_sandbox, setup, setup_with};

/// Uses 120 files, three threads and 8 MiB of `/tmp`, long enough to be seen, and the CPU until the kernel has counted 400 ms of it: a process's own clock
/// also counts what the machine's host takes away, and the kernel's counters don't.
const BUSY: &str = r#"
import tempfile, threading, time

def spent():
    with open("/proc/stat") as stat:
        fields = stat.readline().split()
    user = int(fields[1]) + int(fields[2])
    return [user * 10, (user + int(fields[3])) * 10]

def use_cpu(milliseconds):
    goal = [before + milliseconds for before in spent()]
    while any(now < enough for now, enough in zip(spent(), goal)):
        sum(range(100_000))

def handler(event, context):
    enough = threading.Event()
    threads = [threading.Thread(target=enough.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    files = [open("/dev/null") for _ in range(120)]
    with tempfile.NamedTemporaryFile(dir="/tmp") as space:
        space.write(b"x" * (8 << 20))
        space.flush()
        use_cpu(400)
        time.sleep(0.3)
    for file in files:
        file.close()
    enough.set()
    print(f"{event} {context.aws_request_id}")
"#;

const AT_THE_RUNTIMES_END: [&str; 7] =
    ["fd_max", "fd_use", "threads_max", "threads_use", "tmp_max", "tmp_used", "tmp_free"];
const UTILIZATION: [&str; 5] =
    ["cpu_total_utilization_pct", "cpu_total_utilization", "cpu_max_utilization", "cpu_min_utilization", "num_cores"];
const AT_THE_END: [&str; 3] = ["cpu_user_time", "cpu_system_time", "cpu_total_time"];
const NETWORK: [&str; 3] = ["rx_bytes", "tx_bytes", "total_network"];

fn busy(directory: &tempfile::TempDir) -> Function {
    let mut function = support::python(directory, BUSY);
    if let Function::Process { environment, .. } = &mut function {
        environment.insert("AWS_EXECUTION_ENV".to_owned(), "AWS_Lambda_python3.13".to_owned());
    }
    function
}

fn points(run: &Run, metric: &str) -> Vec<Point> {
    run.intake.points(&format!("aws.lambda.enhanced.{metric}"))
}

/// Asks for connections that are refused and sends what nobody wants, for long enough that the extension, which hears of the invocation at the same
/// time, begins to count before the end.
fn talkative() -> Function {
    Function::from_fn(|call| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for _ in 0..30 {
            let refused = TcpStream::connect((OUTSIDE, 9)).is_err();
            let sent = socket.send_to(&[0; 1000], (OUTSIDE, 9)).is_ok();
            call.print(format!("{refused} {sent}"));
            std::thread::sleep(Duration::from_millis(10));
        }
        HandlerOutcome::Response(call.event.to_vec())
    })
}

/// Whether the machine lets a sandbox have Lambda's interface.
fn has_interface(run: &Run) -> bool {
    !run.ending
        .journal
        .iter()
        .any(|entry| matches!(entry.what, JournalEvent::NetworkShared { .. } | JournalEvent::InterfaceMissing { .. }))
}

/// Names of all enhanced metrics that arrived, of those that are read from the machine.
fn read_from_the_machine(run: &Run) -> BTreeSet<&'static str> {
    let all = AT_THE_RUNTIMES_END.iter().chain(&UTILIZATION).chain(&AT_THE_END);
    all.chain(&NETWORK).copied().filter(|metric| run.count(metric) > 0).collect()
}

#[test]
fn usage_of_a_python_function_is_sent_once_an_invocation() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_sandbox(Setup { timeout: Duration::from_secs(30), ..setup(busy(&directory)) }, 3);
    run.assert_unharmed();
    run.assert_exactly_once();
    run.assert_no_problems();
    for metric in AT_THE_RUNTIMES_END.iter().chain(&UTILIZATION).chain(&AT_THE_END) {
        let points = points(&run, metric);
        let cold =
            |cold: &str| points.iter().filter(|point| point.tags.iter().any(|tag| tag == cold)).map(|it| it.cnt).sum();
        let times: [i64; 2] = ["cold_start:true", "cold_start:false"].map(cold);
        assert_eq!(times, [1, 2], "{metric}\n{}", run.own_lines());
        for tag in ["functionname:function", "init_type:on-demand"] {
            assert!(points.iter().all(|point| point.tags.iter().any(|it| it == tag)), "{metric} {tag}");
        }
    }
    let least = |metric: &str| points(&run, metric).iter().map(|point| point.min).fold(f64::MAX, f64::min);
    assert!(least("cpu_total_time") >= 200.0 && least("cpu_user_time") >= 100.0);
    assert!(least("cpu_total_utilization_pct") > 0.0 && least("cpu_max_utilization") > 0.0);
    assert!(least("num_cores") >= 1.0);
    assert!(least("fd_use") >= 120.0 && least("threads_use") >= 4.0);
    let is_shared = |entry: &Entry| matches!(entry.what, JournalEvent::ProcessesShared { .. });
    if !run.ending.journal.iter().any(is_shared) {
        let most = points(&run, "threads_use").iter().map(|point| point.max).fold(0.0, f64::max);
        assert!(most < 30.0, "{most}: nobody else's");
    }
    assert!((1.0..=1024.0).contains(&least("fd_max")) && (1.0..=1024.0).contains(&least("threads_max")));
    assert!(least("tmp_used") >= f64::from(8 << 20) && least("tmp_max") >= least("tmp_used"));
}

#[test]
fn network_metrics_are_sent_once_an_invocation() {
    for initialization in [Initialization::OnDemand, Initialization::ManagedInstances] {
        let run = run_sandbox(Setup { initialization, ..setup(talkative()) }, 3);
        run.assert_unharmed();
        if !has_interface(&run) {
            assert_eq!(NETWORK.map(|metric| run.count(metric)), [0; 3]);
            continue;
        }
        assert_eq!(NETWORK.map(|metric| run.count(metric)), [3; 3], "{}", run.own_lines());
        let sums = NETWORK.map(|metric| points(&run, metric).iter().map(|point| point.sum).sum::<f64>());
        let [received, sent, total] = sums;
        assert!((received + sent - total).abs() < 1e-6, "{sums:?}");
        // A refusal has no more than its headers.
        assert!(received >= 40.0 && sent >= 1000.0, "{sums:?}");
    }
}

#[test]
fn the_runtime_is_named_on_every_metric_of_an_invocation() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_sandbox(Setup { timeout: Duration::from_secs(30), ..setup(busy(&directory)) }, 1);
    run.assert_unharmed();
    for metric in ["invocations", "duration", "init_duration", "cpu_total_time", "fd_use", "shutdowns"] {
        let points = points(&run, metric);
        assert!(!points.is_empty(), "{metric}");
        for point in points {
            let runtimes: Vec<_> = point.tags.iter().filter(|tag| tag.starts_with("runtime:")).collect();
            assert_eq!(runtimes, ["runtime:python3.13"], "{metric}");
        }
    }
}

#[test]
fn what_is_read_from_the_machine_can_be_turned_off_without_the_rest() {
    let run = run_sandbox(setup_with(echo(), &[("DD_LAMBDA_PROC_ENHANCED_METRICS", "false")]), 3);
    run.assert_exactly_once();
    assert_eq!(read_from_the_machine(&run), BTreeSet::new());
    assert_eq!((run.count("shutdowns"), run.count("memorysize")), (1, 3));
    let run = run_sandbox(setup_with(echo(), &[("DD_ENHANCED_METRICS", "false")]), 3);
    run.assert_unharmed();
    assert_eq!(run.count_messages("REPORT RequestId: "), 3, "the extension is at work");
    assert_eq!(read_from_the_machine(&run), BTreeSet::new());
    assert_eq!(run.count("shutdowns"), 0);
}

#[test]
fn short_invocations_are_measured_too() {
    let run = run_sandbox(setup(echo()), 20);
    run.assert_unharmed();
    for metric in AT_THE_RUNTIMES_END.iter().chain(&AT_THE_END) {
        assert_eq!(run.count(metric), 20, "{metric}\n{}", run.own_lines());
    }
}

/// Opens files in no time and leaves them open until the next invocation.
const LEAVES_FILES_OPEN: &str = r"
files = []

def handler(event, context):
    global files
    for file in files:
        file.close()
    files = [open('/dev/null') for _ in range(120)]
";

#[test]
fn files_that_a_short_invocation_leaves_open_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let function = support::python(&directory, LEAVES_FILES_OPEN);
    let run = run_sandbox(Setup { timeout: Duration::from_secs(30), ..setup(function) }, 5);
    run.assert_unharmed();
    let points = points(&run, "fd_use");
    assert_eq!(points.iter().map(|point| point.cnt).sum::<i64>(), 5, "{}", run.own_lines());
    assert!(points.iter().all(|point| point.min >= 120.0), "{points:?}");
}

#[test]
fn what_is_read_from_the_machine_makes_no_run_differ_from_another() {
    let directory = tempfile::tempdir().unwrap();
    let of = |setup: Setup| {
        let run = run_sandbox(setup, 4);
        run.assert_unharmed();
        digest(&run.ending.requests, &run.ending.output)
    };
    assert_eq!(of(setup(echo())), of(setup(echo())));
    let used = || Setup { timeout: Duration::from_secs(30), ..setup(busy(&directory)) };
    let unread = || Setup {
        environment: BTreeMap::from([("DD_LAMBDA_PROC_ENHANCED_METRICS".to_owned(), "false".to_owned())]),
        ..used()
    };
    assert_eq!(of(used()), of(unread()));
}

#[test]
fn managed_instances_send_peak_usage_at_shutdown() {
    let run = run_sandbox(Setup { initialization: Initialization::ManagedInstances, ..setup(echo()) }, 5);
    run.assert_unharmed();
    for metric in AT_THE_RUNTIMES_END {
        assert_eq!(run.count(metric), 1, "{metric}\n{}", run.own_lines());
    }
    for metric in AT_THE_END {
        assert_eq!(run.count(metric), 5, "{metric}");
    }
    assert_eq!((run.count("shutdowns"), run.count("unused_init")), (1, 0));
}

#[test]
fn sandbox_end_is_logged_with_its_invocation_count() {
    for (times, unused) in [(0, 1), (1, 0), (3, 0)] {
        let run = run_sandbox(setup(echo()), times);
        run.assert_orderly_end();
        assert_eq!((run.count("shutdowns"), run.count("unused_init")), (1, unused), "{times}");
        assert_eq!(run.count("invocations"), i64::try_from(times).unwrap());
    }
    let run = run_sandbox(Setup { initialization: Initialization::ManagedInstances, ..setup(echo()) }, 0);
    assert_eq!((run.count("shutdowns"), run.count("unused_init")), (1, 1));
    assert_eq!(read_from_the_machine(&run), BTreeSet::new());
}

#[test]
fn restore_metric_is_sent_once() {
    let run = run_sandbox(Setup { initialization: Initialization::SnapStart, ..setup(echo()) }, 3);
    run.assert_unharmed();
    assert_eq!(run.count("snapstart_restore_duration"), 1, "{}", run.own_lines());
    let restored = &points(&run, "snapstart_restore_duration")[0];
    assert!(restored.sum >= 0.0 && restored.tags.contains(&"init_type:snap-start".to_owned()), "{restored:?}");
}
