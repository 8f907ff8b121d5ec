//! Bodies that say little and ask for much: what is reserved for their lists is as much as the lists are counted for.

use bottlecap::process::trace::decode::{DecodeError, Version, traces};

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
