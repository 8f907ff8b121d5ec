//! Bodies that say little and ask for much: what is reserved for their lists is as much as the lists are counted for.

use bottlecap::process::{
    otlp::{Encoding, Settings, Traces, decode, message::Request},
    trace::decode::{DecodeError, Version, traces},
};

/// A body, and what it is called.
pub type Shape = (&'static str, Vec<u8>);

/// How many bytes of a body are read at most.
const MAX_BODY_BYTES: usize = 50 << 20;

/// Requests of one trace for v0.4, as long as a body may be.
pub fn traces_v04() -> [Shape; 3] {
    let of = |span: &[u8]| {
        let spans = u32::try_from(MAX_BODY_BYTES / span.len()).unwrap();
        [&[0x91, 0xdd][..], &spans.to_be_bytes(), &span.repeat(spans as usize)].concat()
    };
    let nothing = [&b"\x81\xa4meta\xde\x00\x40"[..], &b"\xa0\xc0".repeat(64)].concat();
    [("keys with nothing", of(&nothing)), ("one tag", of(b"\x81\xa4meta\x81\xa1a\xa1b")), ("spans", of(&[0x80]))]
}

/// How many spans are decoded.
pub fn decode_v04(body: &[u8]) -> Result<usize, DecodeError> {
    let decoded: Vec<_> = traces(Version::V04, body)?.collect::<Result<_, _>>()?;
    Ok(decoded.iter().map(Vec::len).sum())
}

/// A field of protobuf that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    [&out, content].concat()
}

/// Requests over OTLP in protobuf: lists with one element each, and one list with many.
pub fn otlp_protobuf() -> [Shape; 5] {
    const TIMES: usize = 900_000;
    let of_spans = |spans: &[u8]| field(1, &field(2, spans));
    let span = |content: &[u8]| field(2, content);
    let list = field(2, &field(5, &field(1, &[])));
    [
        ("resources", field(1, &field(2, &span(&[]))).repeat(TIMES)),
        ("spans", of_spans(&span(&[]).repeat(TIMES))),
        ("attributes", of_spans(&span(&field(9, &[])).repeat(TIMES))),
        ("events and links", of_spans(&span(&[field(11, &[]), field(13, &[])].concat()).repeat(TIMES))),
        ("lists", of_spans(&span(&field(9, &list).repeat(TIMES)))),
    ]
}

/// The same in JSON.
pub fn otlp_json() -> [Shape; 2] {
    const TIMES: usize = 900_000;
    let of = |resources: &str| format!("{{\"resourceSpans\":[{resources}{{}}]}}").into_bytes();
    let resource = |spans: &str| format!("{{\"scopeSpans\":[{{\"spans\":[{spans}{{}}]}}]}},");
    [("resources", of(&resource("").repeat(TIMES))), ("spans", of(&resource(&"{},".repeat(TIMES))))]
}

/// A request over OTLP with so many spans, each of a trace of its own.
pub fn otlp_traces(spans: u32) -> Vec<u8> {
    let id = |number: u32| [&[1; 12][..], &number.to_be_bytes()].concat();
    let spans: Vec<_> = (0..spans).flat_map(|number| field(2, &field(1, &id(number)))).collect();
    field(1, &field(2, &spans))
}

/// How many spans a request over OTLP becomes.
pub fn convert_otlp(body: &[u8]) -> usize {
    let request = decode::request(Encoding::Protobuf, body).unwrap();
    Traces::new(request, &Settings::default()).map(|trace| trace.unwrap().len()).sum()
}

/// Whether a request is refused because of what it would take.
pub fn is_too_large(decoded: &Result<Request<'_>, decode::DecodeError>) -> bool {
    matches!(decoded, Err(decode::DecodeError::TooLarge(_)))
}
