//! The messages of the public schema (`agent_payload.proto` of `agent-payload`), so that tests do not decode payloads with the messages that encoded
//! them; and two payloads byte by byte.

use super::*;

#[derive(Clone, PartialEq, prost::Message)]
pub struct SketchPayload {
    #[prost(message, repeated, tag = "1")]
    pub sketches: Vec<Sketch>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Sketch {
    #[prost(string, tag = "1")]
    pub metric: String,
    #[prost(string, repeated, tag = "4")]
    pub tags: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub dogsketches: Vec<Dogsketch>,
    #[prost(message, optional, tag = "8")]
    pub metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Dogsketch {
    #[prost(int64, tag = "1")]
    pub ts: i64,
    #[prost(int64, tag = "2")]
    pub cnt: i64,
    #[prost(double, tag = "3")]
    pub min: f64,
    #[prost(double, tag = "4")]
    pub max: f64,
    #[prost(double, tag = "5")]
    pub avg: f64,
    #[prost(double, tag = "6")]
    pub sum: f64,
    #[prost(sint32, repeated, tag = "7")]
    pub k: Vec<i32>,
    #[prost(uint32, repeated, tag = "8")]
    pub n: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricPayload {
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<MetricSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricSeries {
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
    #[prost(string, tag = "2")]
    pub metric: String,
    #[prost(string, repeated, tag = "3")]
    pub tags: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub points: Vec<MetricPoint>,
    #[prost(int32, tag = "5")]
    pub kind: i32,
    #[prost(int64, tag = "8")]
    pub interval: i64,
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricPoint {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub origin: Option<Origin>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Origin {
    #[prost(uint32, tag = "4")]
    pub product: u32,
    #[prost(uint32, tag = "5")]
    pub category: u32,
    #[prost(uint32, tag = "6")]
    pub service: u32,
}

/// A length-delimited field: key with wire type 2, length, content.
fn bytes(key: u8, content: &[u8]) -> Vec<u8> {
    [&[key, u8::try_from(content.len()).unwrap()], content].concat()
}

fn text(key: u8, content: &str) -> Vec<u8> {
    bytes(key, content.as_bytes())
}

fn double(key: u8, value: f64) -> Vec<u8> {
    [&[key][..], &value.to_le_bytes()].concat()
}

/// A sketch of two samples, 2.0 and 4.0, in the bins 1383 and 1427. The entry in field 1 has a length of 128 or more, which takes two bytes.
#[test]
fn a_sketch_payload_is_these_bytes() {
    let dogsketch = [
        vec![0x08, 10],
        vec![0x10, 2],
        double(0x19, 2.0),
        double(0x21, 4.0),
        double(0x29, 3.0),
        double(0x31, 6.0),
        // Zigzag: 2 * 1383 = 21 * 128 + 78 and 2 * 1427 = 22 * 128 + 38.
        bytes(0x3a, &[0xce, 21, 0xa6, 22]),
        bytes(0x42, &[1, 1]),
    ];
    let sketch = [
        text(0x0a, "aws.lambda.enhanced.duration"),
        text(0x22, "a:1"),
        text(0x22, "b:2"),
        text(0x22, "cold_start:true"),
        text(0x22, "region:eu"),
        bytes(0x3a, &dogsketch.concat()),
        // Product 1, category 38, service 473 = 3 * 128 + 89.
        bytes(0x42, &bytes(0x0a, &[0x20, 1, 0x28, 38, 0x30, 0xd9, 3])),
    ]
    .concat();
    let length = u8::try_from(sketch.len() - 128).unwrap();
    let expected = [&[0x0a, 0x80 | length, 1][..], &sketch].concat();
    assert_eq!(unsealed(&enhanced(10..11), &function_tags(), &settings())[0].body[..], expected);
}

/// A count of 2 in the interval that starts at 20 s.
#[test]
fn a_series_payload_is_these_bytes() {
    let series = [
        text(0x12, "c"),
        text(0x1a, "own:x"),
        bytes(0x22, &[double(0x09, 2.0), vec![0x10, 20]].concat()),
        // Type count, interval of 10 s.
        vec![0x28, 1],
        vec![0x40, 10],
        // Product 1, category 38, service 472 = 3 * 128 + 88.
        bytes(0x4a, &bytes(0x0a, &[0x20, 1, 0x28, 38, 0x30, 0xd8, 3])),
    ];
    let [batch] = &unsealed(&custom("c:2|c|#own:x"), &[], &settings())[..] else { panic!("one payload") };
    assert_eq!(batch.body[..], bytes(0x0a, &series.concat()));
}
