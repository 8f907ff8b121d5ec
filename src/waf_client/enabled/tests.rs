//! Workers that fail in every way that a process can. A shell plays them; it has the socket as its standard input.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use waf_protocol::{Reply, WafStatus};

use super::*;
use crate::process::appsec::schema_addresses;

/// Short where a failure is awaited, so that the tests are over soon; the start is not.
const LIMITS: Limits = Limits {
    start: Duration::from_secs(20),
    answer: Duration::from_millis(300),
    backoff: Duration::from_millis(50),
    max_backoff: Duration::from_millis(50),
};
const BUDGET: Duration = Duration::from_millis(5);

struct WorkerFixture {
    folder: TempDir,
    files: Files,
}

/// A shell script as the worker.
fn fixture(script: &str) -> WorkerFixture {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.json");
    fs::write(&rules, "{}").unwrap();
    // Every start leaves a line.
    let script = format!("echo >>{}; {script}", folder.path().join("starts").display());
    let arguments: Vec<OsString> = vec!["-c".into(), script.into()];
    WorkerFixture { files: Files { program: "/bin/sh".into(), arguments, libraries: None, rules }, folder }
}

impl WorkerFixture {
    fn starts(&self) -> usize {
        fs::read_to_string(self.folder.path().join("starts")).map_or(0, |lines| lines.lines().count())
    }

    fn waf(&self, limits: Limits) -> Waf {
        Waf::supervised(self.files.clone(), limits)
    }
}

/// What makes a shell send a message.
fn say(reply: &Reply) -> String {
    let mut frame = Vec::new();
    reply.write(&mut frame);
    let octal = frame.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:03o}").unwrap();
        text
    });
    format!("printf '{octal}' >&0;")
}

fn ready() -> String {
    let text = |text: &str| text.as_bytes().to_vec();
    say(&Reply::Ready { waf_version: text("2"), rules_version: text("1"), loaded: 1, failed: 0 })
}

fn outcome(context: u32) -> String {
    let result = Value::Map(vec![(b"keep".to_vec(), Value::Bool(true))]);
    say(&Reply::Outcome { context, status: WafStatus::Match, result })
}

/// What makes a shell wait for a message.
const HEAR: &str = "dd bs=65536 count=1 >/dev/null 2>&1 <&0;";

/// Ways to fail, of which none ends the connection by itself.
const FAILURES: [(&str, &str); 7] = [
    ("killed", "kill -KILL $$;"),
    ("crashed", "kill -SEGV $$;"),
    ("ended", "exit 0;"),
    ("stopped", "kill -STOP $$;"),
    ("looping", "while :; do :; done;"),
    ("garbled", "printf '\\003\\000\\000\\000abc' >&0; sleep 100;"),
    ("too long", "printf '\\377\\377\\377\\377abc' >&0; sleep 100;"),
];

#[tokio::test]
async fn an_evaluation_has_the_result_of_the_worker() {
    let fixture = fixture(&format!("{HEAR} {} {HEAR} {} {HEAR}", ready(), outcome(0)));
    let waf = fixture.waf(LIMITS);
    // Asked before the worker is ready.
    let result = waf.evaluate(waf.new_context(), BUDGET, Vec::new()).await.unwrap();
    assert_eq!(result.field("keep"), Some(&Value::Bool(true)));
    assert_eq!(waf.versions(), Versions { waf: "2".to_owned(), rules: "1".to_owned() });
    waf.until_ready().await;
    assert_eq!(fixture.starts(), 1);
}

#[tokio::test]
async fn a_worker_that_fails_before_it_is_ready_harms_no_request() {
    for (what, failure) in FAILURES {
        let fixture = fixture(&format!("{HEAR} {failure}"));
        let waf = fixture.waf(Limits { start: Duration::from_millis(300), ..LIMITS });
        assert_eq!(waf.evaluate(0, BUDGET, Vec::new()).await, None, "{what}");
        waf.until_ready().await;
        assert_eq!(waf.versions(), Versions::default(), "{what}");
    }
}

#[tokio::test]
async fn a_worker_that_fails_in_an_evaluation_is_started_again() {
    for (what, failure) in FAILURES {
        let again = outcome(1);
        let script =
            format!("{HEAR} {} {HEAR} if [ -e \"$0\" ]; then {again} sleep 100; else : >\"$0\"; {failure} fi", ready());
        let mut fixture = fixture(&script);
        fixture.files.arguments.push(fixture.folder.path().join("failed").into());
        let waf = fixture.waf(LIMITS);
        assert_eq!(waf.evaluate(0, BUDGET, Vec::new()).await, None, "{what}");
        let result = eventually(&waf, 1).await;
        assert_eq!(result.field("keep"), Some(&Value::Bool(true)), "{what}");
        assert_eq!(fixture.starts(), 2, "{what}");
    }
}

/// The result of the worker that is started after the failure.
async fn eventually(waf: &Waf, context: u32) -> Value {
    loop {
        if let Some(result) = waf.evaluate(context, BUDGET, Vec::new()).await {
            return result;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_worker_that_fails_now_and_then_is_always_started_again_soon() {
    let fixture = fixture(&format!("{HEAR} {} {HEAR} {} {HEAR} kill -KILL $$", ready(), outcome(0)));
    let limits = Limits { backoff: Duration::from_millis(20), max_backoff: Duration::from_hours(1), ..LIMITS };
    let waf = fixture.waf(limits);
    let begun = Instant::now();
    for _ in 0..10 {
        eventually(&waf, 0).await;
        sleep(2 * limits.backoff).await;
        assert_eq!(waf.evaluate(0, BUDGET, Vec::new()).await, None);
    }
    // Were each of these times twice as long as the one before, they would be ten seconds together.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_worker_that_hangs_at_each_second_request_restarts_after_doubled_backoff() {
    let fixture = fixture(&format!("{HEAR} {} {HEAR} {} {HEAR} exec sleep 100", ready(), outcome(0)));
    let ms = Duration::from_millis;
    // Longer than the backoff: were the hang a part of the service, each failure would begin a new series.
    let limits = Limits { answer: ms(400), backoff: ms(300), max_backoff: Duration::from_hours(1), ..LIMITS };
    let waf = fixture.waf(limits);
    let mut states = waf.state.clone();
    for backoff in [300, 600].map(ms) {
        eventually(&waf, 0).await;
        let asked = Instant::now();
        assert_eq!(waf.evaluate(0, BUDGET, Vec::new()).await, None, "it hangs");
        states.wait_for(|state| *state == State::Failed).await.unwrap();
        states.wait_for(|state| matches!(state, State::Ready(_))).await.unwrap();
        assert!(asked.elapsed() >= limits.answer + backoff, "{backoff:?}: {:?}", asked.elapsed());
    }
    eventually(&waf, 0).await;
}

#[tokio::test]
async fn an_idle_worker_that_dies_is_noticed_before_the_next_request() {
    let fixture =
        fixture(&format!("{HEAR} {} if [ -e \"$0\" ]; then {HEAR} {} sleep 100; fi; : >\"$0\"", ready(), outcome(0)));
    let mut files = fixture.files.clone();
    files.arguments.push(fixture.folder.path().join("failed").into());
    let waf = Waf::supervised(files, LIMITS);
    let mut states = waf.state.clone();
    for expected in [State::Failed, State::Ready(Versions { waf: "2".to_owned(), rules: "1".to_owned() })] {
        states.wait_for(|state| *state == expected).await.unwrap();
    }
    assert!(waf.evaluate(0, BUDGET, Vec::new()).await.is_some());
}

#[tokio::test]
async fn an_answer_to_another_question_is_no_result() {
    let fixture = fixture(&format!("{HEAR} {} {HEAR} {} sleep 100", ready(), outcome(8)));
    assert_eq!(fixture.waf(LIMITS).evaluate(7, BUDGET, Vec::new()).await, None);
}

#[tokio::test]
async fn what_can_never_work_is_tried_once() {
    let refusing = fixture(&format!("{HEAR} {} sleep 100", say(&Reply::Refused(b"no".to_vec()))));
    let mut without_worker = fixture("");
    without_worker.files.program = "/nonexistent/waf".into();
    let mut without_rules = fixture("");
    without_rules.files.rules = "/nonexistent/rules".into();
    for (fixture, starts) in [(refusing, 1), (without_worker, 0), (without_rules, 0)] {
        let waf = fixture.waf(LIMITS);
        waf.until_ready().await;
        waf.commands.closed().await;
        assert_eq!(waf.evaluate(0, BUDGET, Vec::new()).await, None);
        assert_eq!(fixture.starts(), starts);
    }
}

#[tokio::test]
async fn process_is_killed_when_its_handle_is_dropped() {
    let fixture = fixture(&format!("{HEAR} {} while :; do :; done", ready()));
    let worker = worker::Worker::start(&fixture.files).await.unwrap();
    let process = format!("/proc/{}", worker.id().unwrap());
    assert!(fs::exists(&process).unwrap());
    worker.stop().await;
    assert!(!fs::exists(&process).unwrap());
}

#[tokio::test]
async fn the_worker_has_no_variables_and_no_descriptor_but_its_socket() {
    let script = "tr '\\0' '\\n' </proc/$$/environ >\"$0\"; ls -l /proc/$$/fd >>\"$0\"";
    let mut fixture = fixture(script);
    let seen = fixture.folder.path().join("seen");
    fixture.files.arguments.push(seen.clone().into());
    fixture.files.libraries = Some("/somewhere".into());
    let mut worker = worker::Worker::start(&fixture.files).await.unwrap();
    assert!(matches!(worker.failure().await, worker::Error::Ended));
    let seen = fs::read_to_string(seen).unwrap();
    let variables: Vec<&str> = seen.lines().take_while(|line| !line.starts_with("total")).collect();
    assert_eq!(variables, ["LD_LIBRARY_PATH=/somewhere"]);
    assert_eq!(seen.matches("socket:").count(), 1, "{seen}");
    worker.stop().await;
}

#[tokio::test]
async fn requests_beyond_the_room_for_them_are_not_waited_for() {
    let fixture = fixture("sleep 100");
    let waf = fixture.waf(LIMITS);
    let waiting = AtomicUsize::new(0);
    let large = || vec![(b"a".to_vec(), Value::Text(vec![0; MAX_WAITING_BYTES / 4]))];
    let ask = async |waf: &Waf| {
        waiting.fetch_add(1, Ordering::Relaxed);
        waf.evaluate(0, BUDGET, large()).await
    };
    tokio::select! {
        biased;
        _ = async { tokio::join!(ask(&waf), ask(&waf), ask(&waf)) } => panic!("the worker answers nobody"),
        result = ask(&waf) => assert_eq!(result, None),
    }
    assert_eq!(waiting.load(Ordering::Relaxed), 4);
}

/// The process that this one has started from this program.
fn process(program: &Path) -> Option<Pid> {
    let parent = format!("PPid:\t{}\n", std::process::id());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_it = |number: &i32| {
        fs::read_link(format!("/proc/{number}/exe")).is_ok_and(|exe| exe == program)
            && fs::read_to_string(format!("/proc/{number}/status")).is_ok_and(|status| status.contains(&parent))
    };
    numbers.into_iter().find(is_it).map(Pid::from_raw)
}

/// The worker itself, with its library and its rules.
fn real_files() -> Files {
    let folder = fs::canonicalize(matrix::build::waf::folder().unwrap()).unwrap();
    let (program, rules) = (folder.join("waf"), folder.join("rules.json.gz"));
    Files { program, arguments: Vec::new(), libraries: Some(folder), rules }
}

fn attack() -> Addresses {
    let query = Value::Map(vec![(b"q".to_vec(), "1' OR '1'='1".into())]);
    vec![(b"server.request.query".to_vec(), query)]
}

#[tokio::test]
async fn the_worker_itself_finds_attacks_however_often_it_is_killed_or_stopped() {
    let files = real_files();
    let program = files.program.clone();
    let waf = Waf::supervised(files, LIMITS);
    let mut before = None;
    for signal in [Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGSEGV] {
        let result = loop {
            let result = waf.evaluate(waf.new_context(), Duration::from_secs(1), attack()).await;
            match result {
                Some(result) if process(&program) != before => break result,
                _ => tokio::task::yield_now().await,
            }
        };
        assert_eq!(result.field("keep"), Some(&Value::Bool(true)), "{result:?}");
        assert_eq!(waf.versions(), Versions { waf: "2.1.0".to_owned(), rules: "1.18.2".to_owned() });
        before = process(&program);
        let status = fs::read_to_string(format!("/proc/{}/status", before.unwrap())).unwrap();
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
        // A kernel may be built without filters.
        if Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
            assert!(status.contains("Seccomp:\t2\n"), "{status}");
        }
        kill(before.unwrap(), signal).unwrap();
    }
}

/// A body of 250 objects with so many numbers each.
fn body(numbers: usize) -> Addresses {
    let map = |count: usize, value: &Value| {
        Value::Map((0..count).map(|number| (format!("n{number}").into_bytes(), value.clone())).collect())
    };
    vec![(b"server.response.body".to_vec(), map(250, &map(numbers, &Value::Signed(1))))]
}

#[tokio::test]
async fn oversized_schema_loses_its_evaluation_and_keeps_the_worker() {
    // Under a name of its own, so that no other test takes the process for its own.
    let fixture = fixture("");
    let program = fixture.folder.path().join("waf");
    let files = real_files();
    matrix::executable::write(&program, fs::read(&files.program).unwrap()).unwrap();
    let limits = Limits { answer: Duration::from_secs(10), backoff: Duration::from_hours(1), ..LIMITS };
    let waf = Waf::supervised(Files { program, ..files }, limits);
    let budget = Duration::from_secs(5);
    for (numbers, has_schema) in [(100, true), (160, false)] {
        let context = waf.new_context();
        assert!(waf.evaluate(context, budget, body(numbers)).await.is_some(), "{numbers}");
        let result = waf.evaluate(context, budget, schema_addresses()).await;
        let attributes = result.as_ref().and_then(|result| result.field("attributes"));
        let schema = attributes.and_then(|attributes| attributes.field("_dd.appsec.s.res.body"));
        assert_eq!((result.is_some(), schema.is_some()), (has_schema, has_schema), "{numbers}");
    }
    assert!(waf.evaluate(waf.new_context(), budget, attack()).await.is_some(), "the worker lives");
}
