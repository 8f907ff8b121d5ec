//! Lines of every shape, from the function's stdout to the intake.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc, time::Duration};

use bottlecap::features;
use matrix::sandbox::{
    Function, Sandbox, Setup,
    function::{Call, Handler, HandlerOutcome, InitError},
};

use crate::support::{self, Run, babble, echo, end, invoke, request_id, run_sandbox, setup, setup_with, text};

/// One invocation of a function that prints these lines.
fn printing(lines: Vec<Vec<u8>>, variables: &[(&str, &str)]) -> Run {
    let function = Function::from_fn(move |call| {
        for line in &lines {
            call.print(line);
        }
        HandlerOutcome::Response(b"null".to_vec())
    });
    let run = run_sandbox(setup_with(function, variables), 1);
    run.assert_unharmed();
    run.assert_no_problems();
    run
}

fn printed(run: &Run, line: &str) -> serde_json::Value {
    run.intake
        .logs()
        .into_iter()
        .find(|log| text(log) == line)
        .unwrap_or_else(|| panic!("{line:?} in {:?}", run.messages()))
}

#[test]
fn an_empty_line_is_a_line() {
    let run = printing(vec![b"before".to_vec(), Vec::new(), b"after".to_vec()], &[]);
    printed(&run, "before");
    printed(&run, "");
    printed(&run, "after");
}

#[test]
fn a_line_of_a_mebibyte_arrives_as_much_as_the_intake_takes() {
    let mut line = "m".repeat(1 << 20);
    let run = printing(vec![line.clone().into_bytes()], &[]);
    let long = run.messages().into_iter().find(|message| message.starts_with("mmm")).unwrap();
    assert!(long.ends_with("...TRUNCATED..."));
    line.truncate(1_000_000);
    assert!(long.starts_with(&line));
}

#[test]
fn invalid_utf8_is_replaced() {
    printed(&printing(vec![b"caf\xe9 ok".to_vec()], &[]), "caf\u{fffd} ok");
}

#[test]
fn json_keeps_its_text_and_gives_its_severity_and_tags() {
    let run = printing(
        vec![
            br#"{"level": "ERROR", "text": "a \"quoted\" word", "n": 1.50}"#.to_vec(),
            br#"{"ddtags":"color:red","text":"tagged"}"#.to_vec(),
            b"{\"broken\":".to_vec(),
        ],
        &[],
    );
    let error = printed(&run, r#"{"level": "ERROR", "text": "a \"quoted\" word", "n": 1.50}"#);
    assert_eq!(error["message"]["status"], "error");
    let tagged = printed(&run, r#"{"text":"tagged"}"#);
    assert!(tagged["ddtags"].as_str().unwrap().ends_with(",color:red"));
    printed(&run, "{\"broken\":");
}

#[test]
fn status_codes_are_no_severities_and_every_status_attribute_counts() {
    let expected = [
        (r#"{"method":"GET","path":"/x","status":404}"#, "info"),
        (r#"{"method":"GET","path":"/y","status":500}"#, "info"),
        (r#"{"event":"job done","status":0}"#, "info"),
        (r#"{"level":50,"msg":"pino"}"#, "error"),
        (r#"{"severity":"WARNING"}"#, "warn"),
        (r#"{"syslog":{"severity":3}}"#, "error"),
        (r#"{"level":{"name":"error"}}"#, "error"),
        (r#"{"status":"error"}"#, "error"),
    ];
    let run = printing(expected.iter().map(|(line, _)| line.as_bytes().to_vec()).collect(), &[]);
    for (line, severity) in expected {
        assert_eq!(printed(&run, line)["message"]["status"], severity, "{line}");
    }
}

#[test]
fn taking_tags_out_of_a_line_leaves_its_other_bytes_alone() {
    let line = br#"{"ddtags":"a:b", "id":12345678901234567890123, "price":1.50, "twice":1, "twice":2}"#;
    let run = printing(vec![line.to_vec()], &[]);
    let log = printed(&run, r#"{"id":12345678901234567890123, "price":1.50, "twice":1, "twice":2}"#);
    assert!(log["ddtags"].as_str().unwrap().ends_with(",a:b"));
}

#[test]
fn equal_batches_of_telemetry_all_count() {
    let line = serde_json::json!({"time": "2026-11-23T09:45:46.221Z", "type": "function", "record": "the same"});
    let sandbox = Sandbox::start(setup(echo())).unwrap();
    let mut invocations = Vec::new();
    for number in 0..3 {
        assert!(sandbox.inject("datadog-agent", std::slice::from_ref(&line)));
        invocations.extend(invoke(&sandbox, number..number + 1));
    }
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_exactly_once();
    assert_eq!(run.count_messages("the same"), 3, "{}", run.own_lines());
}

#[test]
fn processing_rules_hold() {
    let rules = r#"[{"type":"include_at_match","name":"the customer's own","pattern":"^(my|card)"},
                    {"type":"exclude_at_match","name":"no regular expression","pattern":"("},
                    {"type":"exclude_at_match","name":"no secrets","pattern":"password"},
                    {"type":"mask_sequences","name":"mask","pattern":"card \\d+","replace_placeholder":"card ***"}]"#;
    let lines = vec![b"my password".to_vec(), b"card 1234".to_vec(), b"another".to_vec()];
    let run = printing(lines, &[("DD_LOGS_CONFIG_PROCESSING_RULES", rules)]);
    assert_eq!(run.messages(), ["card ***"], "nor any line of the platform's or of the extension's");
    assert!(run.own_lines().contains("\\\"no regular expression\\\" is ignored"), "{}", run.own_lines());
}

/// A line with its numbers and ids left out.
fn shape(message: &str, id: &str) -> String {
    let mut shape = String::new();
    for character in message.replace(id, "<id>").chars() {
        let character = if character.is_ascii_digit() { '#' } else { character };
        if character != '#' || !shape.ends_with('#') {
            shape.push(character);
        }
    }
    shape
}

#[test]
fn the_platforms_lines_are_those_of_cloudwatch_and_no_others() {
    let run = run_sandbox(setup(Function::null()), 2);
    run.assert_unharmed();
    let ids: Vec<_> = run.invocations.iter().map(|invocation| invocation.request_id.as_str()).collect();
    let (logs, own) = (run.intake.logs(), run.own_lines());
    let of = |id: Option<&str>| {
        let of_platform = logs.iter().filter(|log| !own.lines().any(|line| line == text(log)));
        let told = of_platform
            .filter(|log| request_id(log) == id)
            .map(|log| format!("{} {}", log["message"]["status"], shape(text(log), id.unwrap_or("-"))));
        told.collect::<BTreeSet<_>>()
    };
    let init =
        "INIT_START Runtime Version: matrix:in-process Runtime Version ARN: arn:aws:lambda:us-east-#::runtime:sandbox";
    let used = "REPORT RequestId: <id> Duration: #.# ms Runtime Duration: #.# ms Post Runtime Duration: #.# ms \
                Billed Duration: # ms Memory Size: # MB Max Memory Used: # MB";
    let cold = format!("{used} Init Duration: #.# ms");
    let both = ["START RequestId: <id> Version: $LATEST", "END RequestId: <id>"];
    let info = |lines: &[&str]| lines.iter().map(|line| format!("\"info\" {line}")).collect::<BTreeSet<_>>();
    assert_eq!(of(Some(ids[0])), info(&[init, both[0], both[1], &cold]));
    assert_eq!(of(Some(ids[1])), info(&[both[0], both[1], used]));
    assert_eq!(of(None), BTreeSet::new());
}

#[test]
fn a_flood_is_split_into_requests_that_the_intake_takes() {
    let function = Function::from_fn(|call| {
        let mut line = String::new();
        for number in 0..5000 {
            line.clear();
            let _ = write!(line, "flood {number} {}", "x".repeat(2000));
            call.print(&line);
        }
        HandlerOutcome::Response(b"null".to_vec())
    });
    let run = run_sandbox(Setup { timeout: Duration::from_secs(30), ..setup(function) }, 1);
    run.assert_unharmed();
    run.assert_no_problems();
    let mut numbers: Vec<usize> = run
        .messages()
        .iter()
        .filter_map(|message| message.strip_prefix("flood ")?.split(' ').next()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..5000).collect::<Vec<_>>());
}

#[test]
fn logs_go_as_they_are_if_compression_is_turned_off() {
    for (on, encoding) in [("true", "zstd"), ("false", "identity")] {
        let run = printing(vec![b"plain".to_vec()], &[("DD_LOGS_CONFIG_USE_COMPRESSION", on)]);
        printed(&run, "plain");
        let requests = run.intake.requests();
        let logs: Vec<_> = requests.iter().filter(|request| request.path == "/api/v2/logs").collect();
        assert!(!logs.is_empty() && logs.iter().all(|request| request.encoding == encoding), "{on} {logs:?}");
    }
}

#[test]
fn logs_are_compressed_as_hard_as_is_asked_for() {
    let lines: Vec<_> = (0..2_000).map(|number| babble(number).into_bytes()).collect();
    let sent = |variable: &str, level: &str| {
        let run = printing(lines.clone(), &[(variable, level)]);
        assert_eq!(run.messages().iter().filter(|message| **message == babble(1_999)).count(), 1);
        run.sent_bytes("/api/v2/logs")
    };
    for variable in ["DD_LOGS_CONFIG_COMPRESSION_LEVEL", "DD_COMPRESSION_LEVEL"] {
        let [little, much] = ["1", "19"].map(|level| sent(variable, level));
        // Ids and times differ from one run to another, by much less than that.
        assert!(much < little / 20 * 19, "{variable}: {little} and {much} bytes");
    }
}

/// A function that says something while it is initialized.
struct InitPrinter;

impl Handler for InitPrinter {
    fn init(&self, call: &Call<'_>) -> Result<(), InitError> {
        call.print("importing");
        Ok(())
    }

    fn handle(&self, _: &Call<'_>) -> HandlerOutcome {
        HandlerOutcome::Response(b"null".to_vec())
    }
}

#[test]
fn init_line_belongs_to_the_first_invocation_or_none() {
    for times in [0, 2] {
        let run = run_sandbox(setup(Function::InProcess(Arc::new(InitPrinter))), times);
        run.assert_orderly_end();
        run.assert_no_problems();
        assert_eq!(run.count_messages("importing"), 1, "{}", run.own_lines());
        let first = run.invocations.first().map(|invocation| invocation.request_id.as_str());
        assert_eq!(request_id(&printed(&run, "importing")), first);
    }
}

/// In Python, because code of this process fails sooner than any extension can have subscribed.
#[test]
fn failed_init_lines_sent_without_request_id() {
    let directory = tempfile::tempdir().unwrap();
    let function = support::python(&directory, "print('importing')\nraise ValueError('no such luck')\n");
    let run = run_sandbox(setup(function), 0);
    run.assert_orderly_end();
    run.assert_no_problems();
    assert_eq!(request_id(&printed(&run, "importing")), None);
}

#[test]
fn our_own_lines_follow_the_level_and_do_not_beget_others() {
    let run = |level: &str| {
        let run =
            run_sandbox(setup_with(echo(), &[("DD_LOG_LEVEL", level), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")]), 8);
        run.assert_unharmed();
        run.assert_exactly_once();
        run.own_lines()
    };
    // What a FIPS build says of its module is logged at every level.
    let off = run("off");
    let others =
        off.lines().filter(|line| line.contains("DD_EXTENSION") && !(features::FIPS && line.contains("| FIPS | ")));
    assert_eq!(others.count(), 0, "{off}");
    let debug = run("debug");
    assert!(debug.contains(r#"{"status":"DEBUG","message":"DD_EXTENSION | DEBUG | "#), "{debug}");
    // If a line that comes back were told in another line, every flush would have more to say than the one before.
    assert!(debug.lines().count() < 8 * 8, "{debug}");
}
