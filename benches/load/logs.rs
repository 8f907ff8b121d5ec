//! Logs from a telemetry batch to a compressed payload, against nothing but zstd over the same bytes at the same level.

use std::{
    hint::black_box,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use bottlecap::{
    aggregate::EncodedBatches,
    config::Config,
    intake::{self, MemoryBudget, UnsealedPayload},
    platform::{Environment, RequestId},
    process::{
        event::parse,
        invocation::{Output, Processor, Settings},
        log::{LogEncoder, Rules},
        tags::FunctionTags,
    },
};

use super::{
    Effort,
    page::{Section, median, number},
    random::Lines,
};

const REQUEST: &str = "8a3c1f7e-5d5c-4b0e-9a54-0d2f1e3b4c5d";

struct Load {
    /// Lines in a batch.
    lines: usize,
    /// Bytes of a line, about.
    bytes: usize,
    /// Whether a line is a JSON object that Lambda has parsed.
    json: bool,
}

impl Load {
    /// A batch as the Telemetry API sends it.
    fn batch(&self) -> Vec<u8> {
        let mut lines = Lines::new();
        let record = |line: String| {
            if self.json {
                serde_json::json!({"timestamp": "2026-01-02T03:04:05.678Z", "level": "INFO", "message": line, "requestId": REQUEST})
            } else {
                serde_json::json!(line + "\n")
            }
        };
        let event = |number: usize| {
            let time = format!("2026-01-02T03:04:05.{:03}Z", number % 1000);
            serde_json::json!({"time": time, "type": "function", "record": record(lines.line(self.bytes))})
        };
        serde_json::to_vec(&(0..self.lines).map(event).collect::<Vec<_>>()).unwrap()
    }
}

/// Measures the way of a line, at several loads.
pub fn measure(effort: Effort) -> Section {
    let load = |lines, bytes, json| Load { lines, bytes, json };
    let loads = [
        load(10, 150, false),
        load(100, 150, false),
        load(1000, 150, false),
        load(1000, 1000, false),
        load(1000, 150, true),
    ];
    Section {
        title: "Logs",
        about: format!(
            "A batch of telemetry, read, processed, encoded and compressed on one core, against zstd over the bytes that come out, at the same level ({}). Both use \
             memory again that was freed, as much of it as the extension keeps.",
            level()
        ),
        columns: vec!["lines", "bytes a line", "form", "lines/s", "µs a batch", "zstd, µs a batch", "ratio"],
        rows: loads.iter().map(|load| row(load, effort)).collect(),
    }
}

fn level() -> i32 {
    Config::default().logs.compression.unwrap()
}

fn row(load: &Load, effort: Effort) -> Vec<String> {
    let batch = load.batch();
    let mut pipeline = Pipeline::new();
    let (mut own, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.of(100_000 / load.lines, 3) {
        let (took, json) = pipeline.take(&batch, load.lines);
        let least = compress(&json);
        own.push(took.as_secs_f64());
        bare.push(least.as_secs_f64());
        ratios.push(least.as_secs_f64() / took.as_secs_f64());
    }
    let (own, bare) = (median(own), median(bare));
    vec![
        load.lines.to_string(),
        load.bytes.to_string(),
        if load.json { "object" } else { "text" }.to_owned(),
        number(load.lines as f64 / own),
        number(own * 1e6),
        number(bare * 1e6),
        format!("{:.2}", median(ratios)),
    ]
}

fn compress(json: &[u8]) -> Duration {
    let begin = Instant::now();
    let compressed = zstd::bulk::compress(black_box(json), level()).unwrap();
    let took = begin.elapsed();
    assert!(compressed.len() < json.len());
    took
}

/// What stands between the listener and the request to Datadog.
struct Pipeline {
    processor: Processor,
    origin: LogEncoder,
    queue: EncodedBatches,
    config: Config,
}

impl Pipeline {
    fn new() -> Self {
        let config = Config::default();
        let environment = Environment::read(|name| (name == "AWS_LAMBDA_FUNCTION_NAME").then(|| "checkout".to_owned()));
        let tags = FunctionTags::collect(&environment, Some("123456789012"), &config);
        let settings = Settings {
            managed: false,
            enhanced_metrics: true,
            logs: true,
            telemetry: true,
            init_type_tagged: true,
            snap_start: false,
            architecture: "x86_64",
        };
        let mut processor = Processor::new(settings, Rules::default(), 0);
        // Lines belong to an invocation that has begun in the platform's own story too.
        let start = format!(r#"[{{"type":"platform.start","record":{{"requestId":"{REQUEST}"}}}}]"#);
        let mut produced = Output::default();
        processor.invoke(&RequestId::from(REQUEST), 0, &mut produced);
        for event in parse(start.as_bytes(), 0).events {
            processor.event(event, &mut produced);
        }
        Self {
            processor,
            origin: LogEncoder::new(tags, &config),
            queue: EncodedBatches::new(intake::logs::FORMAT),
            config,
        }
    }

    /// How long a batch takes, and what it has become before it was compressed.
    fn take(&mut self, batch: &[u8], lines: usize) -> (Duration, Vec<u8>) {
        let budget = MemoryBudget::default();
        let begin = Instant::now();
        let sealed: Vec<_> = self
            .unsealed(batch)
            .into_iter()
            .flat_map(|payload| payload.compress(&budget, &AtomicBool::default()))
            .collect();
        let took = begin.elapsed();
        assert_eq!(sealed.iter().map(|payload| payload.items).sum::<u64>(), lines as u64);
        (took, self.unsealed(batch).remove(0).body.to_vec())
    }

    fn unsealed(&mut self, batch: &[u8]) -> Vec<UnsealedPayload> {
        for event in parse(black_box(batch), 0).events {
            let mut produced = Output::default();
            self.processor.event(event, &mut produced);
            for log in &produced.logs {
                self.queue.push(&self.origin.encode(log));
            }
        }
        self.queue.drain().into_iter().map(|batch| intake::logs::unsealed(batch, &self.config.logs)).collect()
    }
}
