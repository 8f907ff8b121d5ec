//! `start-invocation`: the event before the handler runs.

use super::{Decoder, REQUEST_ID, StartCall, request_id};
use crate::process::event::Timestamp;

pub(super) fn decode<'h>(
    decoder: &Decoder,
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    time: Timestamp,
) -> StartCall {
    let event = str::from_utf8(body).unwrap_or_default();
    StartCall {
        request_id: request_id(header(REQUEST_ID)),
        time,
        captured: decoder.capture("function.request", event),
        ..StartCall::default()
    }
}
