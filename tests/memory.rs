//! What is held in memory while it waits. Each test measures in a process of its own: memory that another test has used and freed stays with its process.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

#[path = "memory/decoded.rs"]
mod decoded;
#[path = "memory/spans.rs"]
mod spans;

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    sync::Arc,
    thread,
};

use bottlecap::{
    aggregate::Contexts,
    config::Config,
    ingest::telemetry::TelemetryListener,
    intake::{
        metrics::{MetricSnapshot, unsealed},
        tls::sha256,
    },
    os::allocator::release_free_memory,
    platform::Environment,
    process::{
        dogstatsd::read,
        otlp::{
            Encoding,
            decode::{self, MAX_DECODED_BYTES},
        },
        trace::decode::{DecodeError, MAX_TRACE_BYTES},
        trigger::{Event, Settings},
    },
};

const ENTRIES: usize = 10_000;
const MEBIBYTE: usize = 1 << 20;

/// Set in the processes that measure.
const MEASURES: &str = "BOTTLECAP_TEST_MEASURES_MEMORY";

/// Runs the measurement of the test of that name in a process of its own.
fn in_own_process(test: &str, measure: impl FnOnce()) {
    if env::var_os(MEASURES).is_some() {
        return measure();
    }
    let program = env::current_exe().unwrap();
    let child = Command::new(program).args(["--exact", test, "--nocapture"]).env(MEASURES, "1").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
    println!("{text}");
}

/// A number of bytes from the kernel's description of this process.
fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    status("VmRSS")
}

/// The most bytes that were in memory while this ran, beyond those at its beginning.
fn peak(run: impl FnOnce()) -> usize {
    // Source: proc(5), `/proc/pid/clear_refs`: 5 sets the peak back to what is resident now.
    let cleared = fs::write("/proc/self/clear_refs", "5");
    assert!(cleared.is_ok(), "this test needs a kernel that lets it write /proc/self/clear_refs: {cleared:?}");
    let before = resident();
    run();
    status("VmHWM").saturating_sub(before)
}

/// A metric with tags of its own, as long as they are in practice, and ten values of which each has a bin of its own.
fn line(number: usize) -> String {
    format!(
        "shop.checkout.request.latency:1:2:4:8:16:32:64:128:256:512|d|#customer:customer-{number:08},endpoint:/api/v2/orders,\
         payment:card,status:200,store:berlin-mitte"
    )
}

#[test]
fn ten_thousand_entries_take_at_most_ten_mebibytes() {
    in_own_process("ten_thousand_entries_take_at_most_ten_mebibytes", measure_ten_thousand_entries);
}

fn measure_ten_thousand_entries() {
    let lines: Vec<_> = (0..ENTRIES).map(line).collect();
    let mut contexts = Contexts::default();
    let before = resident();
    for line in &lines {
        read(line.as_bytes(), 0, None, |metric| contexts.push(metric));
    }
    let each = resident().saturating_sub(before) / ENTRIES;
    assert_eq!(contexts.take_dropped(), 0);
    assert_eq!(contexts.drain().distributions.len(), ENTRIES);
    assert!(each > 100, "{each} bytes cannot be: this measures something else");
    assert!(each <= 1024, "{each} bytes for each of {ENTRIES} entries");
    println!("{each} bytes each");
}

/// A value that has a bin of its own among four thousand.
fn bin(number: u32) -> f64 {
    (0.02 * f64::from(number % 4_000) - 20.0).exp()
}

/// What it is called, and a line by its number.
type Shape = (&'static str, fn(u32) -> String);

#[test]
fn metrics_of_every_shape_fill_the_same_memory_at_most() {
    in_own_process("metrics_of_every_shape_fill_the_same_memory_at_most", measure_metrics_of_every_shape);
}

fn measure_metrics_of_every_shape() {
    // Shapes of which each meets another of the bounds: entries, text, members, bins in rising and in scattered order, buckets of one entry.
    let shapes: [Shape; 6] = [
        ("gauges", |number| format!("{number}:1|g")),
        ("texts", |number| format!("a:1|c|#{}{number}", "t".repeat(1 << (number % 13)))),
        ("members", |number| format!("s:{number}|s")),
        ("rising bins", |number| format!("d{}:{}|d", number / 4_000, bin(number))),
        ("scattered bins", |number| format!("d{}:{}|d", number % 97, bin(number % 4_000 * 7_919))),
        ("buckets", |number| format!("b:1|d|T{}", number * 10)),
    ];
    let mut kept = Vec::new();
    for (shape, line) in shapes {
        let mut contexts = Contexts::default();
        let before = resident();
        let mut number = 0;
        while contexts.take_dropped() == 0 {
            read(line(number).as_bytes(), i64::MAX, None, |metric| contexts.push(metric));
            number += 1;
        }
        let grown = resident().saturating_sub(before);
        println!("{shape}: {number} lines, {} KiB", grown >> 10);
        assert!(grown <= 11 * MEBIBYTE, "{shape}: {grown} bytes for {number} lines");
        kept.push(contexts);
    }
    assert_eq!(kept.len(), shapes.len(), "and none gave its memory to the next");
}

/// Every value stands for a million.
#[test]
fn absurd_sample_rates_take_no_more_memory_than_others() {
    in_own_process("absurd_sample_rates_take_no_more_memory_than_others", measure_absurd_sample_rates);
}

fn measure_absurd_sample_rates() {
    let aggregate = |datagram: &str, times: usize| {
        let mut contexts = Contexts::default();
        for _ in 0..times {
            read(datagram.as_bytes(), 0, None, |metric| contexts.push(metric));
        }
        let measured = MetricSnapshot { custom: contexts.drain(), ..MetricSnapshot::default() };
        let batches = unsealed(&measured, &[], &Config::default().metrics);
        batches.iter().map(|batch| batch.body.len()).sum::<usize>()
    };
    // Pages of this program are read at the first use and would count.
    aggregate("a:1|d", 1);
    let datagram = format!("a{}|d|@0.000001", ":1".repeat(4_000));
    let mut sent = 0;
    let grown = peak(|| sent = aggregate(&datagram, 100));
    assert!((1..64 << 10).contains(&sent), "{sent} bytes are sent");
    assert!(grown < 2 * MEBIBYTE, "{grown} bytes");
    println!("{} KiB, {sent} bytes sent", grown >> 10);
}

#[test]
fn an_event_takes_a_few_times_its_size_while_it_is_read() {
    in_own_process("an_event_takes_a_few_times_its_size_while_it_is_read", measure_events);
}

fn measure_events() {
    const SIZE: usize = 6 * MEBIBYTE;
    let settings = Settings::new(&Config::default(), &Environment::read(|_| None), sha256);
    let many = |item: &str| item.repeat(SIZE / item.len());
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    // Each quotation doubles the backslashes of the one before.
    let message = format!(
        r#"{{"detail-type":"d","source":"s","detail":{{"x":"{}"}}}}"#,
        many(r"\u00e9").split_at(SIZE / 3 / 7 * 7).0
    );
    let notification =
        format!(r#"{{"TopicArn":"arn:aws:sns:x:1:t","MessageId":1,"Timestamp":2,"Message":{}}}"#, quoted(&message));
    let shapes = [
        ("fields", format!(r#"{{{}"a":1}}"#, many(r#""":0,"#))),
        ("records", format!(r#"{{"Records":[{}1]}}"#, many("{},"))),
        (
            "headers",
            format!(
                r#"{{"requestContext":{{"domainName":"lambda-url"}},"headers":{{{}"a":1}}}}"#,
                many(r#""ot-baggage-a":"b","#)
            ),
        ),
        ("keys", format!(r#"{{"Records":[{{"dynamodb":{{"Keys":{{{}"a":1}}}}}}]}}"#, many(r#""a":{"S":"b"},"#))),
        (
            "bytes",
            format!(r#"{{"records":{{"t":[{{"topic":"t","headers":[{{"traceparent":[{}1]}}]}}]}}}}"#, many("1,")),
        ),
        ("nesting", many("[")),
        ("escapes", format!(r#"{{"Records":[{{"eventSource":"aws:sqs","body":{}}}]}}"#, quoted(&notification))),
        ("base64", format!(r#"{{"Records":[{{"kinesis":{{"data":"{}"}}}}]}}"#, many("AAAA"))),
    ];
    let mut kept = Vec::new();
    for (shape, event) in shapes {
        assert!((SIZE / 2..2 * SIZE).contains(&event.len()), "{shape}: {} bytes", event.len());
        let grown = peak(|| kept.push(Event::parse(event.as_bytes(), &settings, &mut || 1)));
        println!("{shape}: {} KiB of {}", grown >> 10, event.len() >> 10);
        assert!(grown < 3 * SIZE, "{shape}: {grown} bytes");
    }
}

#[test]
fn queued_spans_take_at_most_half_as_much_again_as_their_bytes() {
    in_own_process("queued_spans_take_at_most_half_as_much_again_as_their_bytes", measure_queued_spans);
}

fn measure_queued_spans() {
    for count in [10_000, 100_000] {
        let file = tempfile::NamedTempFile::new().unwrap();
        spans::write(file.as_file(), count);
        let spans::QueuedSizes { spans, request, payload, waiting, most } = spans::queue(file.path());
        println!("{count} spans: {request} bytes arrive, {payload} leave, {waiting} wait, at most {most} meanwhile");
        assert_eq!(spans, count);
        assert!(waiting > payload / 2, "{waiting} bytes cannot be: this measures something else");
        assert!(waiting * 2 <= request.max(payload) * 3, "{waiting}");
    }
}

#[test]
fn a_trace_takes_the_memory_that_its_spans_are_counted_for() {
    in_own_process("a_trace_takes_the_memory_that_its_spans_are_counted_for", measure_traces);
}

fn measure_traces() {
    measure_decoded(MAX_TRACE_BYTES, &decoded::traces_v04(), |body| {
        assert!(matches!(decoded::decode_v04(body), Err(DecodeError::TooLarge(_))));
    });
}

#[test]
fn a_request_over_otlp_takes_the_memory_that_it_is_counted_for() {
    in_own_process("a_request_over_otlp_takes_the_memory_that_it_is_counted_for", measure_otlp);
}

fn measure_otlp() {
    measure_decoded(MAX_DECODED_BYTES, &decoded::otlp_protobuf(), |body| {
        assert!(decoded::is_too_large(&decode::request(Encoding::Protobuf, body)));
    });
    measure_decoded(MAX_DECODED_BYTES, &decoded::otlp_json(), |body| {
        assert!(decoded::is_too_large(&decode::request(Encoding::Json, body)));
    });
}

#[test]
fn a_trace_of_its_own_for_each_span_over_otlp_takes_little_beside_them() {
    in_own_process("a_trace_of_its_own_for_each_span_over_otlp_takes_little_beside_them", measure_otlp_traces);
}

fn measure_otlp_traces() {
    const SPANS: u32 = 250_000;
    let body = decoded::otlp_traces(SPANS);
    let mut converted = 0;
    let grown = peak(|| converted = decoded::convert_otlp(&body));
    println!("{} MiB", grown / MEBIBYTE);
    assert_eq!(converted, SPANS as usize);
    assert!((MAX_DECODED_BYTES / 4..MAX_DECODED_BYTES).contains(&grown), "{grown} bytes");
}

/// Measures the decoding of bodies of which each meets the bound.
fn measure_decoded(bound: usize, shapes: &[decoded::Shape], decode: impl Fn(&[u8])) {
    let mut most = 0;
    for (shape, body) in shapes {
        release_free_memory();
        let grown = peak(|| decode(body));
        println!("{shape}: {} MiB", grown / MEBIBYTE);
        // The allocator has some bytes for each list.
        assert!(grown < bound / 4 * 5, "{shape}: {grown} bytes");
        most = most.max(grown);
    }
    assert!(most > bound / 2, "{most} bytes cannot be: this measures something else");
}

/// Posts a body that comes in parts, and waits for the answer.
fn post(port: u16, parts: &[&[u8]]) {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    connection.write_all(head.as_bytes()).unwrap();
    for part in parts {
        connection.write_all(part).unwrap();
    }
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn twenty_parallel_bodies_of_telemetry_take_the_memory_of_one() {
    in_own_process("twenty_parallel_bodies_of_telemetry_take_the_memory_of_one", measure_twenty_parallel_bodies);
}

fn measure_twenty_parallel_bodies() {
    const SENDERS: usize = 20;
    // All senders share the text, and each has a number in front of it.
    let text: Arc<[u8]> = vec![b'x'; 15 << 20].into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let grown = peak(|| {
        runtime.block_on(async {
            let bound = TelemetryListener::from_handover(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
            let port = bound.port;
            let mut batches = bound.serve().unwrap();
            let sender = |number: usize| {
                let text = Arc::clone(&text);
                let begin = format!(r#"[{{"type":"function","record":"{number} "#);
                thread::spawn(move || post(port, &[begin.as_bytes(), &text, br#""}]"#]))
            };
            let senders: Vec<_> = (0..SENDERS).map(sender).collect();
            for _ in 0..SENDERS {
                assert_eq!(batches.recv().await.unwrap().events.len(), 1);
            }
            join(senders).await;
        });
    });
    // A body and the text that was read from it, and what the allocator keeps.
    assert!(grown < 64 * MEBIBYTE, "{} MiB", grown / MEBIBYTE);
    println!("{} MiB", grown / MEBIBYTE);
}

/// Waits for threads without holding up the listener, which runs on this one.
async fn join(senders: Vec<thread::JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(|| senders.into_iter().for_each(|sender| sender.join().unwrap()));
    joined.await.unwrap();
}
