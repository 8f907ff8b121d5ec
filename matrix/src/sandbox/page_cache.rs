//! The page cache: which pages of a file are in memory, and how to drop them.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};

/// Drops a file's pages from the page cache. Pages of a file in memory (tmpfs) and mapped pages stay: see [`resident`].
pub fn drop_pages(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // Only clean pages can be dropped.
    file.sync_all()?;
    Ok(posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
}

/// Reads a file into the page cache.
pub fn read_pages(path: &Path) -> io::Result<()> {
    io::copy(&mut File::open(path)?, &mut io::sink()).map(drop)
}

/// Bytes of a file that are in the page cache. The kernel tells this to the file's owner only.
pub(crate) fn resident(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let Some(length) = usize::try_from(bytes).ok().and_then(NonZeroUsize::new) else {
        return Ok(0);
    };
    let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|page| usize::try_from(page).ok()).unwrap_or(4096);
    let pages = pages_in_memory(&file, length, page)?;
    let resident = pages.iter().filter(|flags| *flags & 1 == 1).count() * page;
    Ok(u64::try_from(resident).unwrap_or(u64::MAX).min(bytes))
}

#[expect(unsafe_code, reason = "no safe interface tells which pages are in memory without reading them into it")]
fn pages_in_memory(file: impl AsFd, length: NonZeroUsize, page: usize) -> io::Result<Vec<u8>> {
    let mut pages = vec![0_u8; length.get().div_ceil(page)];
    // SAFETY: the mapping is new, private, never read from, and unmapped before this returns; `mincore` writes one byte for each of its pages,
    // which is exactly what `pages` has room for.
    unsafe {
        let mapping = mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, file, 0)?;
        let result = nix::errno::Errno::result(libc::mincore(mapping.as_ptr(), length.get(), pages.as_mut_ptr()));
        munmap(mapping, length.get())?;
        result?;
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_on_disk_is_forgotten_and_read_again() {
        // The target directory is on a disk, unlike perhaps the directory for temporary files.
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = directory.path().join("file");
        fs::write(&path, vec![7; 300_000]).unwrap();
        assert_eq!(resident(&path).unwrap(), 300_000);
        drop_pages(&path).unwrap();
        assert_eq!(resident(&path).unwrap(), 0);
        read_pages(&path).unwrap();
        assert_eq!(resident(&path).unwrap(), 300_000);
    }

    #[test]
    fn an_empty_file_has_no_pages_and_a_missing_one_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(resident(file.path()).unwrap(), 0);
        assert!(resident(Path::new("/nonexistent")).is_err());
    }
}
