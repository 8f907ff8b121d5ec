//! Disk usage of `/tmp`, the only directory that a function can write to.

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// A file system's size and use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// Total size in bytes.
    pub size: u64,
    /// Bytes that are no longer available.
    pub used: u64,
}

/// Size and usage of the file system of `/tmp`; None if it cannot be read.
pub fn space() -> Option<FileSystem> {
    space_of(Path::new("/tmp/"))
}

// The fields' types differ between targets.
#[allow(clippy::useless_conversion)]
fn space_of(path: &Path) -> Option<FileSystem> {
    let status = statvfs(path).ok()?;
    let block = u64::from(status.fragment_size());
    let size = block * u64::from(status.blocks());
    Some(FileSystem { size, used: size.saturating_sub(block * u64::from(status.blocks_available())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_usage_has_a_size_and_a_missing_path_has_none() {
        let space = space().unwrap();
        assert!(space.size > 0 && space.used <= space.size, "{space:?}");
        assert_eq!(space_of(Path::new("/nonexistent")), None);
    }
}
