use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;

/// Names in any case, and values that are text or numbers.
fn headers(random: &mut StdRng, trace: u64, parent: u64, high: u64) -> serde_json::Map<String, Value> {
    let tags = format!("_dd.p.tid={high:016x}");
    let values = [
        ("x-datadog-trace-id", json!(trace), json!(trace.to_string())),
        ("x-datadog-parent-id", json!(parent), json!(parent.to_string())),
        ("x-datadog-sampling-priority", json!(1), json!("1")),
        ("x-datadog-tags", json!(tags), json!(tags)),
        ("dd-other", json!({"nested": [null]}), json!(true)),
    ];
    let case = |random: &mut StdRng, c: char| if random.random_bool(0.5) { c.to_ascii_uppercase() } else { c };
    values
        .into_iter()
        .map(|(name, number, text)| {
            let name = name.chars().map(|c| case(random, c)).collect();
            (name, if random.random_bool(0.5) { number } else { text })
        })
        .collect()
}

/// Puts a carrier everywhere where a trigger delivers one, each in all of its shapes.
fn events(headers: &serde_json::Map<String, Value>) -> Vec<Value> {
    let carrier = Value::from(headers.clone());
    let (text, binary) = (carrier.to_string(), STANDARD.encode(carrier.to_string()));
    let mut events = Vec::new();
    let mut add = |kind: Kind, pointer: &str, value: Value| {
        let mut event = documented(kind);
        *event.pointer_mut(pointer).unwrap() = value;
        events.push(event);
    };
    for kind in [Kind::HttpApi, Kind::RestApi, Kind::LoadBalancer, Kind::FunctionUrl] {
        add(kind, "/headers", carrier.clone());
    }
    let lists = headers.iter().map(|(name, value)| (name.clone(), json!([value])));
    add(Kind::LoadBalancer, "/headers", lists.collect::<serde_json::Map<_, _>>().into());
    for attribute in [
        json!({"dataType": "String", "stringValue": text}),
        json!({"dataType": "Binary", "binaryValue": binary}),
        json!({"DataType": "String.any", "StringValue": text}),
        json!({"dataType": "Binary.any", "binaryValue": binary}),
    ] {
        add(Kind::Sqs, "/Records/0/messageAttributes/_datadog", attribute);
    }
    for attribute in [json!({"Type": "String", "Value": text}), json!({"Type": "Binary", "Value": binary})] {
        add(Kind::Sns, "/Records/0/Sns/MessageAttributes/_datadog", attribute);
    }
    add(Kind::EventBridge, "/detail/_datadog", carrier.clone());
    add(Kind::EventBridge, "/detail/_datadog", json!(text));
    let data = STANDARD.encode(json!({ "_datadog": carrier }).to_string());
    add(Kind::Kinesis, "/Records/0/kinesis/data", json!(data));
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let bytes = headers.iter().map(|(name, value)| json!({ name: plain(value).into_bytes() }));
    add(Kind::Msk, "/records/settled-0/0/headers", bytes.collect());
    events
}

#[test]
fn every_id_survives_every_carrier() {
    let mut random = StdRng::seed_from_u64(2);
    let edges = [1, u64::from(u32::MAX), 1 << 53, (1 << 53) + 1, 1 << 63, u64::MAX];
    for round in 0..150 {
        let mut id = || edges.get(round).copied().unwrap_or_else(|| random.random_range(1..=u64::MAX));
        let (trace, parent, high) = (id(), id(), id());
        for event in events(&headers(&mut random, trace, parent, high)) {
            let context = context(&parse(&event)).unwrap_or_else(|| panic!("no context in {event}"));
            let found = (context.trace_id, context.span_id, context.high_half(), context.priority);
            assert_eq!(found, (trace, parent, high, Some(1)), "{event}");
        }
    }
}
