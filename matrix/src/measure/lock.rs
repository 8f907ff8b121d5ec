//! One run at a time in a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::{Error, writing};

/// A directory that nobody else may measure in. The system takes the lock away when the process that holds it ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `directory`, or says whose it is. `name` is the file's; it stays there.
    pub fn take(directory: &Path, name: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).map_err(writing(directory))?;
        let path = directory.join(name);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(writing(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                return Err(Error::Busy { path: directory.to_owned(), owner: owner.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(Error::Write { path, source }),
        }
        // For people: what counts is the lock.
        let owner = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(owner.as_bytes())).map_err(writing(&path))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
