//! A lock that allows one run at a time in a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Error, writing};

/// How long a lock may seem to be held by another: a process that was just forked holds a copy of the descriptor until its exec.
const INHERITED: Duration = Duration::from_millis(500);

/// The lock of a directory. The kernel releases it when the process ends for any reason.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `directory`, or returns an error that names its owner. `name` is the name of the lock file, which remains in the directory.
    pub fn take(directory: &Path, name: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).map_err(writing(directory))?;
        let path = directory.join(name);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(writing(&path))?;
        match try_for(INHERITED, || file.try_lock()) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                return Err(Error::Busy { path: directory.to_owned(), owner: owner.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(Error::Write { path, source }),
        }
        // The process id is for people; only the lock counts.
        let owner = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(owner.as_bytes())).map_err(writing(&path))?;
        Ok(Self { _file: file })
    }
}

/// Retries for `limit` while another holds the lock.
fn try_for(limit: Duration, take: impl Fn() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    let end = Instant::now() + limit;
    loop {
        match take() {
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            taken => return taken,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_lock_that_is_released_soon_is_waited_for() {
        let tries = Cell::new(0);
        let take = || {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(TryLockError::WouldBlock) } else { Ok(()) }
        };
        try_for(Duration::from_mins(1), take).unwrap();
        assert_eq!(tries.get(), 3);
        let never = try_for(Duration::ZERO, || Err(TryLockError::WouldBlock));
        assert!(matches!(never, Err(TryLockError::WouldBlock)));
    }

    #[test]
    fn a_second_run_is_refused_until_the_first_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path(), "lock").unwrap();
        let refused = DirectoryLock::take(directory.path(), "lock").unwrap_err();
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        drop(DirectoryLock::take(directory.path(), "lock").unwrap());
    }
}
