//! Checks one request against Datadog's documentation: its payload, its problems, and whether Datadog would reject it.

use std::io::{self, Read};

use axum::http::{HeaderMap, Method, request::Parts};

use super::proxied::ProxiedBody;
use super::{Payload, Route, logs, series, sketches, stats, traces};

/// Documented limits of the uncompressed body in bytes.
const LOGS_BYTES: usize = 5 * 1024 * 1024;
const SERIES_BYTES: usize = 5 * 1024 * 1024;
const SKETCHES_BYTES: usize = 62 * 1024 * 1024;
/// What the agent keeps to: of spans before compression, of statistics as it says in its sources.
const TRACES_BYTES: usize = 12_500_000;
const STATS_BYTES: usize = 3 * 1024 * 1024;
/// No tracer sends a longer one through an extension.
const PROXIED_BYTES: usize = 2 * 1024 * 1024;
/// Nothing above this is decompressed: a small body can unfold to any size.
const UNFOLDED_BYTES: usize = 128 * 1024 * 1024;
/// Number of bytes that are kept of a body to an unknown path.
const START_BYTES: usize = 256;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const MSGPACK: &str = "application/msgpack";

/// The result of examining a request.
#[derive(Debug)]
pub(super) struct Examination {
    pub(super) api_key: Option<String>,
    pub(super) encoding: String,
    pub(super) body_bytes: usize,
    pub(super) payload: Payload,
    pub(super) problems: Vec<String>,
    /// The status with which Datadog would reject it.
    pub(super) refusal: Option<u16>,
}

/// Examines a complete request. `expected_key` is the only accepted API key, if there is one.
pub(super) fn examine(head: &Parts, body: &[u8], expected_key: Option<&str>) -> Examination {
    let encoding = text(&head.headers, "content-encoding").unwrap_or_else(|| "identity".to_owned());
    let api_key = text(&head.headers, "dd-api-key");
    let Some(route) = Route::of(head.uri.path()) else {
        let start = String::from_utf8_lossy(body.get(..START_BYTES).unwrap_or(body)).into_owned();
        let problems = vec![format!("the intake does not serve {}", head.uri.path())];
        let payload = Payload::Unknown { start };
        return Examination { api_key, encoding, body_bytes: body.len(), payload, problems, refusal: Some(404) };
    };
    let mut findings = Findings::default();
    findings.method(&head.method);
    findings.key(api_key.as_deref(), expected_key);
    let content_type = findings.content_type(&head.headers, route);
    if route == Route::Stats && encoding != "gzip" {
        findings.note("statistics have to be gzip");
    }
    if route == Route::Logs && text(&head.headers, "dd-protocol").is_none() {
        findings.note("a log request needs the header DD-PROTOCOL");
    }
    if route == Route::Proxied {
        findings.size(body.len(), route);
        let payload = Payload::Proxied(ProxiedBody::of(&text(&head.headers, "content-type").unwrap_or_default(), body));
        let Findings { problems, refusal } = findings;
        return Examination { api_key, encoding, body_bytes: body.len(), payload, problems, refusal };
    }
    let (payload, body_bytes) = match unfold(&encoding, body) {
        Ok(plain) => {
            findings.size(plain.len(), route);
            (decode(route, content_type, &plain, &mut findings.problems), plain.len())
        }
        Err(reason) => (Payload::Undecodable { reason }, body.len()),
    };
    if let Payload::Undecodable { reason } = &payload {
        findings.refuse(400, reason.clone());
    }
    Examination { api_key, encoding, body_bytes, payload, problems: findings.problems, refusal: findings.refusal }
}

/// The format of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Protobuf,
}

fn decode(route: Route, format: Format, body: &[u8], problems: &mut Vec<String>) -> Payload {
    let payload = match (route, format) {
        (Route::Series, Format::Protobuf) => series::decode_protobuf(body, problems).map(Payload::Series),
        (Route::Series, Format::Json) => series::decode_json(body, problems).map(Payload::Series),
        (Route::Sketches, _) => sketches::decode(body, problems).map(Payload::Sketches),
        (Route::Traces, _) => traces::decode(body, problems).map(Payload::Traces),
        (Route::Stats, _) => stats::decode(body, problems).map(Payload::Stats),
        (Route::Logs | Route::Any | Route::Proxied, _) => logs::decode(body, problems).map(Payload::Logs),
    };
    payload.unwrap_or_else(|reason| Payload::Undecodable { reason })
}

#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    refusal: Option<u16>,
}

impl Findings {
    fn note(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Adds a problem for which Datadog rejects the request; the first one decides the status.
    fn refuse(&mut self, status: u16, problem: impl Into<String>) {
        self.note(problem);
        self.refusal.get_or_insert(status);
    }

    fn method(&mut self, method: &Method) {
        if method != Method::POST {
            self.refuse(405, format!("the method is {method}, it must be POST"));
        }
    }

    fn key(&mut self, key: Option<&str>, expected: Option<&str>) {
        match (key, expected) {
            (None, _) => self.refuse(403, "the header DD-API-KEY is missing"),
            (Some(key), _) if key.trim().is_empty() => self.refuse(403, "the API key is blank"),
            (Some(key), Some(expected)) if key != expected => self.refuse(403, "the API key is not the expected one"),
            _ => {}
        }
    }

    fn content_type(&mut self, headers: &HeaderMap, route: Route) -> Format {
        let allowed = match route {
            Route::Series => [JSON, PROTOBUF].as_slice(),
            Route::Sketches | Route::Traces => &[PROTOBUF],
            Route::Stats => &[MSGPACK],
            Route::Logs | Route::Any => &[JSON],
            Route::Proxied => return Format::Json,
        };
        let content_type = text(headers, "content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !allowed.contains(&media_type.as_str()) {
            self.note(format!("the content type is \"{content_type}\", it must be {}", allowed.join(" or ")));
        }
        if media_type == PROTOBUF { Format::Protobuf } else { Format::Json }
    }

    fn size(&mut self, bytes: usize, route: Route) {
        let limit = match route {
            Route::Series => SERIES_BYTES,
            Route::Sketches => SKETCHES_BYTES,
            Route::Traces => TRACES_BYTES,
            Route::Stats => STATS_BYTES,
            Route::Proxied => PROXIED_BYTES,
            Route::Logs | Route::Any => LOGS_BYTES,
        };
        if bytes > limit {
            self.refuse(413, format!("the body has {bytes} bytes uncompressed, {limit} are allowed"));
        }
    }
}

/// Decompresses a body.
fn unfold(encoding: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let plain = match encoding.to_ascii_lowercase().as_str() {
        "identity" if body.starts_with(&ZSTD_MAGIC) => {
            return Err("the body is zstd but no Content-Encoding says so".to_owned());
        }
        "identity" if body.starts_with(&GZIP_MAGIC) => {
            return Err("the body is gzip but no Content-Encoding says so".to_owned());
        }
        "identity" => return Ok(body.to_vec()),
        "zstd" if !body.starts_with(&ZSTD_MAGIC) => {
            return Err("Content-Encoding says zstd, the body is not".to_owned());
        }
        "zstd" => zstd::stream::read::Decoder::new(body).and_then(read_all),
        "gzip" => read_all(flate2::read::MultiGzDecoder::new(body)),
        "deflate" => read_all(flate2::read::ZlibDecoder::new(body)),
        other => return Err(format!("Content-Encoding {other} is not supported")),
    };
    plain.map_err(|error| format!("Content-Encoding says {encoding}, but the body does not decompress: {error}"))
}

fn read_all(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let limit = u64::try_from(UNFOLDED_BYTES).unwrap_or(u64::MAX);
    reader.take(limit + 1).read_to_end(&mut plain)?;
    if plain.len() > UNFOLDED_BYTES {
        return Err(io::Error::other(format!("it unfolds to more than {UNFOLDED_BYTES} bytes")));
    }
    Ok(plain)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
