//! Compression of bodies at a level that the sandbox's memory allows.

use std::{
    io::{self, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::config::Config;

/// Compression level for bodies that cannot wait for a higher level.
pub const FAST_LEVEL: i32 = 3;

/// Maximum level at which a body takes at most tens of milliseconds of a full CPU.
const QUICK_LEVEL: i32 = 6;
/// Bytes compressed between two checks whether compression has become urgent.
const STEP: usize = 64 << 10;

/// Divisor of the sandbox's memory that gives the maximum memory of a compression.
const SHARE_OF_MEMORY: u64 = 8;
/// Memory of the smallest function in MB; assumed if the size is unknown.
const SMALLEST_FUNCTION: u64 = 128;

/// Levels, with the memory in MB that the compressor needs for the largest body (5 MiB) at that level or a lower one.
///
/// Source: `ZSTD_sizeof_CCtx` of zstd 1.5.7 with a source of that size.
const LEVELS: [(i32, u64); 8] = [(8, 9), (9, 16), (11, 26), (13, 47), (18, 73), (19, 91), (20, 108), (22, 142)];

/// The body for which [`LEVELS`] holds, and the largest of spans, in MB. A compressor takes less than in proportion.
const USUAL_BODY: u64 = 5;
const TRACES_BODY: u64 = 12;

/// The highest level whose memory the function's tier allows, for bodies of so many MB; `memory_mb` as Lambda says it.
pub fn highest_level(memory_mb: Option<&str>, body: u64) -> i32 {
    let memory = memory_mb.and_then(|memory| memory.trim().parse().ok()).unwrap_or(SMALLEST_FUNCTION);
    let fits = |needed: u64| needed * body / USUAL_BODY <= memory.max(SMALLEST_FUNCTION) / SHARE_OF_MEMORY;
    LEVELS.iter().rev().find(|(_, needed)| fits(*needed)).map_or(FAST_LEVEL, |(level, _)| *level)
}

/// Lowers configured levels that the function's memory does not allow, and logs a warning.
pub fn limit_levels(config: &mut Config, memory_mb: Option<&str>) {
    let limit = |what: &str, body: u64, level: &mut i32| {
        let highest = highest_level(memory_mb, body);
        if *level > highest {
            tracing::warn!(
                "CONFIG | {what} compression level {level} needs more memory than a function of {} MB has to spare; using {highest}",
                memory_mb.unwrap_or("unknown")
            );
            *level = highest;
        }
    };
    if let Some(level) = &mut config.logs.compression {
        limit("logs", USUAL_BODY, level);
    }
    limit("metrics", USUAL_BODY, &mut config.metrics.compression_level);
    limit("traces", TRACES_BODY, &mut config.apm.compression_level);
}

/// Compresses a body. If `urgent` is set meanwhile, starts again at a fast level.
pub(super) fn compress(body: &[u8], level: i32, urgent: &AtomicBool) -> io::Result<Vec<u8>> {
    if level <= QUICK_LEVEL {
        return zstd::bulk::compress(body, level);
    }
    match compress_unless_urgent(body, level, urgent)? {
        Some(compressed) => Ok(compressed),
        None => zstd::bulk::compress(body, FAST_LEVEL),
    }
}

/// As gzip, at its fastest: for bodies of kilobytes.
pub(super) fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// None if it became urgent before it was done.
fn compress_unless_urgent(body: &[u8], level: i32, urgent: &AtomicBool) -> io::Result<Option<Vec<u8>>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
    // Limits the window, and so the memory, to the size of the body.
    encoder.set_pledged_src_size(Some(body.len() as u64))?;
    for step in body.chunks(STEP) {
        if urgent.load(Ordering::Relaxed) {
            return Ok(None);
        }
        encoder.write_all(step)?;
    }
    encoder.finish().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_level_follows_the_memory_tier() {
        for (memory, expected) in [
            (None, 9),
            (Some("nonsense"), 9),
            (Some("0"), 9),
            (Some("128"), 9),
            (Some("256"), 11),
            (Some("512"), 13),
            (Some("1024"), 20),
            (Some(" 1769 "), 22),
            (Some("10240"), 22),
        ] {
            assert_eq!(highest_level(memory, USUAL_BODY), expected, "{memory:?}");
        }
    }

    #[test]
    fn only_levels_above_the_highest_are_lowered() {
        let mut config = Config::default();
        config.logs.compression = Some(22);
        config.metrics.compression_level = -3;
        limit_levels(&mut config, Some("128"));
        assert_eq!((config.logs.compression, config.metrics.compression_level), (Some(9), -3));
        config.apm.compression_level = 9;
        limit_levels(&mut config, Some("128"));
        assert_eq!(config.apm.compression_level, FAST_LEVEL, "bodies of spans are larger");
        config.logs.compression = None;
        config.metrics.compression_level = 12;
        limit_levels(&mut config, Some("256"));
        assert_eq!((config.logs.compression, config.metrics.compression_level), (None, 11));
    }

    #[test]
    fn high_levels_are_given_up_once_it_is_urgent() {
        let word = |number: u32| (number.wrapping_mul(0x9E37_79B1) >> 20).to_string().into_bytes();
        let body: Vec<u8> = (0..100_000).flat_map(|number: u32| word(number ^ number >> 7)).collect();
        let compressed = |level, urgent| compress(&body, level, &AtomicBool::new(urgent)).unwrap();
        for (level, urgent) in [(19, false), (19, true), (3, false), (3, true)] {
            assert_eq!(zstd::bulk::decompress(&compressed(level, urgent), body.len()).unwrap(), body);
        }
        assert!(compressed(19, false).len() < compressed(3, false).len());
        for level in [19, QUICK_LEVEL + 1] {
            assert_eq!(compressed(level, true), compressed(FAST_LEVEL, false), "{level}");
        }
        assert_eq!(compressed(QUICK_LEVEL, true), compressed(QUICK_LEVEL, false));
        assert_ne!(compressed(QUICK_LEVEL, true), compressed(FAST_LEVEL, true));
    }

    #[test]
    fn compressor_takes_no_more_memory_than_the_table_says() {
        for (level, size) in (1..=22).flat_map(|level| [(level, USUAL_BODY), (level, TRACES_BODY)]) {
            let body = vec![b'x'; usize::try_from(size << 20).unwrap()];
            let mut context = zstd::zstd_safe::CCtx::create();
            context.set_parameter(zstd::zstd_safe::CParameter::CompressionLevel(level)).unwrap();
            context.set_pledged_src_size(Some(body.len() as u64)).unwrap();
            let mut out = vec![0; 1 << 10];
            // The compressor allocates all of its memory at the start.
            let mut out = zstd::zstd_safe::OutBuffer::around(&mut out[..]);
            context.compress_stream(&mut out, &mut zstd::zstd_safe::InBuffer::around(&body[..1])).unwrap();
            let (_, megabytes) = LEVELS.into_iter().find(|(highest, _)| level <= *highest).unwrap();
            let taken = context.sizeof() as u64;
            assert!(taken <= megabytes * size / USUAL_BODY * 1_000_000, "level {level} takes {taken} bytes");
        }
    }
}
