//! Every parser that reads from outside, against many inputs that are nearly right: none brings the extension down, and what is wrong with one part of an input
//! changes nothing about the others.
//!
//! `FUZZ_INPUTS=1000000 FUZZ_SEED=7 cargo test --release --test fuzz` looks longer and elsewhere. A failure names the input's number, which together with the seed
//! makes the same input again.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail like a test, but only functions marked as tests are exempt"
)]

#[path = "fuzz/checks.rs"]
mod checks;
#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/mutation.rs"]
mod mutation;
#[path = "fuzz/otlp.rs"]
mod otlp;
#[path = "fuzz/settings.rs"]
mod settings;
#[path = "fuzz/traces.rs"]
mod traces;
#[path = "fuzz/triggers.rs"]
mod triggers;

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use bottlecap::{
    config::{self, Config},
    platform::{Environment, Response, http1},
    process::{
        dogstatsd,
        event::{self, Record},
        log::{self, encoder},
        tags::FunctionTags,
    },
};
use mutation::Mutations;
use serde_json::{Value, value::RawValue};

/// How many inputs each parser gets where nobody asks for more.
const INPUTS: u64 = 4_000;
const SEED: u64 = 1;

fn given(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// Tries every example as it is, and then what becomes of them.
fn fuzz(corpus: &[&[u8]], mut check: impl FnMut(&[u8], &mut Mutations)) {
    let seed = given("FUZZ_SEED", SEED);
    for number in 0..given("FUZZ_INPUTS", INPUTS) + corpus.len() as u64 {
        // Each has a seed of its own, so that one input can be made without those before it.
        let mut mutations = Mutations::new(seed ^ (number << 20), corpus);
        let input = usize::try_from(number)
            .ok()
            .and_then(|number| corpus.get(number))
            .map_or_else(|| mutations.input(), |it| it.to_vec());
        let checked = catch_unwind(AssertUnwindSafe(|| check(&input, &mut mutations)));
        if let Err(panic) = checked {
            let shown = String::from_utf8_lossy(&input[..input.len().min(2_000)]);
            eprintln!("input {number} of FUZZ_SEED={seed}, {} bytes: {shown:?}", input.len());
            resume_unwind(panic);
        }
    }
}

#[test]
fn valid_dogstatsd_line_is_parsed_among_malformed_ones() {
    let corpus: [&[u8]; 8] = [
        b"page.views:1|c",
        b"fuel.level:0.5|g|#env:prod,team:a",
        b"song.length:240:250|h|@0.5",
        b"users.uniques:1234|s\nusers.online:1|c|@0.25|#country:china",
        b"latency:12.5|ms|c:in-1234|T1656581400|e:it-false",
        b"_e{5,4}:title|text|#a:b\n_sc|up|0|m:fine",
        b"aws.lambda.enhanced.invocations:1|d",
        b"d:-3.5e2|d|card:low",
    ];
    let read = |bytes: &[u8]| {
        let mut metrics = Vec::new();
        let tally = dogstatsd::read(bytes, 1_700_000_000, Some("ns."), |metric| metrics.push(format!("{metric:?}")));
        (metrics, tally.events + tally.service_checks, tally.malformed)
    };
    fuzz(&corpus, |input, _| {
        let (metrics, others, malformed) = read(input);
        let alone: Vec<_> = input.split(|byte| *byte == b'\n').map(read).collect();
        assert_eq!(metrics, alone.iter().flat_map(|line| line.0.clone()).collect::<Vec<_>>());
        assert_eq!(others, alone.iter().map(|line| line.1).sum::<u64>());
        assert_eq!(malformed, alone.iter().map(|line| line.2).sum::<u64>());
    });
}

const TELEMETRY: [&[u8]; 6] = [
    br#"[{"time":"2024-04-25T17:35:59.944Z","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"python:3.12","runtimeVersionArn":"arn:aws:lambda:us-east-1::runtime:1"}},{"time":"2024-04-25T17:36:00.032Z","type":"function","record":"INFO hello\n"}]"#,
    br#"[{"time":"2022-10-21T14:05:03.165Z","type":"platform.start","record":{"requestId":"459921b5-681c-4a96-beb0-81e0aa586026","version":"$LATEST"}},{"time":"2022-10-21T14:05:05.764Z","type":"platform.runtimeDone","record":{"requestId":"459921b5-681c-4a96-beb0-81e0aa586026","status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":2599.4,"producedBytes":8}}}]"#,
    br#"[{"time":"2022-10-21T14:05:05.766Z","type":"platform.report","record":{"requestId":"459921b5","status":"success","metrics":{"durationMs":2599.4,"billedDurationMs":2600,"memorySizeMB":128,"maxMemoryUsedMB":94,"initDurationMs":549.04}}}]"#,
    br#"[{"time":"2024-04-25T17:36:00.032Z","type":"function","record":{"level":"ERROR","message":{"ddtags":"a:b","more":[1,2]},"requestId":"r1","ddtags":"team:x","executionArn":"arn:aws:lambda:x/durable-execution/n/i"}},{"time":"","type":"extension","record":"{\"status\":30,\"message\":\"x\"}"}]"#,
    br#"[{"time":"2024-04-25T17:36:00.032Z","type":"platform.logsDropped","record":{"reason":"slow","droppedRecords":123,"droppedBytes":12345}}]"#,
    br#"[{"time":"2024-04-25T17:36:00.032Z","type":"platform.tomorrow","record":{"x":[[[[{}]]]]}}]"#,
];

#[test]
fn telemetry_event_is_parsed_among_malformed_ones() {
    fuzz(&TELEMETRY, |input, _| {
        let batch = event::parse(input, 7);
        let text = String::from_utf8_lossy(input);
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(&text) else {
            assert!(batch.events.is_empty() && batch.malformed == 1);
            return;
        };
        assert_eq!(batch.events.len() + batch.unknown + batch.malformed, elements.len());
        let alone = elements.iter().flat_map(|element| event::parse(format!("[{element}]").as_bytes(), 7).events);
        assert_eq!(batch.events, alone.collect::<Vec<_>>());
    });
}

#[test]
fn every_line_becomes_one_element_that_the_intake_takes() {
    let environment = Environment::read(|_| None);
    let config = Config::default();
    let origin = encoder::LogEncoder::new(FunctionTags::collect(&environment, None, &config), &config);
    fuzz(&TELEMETRY, |input, _| {
        let lines = event::parse(input, 7).events.into_iter().filter_map(|event| match event.record {
            Record::Function(text) | Record::Extension(text) => Some(text),
            Record::Platform(_) => None,
        });
        let whole = event::parse(&serde_json::to_vec(&[line_of(&String::from_utf8_lossy(input))]).unwrap(), 7);
        let whole = whole.events.into_iter().filter_map(|event| match event.record {
            Record::Function(text) => Some(text),
            _ => None,
        });
        for text in lines.chain(whole) {
            let log = log::read(text, 7).log;
            let encoded = origin.encode(&log);
            assert!(encoded.len() <= encoder::MAX_ELEMENT_BYTES);
            let element: Value = serde_json::from_slice(&encoded).unwrap();
            assert_eq!(element["ddsource"], "lambda");
            let message = element["message"]["message"].as_str().unwrap();
            assert!(message == log.message || message.ends_with("...TRUNCATED..."));
        }
    });
}

fn line_of(text: &str) -> Value {
    serde_json::json!({"time": "2024-04-25T17:36:00.032Z", "type": "function", "record": text})
}

#[test]
fn malformed_settings_file_leaves_environment_settings_intact() {
    let corpus: [&[u8]; 6] = [
        b"site: datadoghq.eu\nenv: prod\nversion: 1.10\ntags:\n  - team:a\n  - layer:b\nlogs_config:\n  use_compression: false\n  processing_rules:\n    - type: mask_sequences\n      name: n\n      pattern: \\d+\n      replace_placeholder: x\n",
        b"# a comment\nproxy: {https: 'http://p:3128', no_proxy: [a, b]}\nadditional_endpoints:\n  https://x.example: [k1, k2]\n",
        b"a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]\ntags: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]\n",
        b"serverless_flush_strategy: periodically,100\nflush_timeout: 5\ndogstatsd_queue_size: 99\n---\nsite: second\n",
        b"? complex\n: key\n<<: {env: merged}\n!!binary aGk=: |\n  block\n  text\n",
        b"\xef\xbb\xbfapi_key: 0123456789\nlog_level: >-\n  debug\n",
    ];
    fuzz(&corpus, |input, _| {
        let document = String::from_utf8_lossy(input);
        let variables = [("DD_ENV", "staging"), ("DD_FLUSH_TIMEOUT", "17"), ("DATADOG_SERVICE", "shop")];
        let loaded = config::load(variables, Some(&document));
        let mut expected = config::load([("", ""); 0], Some(&document)).config;
        expected.env = Some("staging".to_owned());
        expected.service = Some("shop".to_owned());
        expected.flush_timeout = Duration::from_secs(17);
        expected.http.timeout = Duration::from_secs(17);
        assert_eq!(loaded.config, expected);
        assert_usable(&loaded.config);
    });
}

#[test]
fn malformed_variable_leaves_other_settings_intact() {
    let keys = settings::documented();
    assert!(keys.len() > 40);
    let corpus: [&[u8]; 9] = [
        b"true",
        b"a:b,c:d e:f",
        b"https://user:pass@host.example:8443/path?query#fragment",
        br#"[{"type":"exclude_at_match","name":"n","pattern":"^a(b|c)*$"}]"#,
        br#"[{"api_key":"k","Host":"h","Port":443,"is_reliable":true}]"#,
        br#"{"https://a.example":["k1","k2"]}"#,
        b"continuously,20000",
        b"30.5",
        b"10.0.0.0/8,.internal.example,*",
    ];
    let mut tried = vec![0; keys.len()];
    fuzz(&corpus, |input, mutations| {
        let value = String::from_utf8_lossy(input);
        let index = mutations.index(keys.len());
        tried[index] += 1;
        let loaded = settings::assert_alone(&keys, index, &value);
        assert!(loaded.warnings.iter().all(|warning| warning.to_string().len() < 1_000), "{}", keys[index].name);
        assert_usable(&loaded.config);
    });
    if given("FUZZ_INPUTS", INPUTS) >= INPUTS {
        let least = tried.iter().min().unwrap();
        let most = tried.iter().max().unwrap();
        assert!(most < &(least * 4), "every key gets its share: {least} to {most}");
    }
}

fn assert_usable(config: &Config) {
    for url in [&config.logs.url, &config.metrics.url] {
        assert!(reqwest::Url::parse(url).is_ok(), "{url}");
    }
    assert!(!config.http.timeout.is_zero());
}

#[test]
fn platform_responses_parse_equally_from_pieces_of_any_size() {
    let corpus: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLambda-Extension-Identifier: id-1\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nO\r\n1;ext=1\r\nK\r\n0\r\nx: y\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\n\r\nwhy",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"errorType\":\"x\"}",
    ];
    fuzz(&corpus, |input, mutations| {
        let mut cuts = mutations.cuts(input.len());
        cuts.push(input.len());
        assert_eq!(answers(input, &cuts), answers(input, &[input.len()]));
    });
}

/// All answers up to the first that is none, which is told alike wherever it was noticed.
fn answers(bytes: &[u8], cuts: &[usize]) -> (Vec<Response>, bool) {
    let mut parser = http1::Parser::default();
    let mut found = Vec::new();
    let mut from = 0;
    for (at, cut) in cuts.iter().enumerate() {
        if parser.feed(&bytes[from..*cut]).is_err() {
            return (found, false);
        }
        from = *cut;
        let ended = at + 1 == cuts.len();
        loop {
            match parser.response(ended) {
                Ok(Some(response)) => found.push(response),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
            // At the end an answer without a length takes the rest; nothing is left to be one.
            if found.len() > bytes.len() {
                return (found, false);
            }
        }
    }
    (found, true)
}
