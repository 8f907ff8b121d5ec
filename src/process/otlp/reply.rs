//! Replies, in the encoding of the request.

use super::Encoding;
use crate::process::{
    log::json,
    protobuf::{self, Message, Sink},
};

/// `ExportTraceServiceResponse`. `rejected` is the number of spans that are not sent.
pub fn success(encoding: Encoding, rejected: usize) -> Vec<u8> {
    let partial = PartialSuccess { rejected };
    match encoding {
        Encoding::Protobuf => {
            let mut out = Vec::new();
            if rejected > 0 {
                protobuf::message(&mut out, 1, &partial);
            }
            out
        }
        Encoding::Json if rejected == 0 => b"{\"partialSuccess\":null}".to_vec(),
        Encoding::Json => {
            let reason = PartialSuccess::REASON;
            format!("{{\"partialSuccess\":{{\"rejectedSpans\":\"{rejected}\",\"errorMessage\":\"{reason}\"}}}}").into()
        }
    }
}

/// `google.rpc.Status`.
pub fn failure(encoding: Encoding, code: u16, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        Encoding::Protobuf => {
            protobuf::unsigned(&mut out, 1, code.into());
            protobuf::bytes(&mut out, 2, message.as_bytes());
        }
        Encoding::Json => {
            out.extend_from_slice(format!("{{\"code\":{code},\"message\":").as_bytes());
            json::quote(&mut out, message);
            out.push(b'}');
        }
    }
    out
}

struct PartialSuccess {
    rejected: usize,
}

impl PartialSuccess {
    const REASON: &str = "spans without a trace id, or larger than there is room for";
}

impl Message for PartialSuccess {
    fn write(&self, sink: &mut impl Sink) {
        protobuf::unsigned(sink, 1, self.rejected as u64);
        protobuf::bytes(sink, 2, Self::REASON.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_those_of_the_protocol_in_both_encodings() {
        assert_eq!(success(Encoding::Protobuf, 0), b"");
        assert_eq!(success(Encoding::Json, 0), br#"{"partialSuccess":null}"#);
        let partial: serde_json::Value = serde_json::from_slice(&success(Encoding::Json, 3)).unwrap();
        assert_eq!(partial["partialSuccess"]["rejectedSpans"], "3");
        let partial = success(Encoding::Protobuf, 3);
        assert!(partial.starts_with(&[0x0a, u8::try_from(partial.len() - 2).unwrap(), 0x08, 3, 0x12]), "{partial:?}");
        assert_eq!(failure(Encoding::Protobuf, 400, "no"), b"\x08\x90\x03\x12\x02no");
        assert_eq!(failure(Encoding::Json, 413, "too \"long\""), br#"{"code":413,"message":"too \"long\""}"#);
    }
}
