//! Bodies that are compressed, which may be a thousand times as long as they look.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

/// Why a body can't be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    #[error("it is longer than {limit} bytes once it is decompressed")]
    TooLong { limit: usize },
    #[error("there is no memory for it once it is decompressed")]
    NoRoom,
    #[error("it is not gzip")]
    Malformed(#[source] std::io::Error),
}

/// What is reserved at first, in bytes.
const FIRST_BYTES: usize = 16 << 10;

/// Decompresses a body of at most `limit` bytes. `resize` is asked for room for so many bytes before there is memory for them.
pub fn inflate(body: &[u8], limit: usize, mut resize: impl FnMut(usize) -> bool) -> Result<Vec<u8>, InflateError> {
    let mut decoder = MultiGzDecoder::new(body);
    let mut whole = Vec::new();
    let mut capacity = FIRST_BYTES.min(limit);
    loop {
        let missing = capacity - whole.len();
        if !resize(capacity) || whole.try_reserve_exact(missing).is_err() {
            return Err(InflateError::NoRoom);
        }
        let read = decoder.by_ref().take(missing as u64).read_to_end(&mut whole).map_err(InflateError::Malformed)?;
        if read < missing {
            return Ok(whole);
        }
        if capacity == limit {
            let more = decoder.read(&mut [0]).map_err(InflateError::Malformed)?;
            return if more == 0 { Ok(whole) } else { Err(InflateError::TooLong { limit }) };
        }
        capacity = capacity.saturating_mul(2).min(limit);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    pub fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bodies_come_out_as_they_were_up_to_the_limit() {
        for length in [0, 1, FIRST_BYTES - 1, FIRST_BYTES, FIRST_BYTES + 1, 5 * FIRST_BYTES] {
            let body: Vec<u8> = (0..length).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
            let packed = gzip(&body);
            assert_eq!(inflate(&packed, length, |_| true).unwrap(), body, "{length}");
            if length > 0 {
                let refused = inflate(&packed, length - 1, |_| true);
                assert!(matches!(refused, Err(InflateError::TooLong { limit }) if limit == length - 1), "{length}");
            }
        }
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflate(&two, 100, |_| true).unwrap(), b"one two");
    }

    #[test]
    fn a_bomb_takes_no_more_memory_than_it_is_given() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let mut most = 0;
        let refused = inflate(&bomb, 4 << 20, |bytes| {
            most = most.max(bytes);
            true
        });
        assert!(matches!(refused, Err(InflateError::TooLong { .. })));
        assert_eq!(most, 4 << 20);
        assert!(matches!(inflate(&bomb, 4 << 20, |bytes| bytes < 1 << 20), Err(InflateError::NoRoom)));
    }

    #[test]
    fn what_is_cut_or_no_gzip_is_refused() {
        let packed = gzip(b"body");
        for body in [&packed[..packed.len() - 1], &packed[..5], b"body", b""] {
            assert!(matches!(inflate(body, 100, |_| true), Err(InflateError::Malformed(_))), "{body:?}");
        }
    }
}
