//! How many files and sockets this process may have open.

/// `EMFILE`: this process has as many open as it may.
const TOO_MANY: i32 = nix::libc::EMFILE;
/// The limit of Lambda, where the system does not say.
const USUAL: usize = 1024;

/// The soft limit.
#[expect(unsafe_code, reason = "the C library alone can be asked")]
pub fn limit() -> usize {
    let mut limit = nix::libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is one of the caller's, and lives longer than the call.
    let answer = unsafe { nix::libc::getrlimit(nix::libc::RLIMIT_NOFILE, &raw mut limit) };
    if answer == 0 { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { USUAL }
}

/// Whether something failed because this process has too many open, so that it may be possible later.
pub fn are_exhausted(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(TOO_MANY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_that_of_the_process() {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let soft = line.split_whitespace().nth(3).unwrap();
        assert_eq!(soft.parse().unwrap_or(usize::MAX), limit());
        assert!(are_exhausted(&std::io::Error::from_raw_os_error(24)));
    }
}
