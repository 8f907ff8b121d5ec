//! The span that a log belongs to, as tracers and logging libraries write it into a line.

use serde_json::Value;

/// Where Datadog's tracers put the id of a span, in decimal.
const DECIMAL: [&str; 2] = ["/dd/span_id", "/dd.span_id"];
/// Where OpenTelemetry's libraries put it, as 16 hexadecimal digits.
const HEXADECIMAL: [&str; 4] = ["/span_id", "/spanId", "/otelSpanID", "/SpanId"];
/// What stands before the id in a line of text.
const IN_TEXT: &str = "dd.span_id=";

/// The id of the span that wrote a log: from the attributes of its JSON element, of the JSON object that the line is, or from the line's text. None where a log
/// has none, or where there was no span, for which tracers write 0.
pub fn span_id(element: &Value, message: &str) -> Option<u64> {
    let of_line = message.trim_start().starts_with('{').then(|| serde_json::from_str(message).ok()).flatten();
    let in_objects = [Some(element), of_line.as_ref()].into_iter().flatten().find_map(in_object);
    in_objects.or_else(|| in_text(message)).filter(|id| *id != 0)
}

fn in_object(object: &Value) -> Option<u64> {
    let decimal = DECIMAL.iter().filter_map(|path| object.pointer(path)).find_map(|value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    let text = || HEXADECIMAL.iter().filter_map(|path| object.pointer(path)?.as_str());
    decimal.or_else(|| text().find_map(|text| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten()))
}

fn in_text(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(IN_TEXT)?;
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_id_is_found_wherever_libraries_write_it() {
        let none = json!({});
        assert_eq!(span_id(&none, "[dd.trace_id=68a1 dd.span_id=42]\t2 items"), Some(42));
        assert_eq!(span_id(&none, r#"{"message": "a", "dd": {"trace_id": "1", "span_id": "42"}}"#), Some(42));
        assert_eq!(span_id(&none, r#"{"message": "a", "dd.span_id": 42}"#), Some(42));
        assert_eq!(span_id(&none, r#"{"body": "a", "span_id": "000000000000002a"}"#), Some(42));
        assert_eq!(span_id(&json!({"dd": {"span_id": "18446744073709551615"}}), "a"), Some(u64::MAX));
    }

    #[test]
    fn a_log_without_a_span_has_no_id() {
        for line in ["START RequestId: 8f0c", "dd.span_id=0 a", "dd.span_id= a", r#"{"span_id": "42"}"#, "{not json"] {
            assert_eq!(span_id(&json!({"message": line}), line), None, "{line}");
        }
    }
}
