//! What the fake intake makes of requests that are written here byte by byte.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as the test does"
)]

use std::io::Write;

use matrix::sandbox::intake::{Intake, Kind, Origin, Payload, Plan, Request, RequestOutcome};
use serde_json::{Value, json};

const LOGS: &str = "/api/v2/logs";
const SERIES: &str = "/api/v2/series";
const SKETCHES: &str = "/api/beta/sketches";
const PROTOBUF: &str = "application/x-protobuf";

struct Client {
    intake: Intake,
    http: reqwest::Client,
}

impl Client {
    async fn start(plan: Plan) -> Self {
        let intake = Intake::start("127.0.0.1:0".parse().unwrap(), plan).await.unwrap();
        Self { intake, http: matrix::sandbox::http::client().unwrap() }
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http
            .post(format!("http://{}{path}", self.intake.address()))
            .header("DD-API-KEY", "key")
            .header("DD-PROTOCOL", "agent-json")
            .header("Content-Type", "application/json")
    }

    fn protobuf(&self, path: &str, body: Vec<u8>) -> reqwest::RequestBuilder {
        self.http
            .post(format!("http://{}{path}", self.intake.address()))
            .header("DD-API-KEY", "key")
            .header("Content-Type", PROTOBUF)
            .body(body)
    }

    /// Sends one request and returns the status with what the intake kept of it.
    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Request) {
        let status = request.send().await.unwrap().status().as_u16();
        (status, self.intake.requests().pop().unwrap())
    }
}

fn bytes_field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
    assert!(content.len() < 128, "one length byte is enough here");
    field.extend_from_slice(content);
    field
}

fn double_field(number: u8, value: f64) -> Vec<u8> {
    let mut field = vec![number << 3 | 1];
    field.extend_from_slice(&value.to_le_bytes());
    field
}

fn varint_field(number: u8, mut value: u64) -> Vec<u8> {
    let mut field = vec![number << 3];
    while value > 0x7f {
        field.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    field.push(u8::try_from(value).unwrap());
    field
}

fn log(message: &str) -> Value {
    json!({"message": {"message": message, "lambda": {"request_id": null}}, "ddsource": "lambda"})
}

#[tokio::test]
async fn logs_arrive_in_every_encoding() {
    let client = Client::start(Plan::default()).await;
    let plain = json!([log("one"), log("two")]).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain.as_bytes()).unwrap();
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(plain.as_bytes()).unwrap();
    let bodies = [
        ("identity", plain.clone().into_bytes()),
        ("zstd", zstd::encode_all(plain.as_bytes(), 3).unwrap()),
        ("gzip", gzip.finish().unwrap()),
        ("deflate", deflate.finish().unwrap()),
    ];
    for (encoding, body) in bodies {
        let wire_bytes = body.len();
        let request = client.post(LOGS).header("Content-Encoding", encoding).body(body);
        let (status, kept) = client.send(request).await;
        assert_eq!(status, 202, "{encoding}");
        assert_eq!((kept.encoding.as_str(), kept.wire_bytes, kept.body_bytes), (encoding, wire_bytes, plain.len()));
        assert!(matches!(&kept.payload, Payload::Logs(logs) if logs.len() == 2), "{encoding}: {kept:?}");
        assert_eq!(kept.problems, [""; 0], "{encoding}");
    }
    assert_eq!(client.intake.logs().len(), 8);
    assert_eq!(client.intake.logs()[1]["message"]["message"], "two");
    let numbers: Vec<usize> = client.intake.requests().iter().map(|request| request.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[tokio::test]
async fn json_series_are_decoded() {
    let client = Client::start(Plan::default()).await;
    let body = json!({"series": [{
        "metric": "orders", "type": 1, "interval": 10,
        "points": [{"timestamp": 1_700_000_000, "value": 5.0}],
        "tags": ["env:dev"],
        "resources": [{"name": "web-1", "type": "host"}],
        "metadata": {"origin": {"origin_product": 1, "origin_sub_product": 38, "origin_product_detail": 472}},
    }, {
        "metric": "load", "type": 3, "points": [{"timestamp": 1_700_000_010, "value": 0.5}], "metadata": null,
    }]});
    let (status, kept) = client.send(client.post(SERIES).body(body.to_string())).await;
    assert_eq!((status, kept.problems.len()), (202, 0), "{:?}", kept.problems);
    let Payload::Series(series) = &kept.payload else { panic!("{kept:?}") };
    assert_eq!((series[0].kind, series[1].kind), (Kind::Count, Kind::Gauge));
    assert_eq!(series[0].resources[0].kind, "host");
    assert_eq!(series[0].origin, Some(Origin { product: 1, category: 38, service: 472 }));
    assert_eq!(series[1].origin, None);
    let points = client.intake.points("orders");
    assert_eq!(points.len(), 1);
    assert_eq!(
        (points[0].ts, points[0].cnt, points[0].tags.as_slice()),
        (1_700_000_000, 1, ["env:dev".to_owned()].as_slice())
    );
    assert!((points[0].sum - 5.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn protobuf_series_are_decoded() {
    let client = Client::start(Plan::default()).await;
    let point = [double_field(1, 2.5), varint_field(2, 1_700_000_000)].concat();
    let resource = [bytes_field(1, b"host"), bytes_field(2, b"web-1")].concat();
    let origin = [varint_field(4, 1), varint_field(5, 38), varint_field(6, 472)].concat();
    let series = [
        bytes_field(1, &resource),
        bytes_field(2, b"load"),
        bytes_field(3, b"env:dev"),
        bytes_field(4, &point),
        varint_field(5, 3),
        varint_field(8, 10),
        bytes_field(9, &bytes_field(1, &origin)),
    ]
    .concat();
    let (status, kept) = client.send(client.protobuf(SERIES, bytes_field(1, &series))).await;
    assert_eq!((status, kept.problems.len()), (202, 0), "{:?}", kept.problems);
    let Payload::Series(series) = &kept.payload else { panic!("{kept:?}") };
    assert_eq!((series[0].metric.as_str(), series[0].kind, series[0].interval), ("load", Kind::Gauge, 10));
    assert_eq!(series[0].origin, Some(Origin { product: 1, category: 38, service: 472 }));
    assert_eq!(series[0].points[0].timestamp, 1_700_000_000);
    assert!((series[0].points[0].value - 2.5).abs() < f64::EPSILON);
}

/// One sketch entry of the samples 1 and 10, whose keys are 1338 and 1487.
fn sketch_entry() -> Vec<u8> {
    // Keys are zigzag: 2676 and 2974.
    let keys = [0xf4, 0x14, 0x9e, 0x17];
    let dogsketch = [
        varint_field(1, 1_700_000_000),
        varint_field(2, 2),
        double_field(3, 1.0),
        double_field(4, 10.0),
        double_field(5, 5.5),
        double_field(6, 11.0),
        bytes_field(7, &keys),
        bytes_field(8, &[1, 1]),
    ]
    .concat();
    [bytes_field(1, b"latency"), bytes_field(4, b"env:dev"), bytes_field(7, &dogsketch)].concat()
}

#[tokio::test]
async fn sketches_are_decoded_with_the_values_of_their_bins() {
    let client = Client::start(Plan::default()).await;
    let body = zstd::encode_all(bytes_field(1, &sketch_entry()).as_slice(), 3).unwrap();
    let (status, kept) = client.send(client.protobuf(SKETCHES, body).header("Content-Encoding", "zstd")).await;
    assert_eq!((status, kept.problems.len()), (202, 0), "{:?}", kept.problems);
    let Payload::Sketches(sketches) = &kept.payload else { panic!("{kept:?}") };
    let bins = &sketches[0].distributions[0].bins;
    assert_eq!(bins.iter().map(|bin| (bin.key, bin.count)).collect::<Vec<_>>(), [(1338, 1), (1487, 1)]);
    assert!((bins[0].low - 1.0).abs() < 1e-9 && (bins[1].low - 10.0).abs() < 0.1, "{bins:?}");
    let points = client.intake.points("latency");
    assert_eq!((points[0].cnt, points[0].tags[0].as_str()), (2, "env:dev"));
    assert!((points[0].sum - 11.0).abs() < 1e-9 && (points[0].max - 10.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_wrong_field_number_is_noticed() {
    let client = Client::start(Plan::default()).await;
    let entry = [sketch_entry(), bytes_field(11, b"stray")].concat();
    let (status, kept) = client.send(client.protobuf(SKETCHES, bytes_field(1, &entry))).await;
    assert_eq!(status, 202);
    assert_eq!(kept.problems, ["unknown protobuf field sketches.11"]);
}

#[tokio::test]
async fn a_body_that_is_not_what_its_header_says_is_refused() {
    let client = Client::start(Plan::default()).await;
    let plain = json!([log("one")]).to_string();
    let cases = [
        (
            client.post(LOGS).header("Content-Encoding", "zstd").body(plain.clone()),
            "Content-Encoding says zstd, the body is not",
        ),
        (
            client.post(LOGS).header("Content-Encoding", "br").body(plain.clone()),
            "Content-Encoding br is not supported",
        ),
        (
            client.post(LOGS).body(zstd::encode_all(plain.as_bytes(), 3).unwrap()),
            "the body is zstd but no Content-Encoding says so",
        ),
        (
            client.post(LOGS).body("{}"),
            "the body is not a JSON array: invalid type: map, expected a sequence at line 1 column 0",
        ),
    ];
    for (request, reason) in cases {
        let (status, kept) = client.send(request).await;
        assert_eq!(status, 400, "{reason}");
        assert_eq!(kept.problems, [reason]);
        assert!(matches!(kept.payload, Payload::Undecodable { .. }), "{kept:?}");
        assert!(!kept.delivered());
    }
    assert!(client.intake.logs().is_empty());
    let (status, kept) = client.send(client.protobuf(SKETCHES, vec![0xff; 9])).await;
    assert_eq!(status, 400);
    assert!(kept.problems[0].starts_with("the body is no SketchPayload"), "{:?}", kept.problems);
}

#[tokio::test]
async fn api_keys_are_checked() {
    let client = Client::start(Plan { api_key: Some("right".into()), ..Plan::default() }).await;
    let url = format!("http://{}{LOGS}", client.intake.address());
    let keys = [
        (None, 403, Some("the header DD-API-KEY is missing")),
        (Some(" "), 403, Some("the API key is blank")),
        (Some("wrong"), 403, Some("the API key is not the expected one")),
        (Some("right"), 202, None),
    ];
    for (key, expected, problem) in keys {
        let mut request = client
            .http
            .post(&url)
            .header("Content-Type", "application/json")
            .header("DD-PROTOCOL", "agent-json")
            .body("[]");
        if let Some(key) = key {
            request = request.header("DD-API-KEY", key);
        }
        let (status, kept) = client.send(request).await;
        assert_eq!(status, expected, "{key:?}");
        assert_eq!(kept.problems.first().map(String::as_str), problem);
    }
}

#[tokio::test]
async fn headers_methods_and_paths_are_checked() {
    let client = Client::start(Plan::default()).await;
    let url = |path: &str| format!("http://{}{path}", client.intake.address());

    let bare = client.http.post(url(LOGS)).header("DD-API-KEY", "key").header("Content-Type", "text/plain").body("[]");
    let (status, kept) = client.send(bare).await;
    assert_eq!(status, 202, "Datadog takes such a request, so only the record complains");
    let expected = [
        "the content type is \"text/plain\", it must be application/json",
        "a log request needs the header DD-PROTOCOL",
    ];
    assert_eq!(kept.problems, expected);

    let (status, kept) = client.send(client.http.get(url(SERIES)).header("DD-API-KEY", "key")).await;
    assert_eq!(status, 405);
    assert_eq!(kept.problems[0], "the method is GET, it must be POST");

    let (status, kept) = client.send(client.post("/api/v0.2/elsewhere?x=1").body("hello")).await;
    assert_eq!(status, 404);
    assert!(matches!(&kept.payload, Payload::Unknown { start } if start == "hello"));
    assert_eq!((kept.path.as_str(), kept.route()), ("/api/v0.2/elsewhere", None));
}

#[tokio::test]
async fn limits_of_the_intake_are_checked() {
    let client = Client::start(Plan::default()).await;
    let many = Value::Array((0..1001).map(|_| log("x")).collect());
    let (status, kept) = client.send(client.post(LOGS).body(many.to_string())).await;
    assert_eq!(status, 202);
    assert_eq!(kept.problems, ["1001 log entries in one request, 1000 are allowed"]);

    let long = json!([log(&"x".repeat(1024 * 1024))]);
    let (_, kept) = client.send(client.post(LOGS).body(long.to_string())).await;
    assert!(kept.problems[0].contains("Datadog cuts it at 1048576"), "{:?}", kept.problems);

    let heavy: Vec<Value> = (0..6).map(|_| log(&"x".repeat(1_000_000))).collect();
    let body = zstd::encode_all(Value::Array(heavy).to_string().as_bytes(), 1).unwrap();
    let (status, kept) = client.send(client.post(LOGS).header("Content-Encoding", "zstd").body(body)).await;
    assert_eq!(status, 413);
    assert!(kept.problems[0].ends_with("bytes uncompressed, 5242880 are allowed"), "{:?}", kept.problems);
    assert!(kept.wire_bytes < kept.body_bytes);
}

#[tokio::test]
async fn a_request_reads_as_json() {
    let client = Client::start(Plan::default()).await;
    let (_, kept) =
        client.send(client.post(LOGS).header("X-Mixed-Case", "Yes").body(json!([log("one")]).to_string())).await;
    assert_eq!(kept.header("x-mixed-case"), Some("Yes"));
    assert_eq!(kept.answer, RequestOutcome::Status { code: 202, delay_ms: 0 });
    let printed = serde_json::to_value(&kept).unwrap();
    assert_eq!(printed["payload"]["logs"][0]["message"]["message"], "one");
    assert_eq!(printed["answer"]["status"]["code"], 202);
    let at = printed["at"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.contains('T'), "{at}");
}

/// The fields of a map entry.
fn entry(number: u8, key: &str, value: &[u8]) -> Vec<u8> {
    bytes_field(number, &[bytes_field(1, key.as_bytes()), value.to_vec()].concat())
}

fn long_field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let length = u16::try_from(content.len()).unwrap();
    field.extend([u8::try_from(length & 0x7f).unwrap() | 0x80, u8::try_from(length >> 7).unwrap()]);
    field.extend_from_slice(content);
    field
}

#[tokio::test]
async fn traces_are_decoded_with_all_their_fields() {
    let client = Client::start(Plan::default()).await;
    let span = [
        bytes_field(1, b"shop"),
        bytes_field(2, b"web.request"),
        bytes_field(3, b"GET /"),
        varint_field(4, u64::MAX),
        varint_field(5, 7),
        varint_field(6, 3),
        varint_field(7, 1_700_000_000_000_000_000),
        varint_field(8, 1_000),
        varint_field(9, 1),
        entry(10, "env", &bytes_field(2, b"dev")),
        entry(11, "rows", &double_field(2, 2.5)),
        bytes_field(12, b"web"),
        entry(13, "raw", &bytes_field(2, &[0xca, 0xfe])),
    ]
    .concat();
    let chunk = [varint_field(1, 2), bytes_field(2, b"lambda"), long_field(3, &span)].concat();
    let tracer = [bytes_field(2, b"rust"), long_field(6, &chunk), entry(7, "t", &bytes_field(2, b"u"))].concat();
    let body = [long_field(5, &tracer), double_field(8, 60.0), double_field(9, 60.0)].concat();
    let body = zstd::encode_all(body.as_slice(), 3).unwrap();
    let request = client.protobuf("/api/v0.2/traces", body).header("Content-Encoding", "zstd");
    let (status, kept) = client.send(request).await;
    assert_eq!((status, kept.problems.len()), (202, 0), "{:?}", kept.problems);
    let kept = serde_json::to_value(&kept.payload).unwrap();
    let tracer = &kept["traces"]["tracer_payloads"][0];
    assert_eq!((&tracer["language_name"], &tracer["tags"]["t"]), (&json!("rust"), &json!("u")));
    let chunk = &tracer["chunks"][0];
    assert_eq!((&chunk["priority"], &chunk["origin"]), (&json!(2), &json!("lambda")));
    let expected = json!({
        "service": "shop", "name": "web.request", "resource": "GET /", "type": "web",
        "trace_id": u64::MAX.to_string(), "span_id": "7", "parent_id": "3",
        "start": 1_700_000_000_000_000_000_i64, "duration": 1_000, "error": 1,
        "meta": {"env": "dev"}, "metrics": {"rows": 2.5}, "meta_struct": {"raw": "cafe"}, "links": [], "events": [],
    });
    assert_eq!(chunk["spans"][0], expected);
}

#[tokio::test]
async fn trace_statistics_are_decoded() {
    let client = Client::start(Plan::default()).await;
    // A sketch of three values in bin 0 and one zero.
    let bin = [0x08, 0x00, 0x11, 0, 0, 0, 0, 0, 0, 0x08, 0x40];
    let sketch = [bytes_field(2, &bytes_field(1, &bin)), double_field(4, 1.0)].concat();
    let text = |text: &str| [vec![0xa0 | u8::try_from(text.len()).unwrap()], text.as_bytes().to_vec()].concat();
    let pair = |key: &str, value: &[u8]| [text(key), value.to_vec()].concat();
    let mut summary = vec![0xc4, u8::try_from(sketch.len()).unwrap()];
    summary.extend(&sketch);
    let peers = [vec![0x91], text("db.name:orders")].concat();
    let group = [
        vec![0x86],
        pair("Service", &text("shop")),
        pair("Resource", &text("GET /")),
        pair("HTTPStatusCode", &[0xcd, 0, 200]),
        pair("Hits", &[4]),
        pair("OkSummary", &summary),
        pair("PeerTags", &peers),
    ]
    .concat();
    let groups = [vec![0x91], group].concat();
    let bucket = [vec![0x91, 0x83], pair("Start", &[1]), pair("Duration", &[10]), pair("Stats", &groups)].concat();
    let stats = [vec![0x91, 0x82], pair("Env", &text("dev")), pair("Stats", &bucket)].concat();
    let body = [vec![0x82], pair("ClientComputed", &[0xc3]), pair("Stats", &stats)].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    let request = client
        .post("/api/v0.2/stats")
        .header("Content-Encoding", "gzip")
        .header("Content-Type", "application/msgpack")
        .body(gzip.finish().unwrap());
    let (status, kept) = client.send(request).await;
    let kept_problems = &kept.problems;
    assert_eq!(status, 202);
    assert!(kept_problems.iter().all(|problem| problem.starts_with("the content type is")), "{kept_problems:?}");
    let group = client.intake.stats().remove(0);
    assert_eq!((group.service.as_str(), group.http_status, group.hits), ("shop", 200, 4));
    assert_eq!(group.peer_tags, ["db.name:orders"]);
    assert!((group.ok_count - 4.0).abs() < 1e-9, "{group:?}");
}
