//! The kernel's account of the machine and of its processes, as text and as numbers. Reading it never waits for a disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The variable in which Lambda tells a function's process what its runtime is called.
const EXECUTION_ENVIRONMENT: &[u8] = b"AWS_EXECUTION_ENV=";

/// A directory like `/proc`.
#[derive(Debug, Clone)]
pub struct Proc {
    root: PathBuf,
}

/// What all processes together have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Open files, of those processes that let us see theirs.
    pub files: u64,
    /// Threads; None if a living process does not let us see its own.
    pub threads: Option<u64>,
}

impl Default for Proc {
    /// This machine's.
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// Another one.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// What the cores have done.
    pub fn stat(&self) -> Option<String> {
        self.text("stat")
    }

    /// How long the machine has been up.
    pub fn uptime(&self) -> Option<String> {
        self.text("uptime")
    }

    /// What the network interfaces have carried.
    pub fn net_dev(&self) -> Option<String> {
        self.text("net/dev")
    }

    /// The limits of every process that lets us see them.
    pub fn limits(&self) -> impl Iterator<Item = String> {
        self.processes().filter_map(|process| fs::read_to_string(process.join("limits")).ok())
    }

    /// Counts what the processes have; None if not even they can be seen.
    pub fn census(&self) -> Option<Census> {
        let mut census = Census { files: 0, threads: Some(0) };
        let mut any = false;
        for process in self.processes() {
            any = true;
            census.files += count(&process.join("fd")).unwrap_or_default();
            let threads = match count(&process.join("task")) {
                Ok(threads) => Some(threads),
                // It has ended since its name was read, and has none any more.
                Err(_) if !process.exists() => Some(0),
                Err(_) => None,
            };
            census.threads = census.threads.zip(threads).map(|(sum, threads)| sum + threads);
        }
        any.then_some(census)
    }

    /// The value of `AWS_EXECUTION_ENV` of the first process that has it; the first of all processes is the machine's own.
    pub fn execution_environment(&self) -> Option<String> {
        self.processes().filter(|process| !process.ends_with("1")).find_map(|process| {
            let variables = fs::read(process.join("environ")).ok()?;
            let value = variables.split(|byte| *byte == 0).find_map(|it| it.strip_prefix(EXECUTION_ENVIRONMENT))?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
    }

    fn text(&self, file: &str) -> Option<String> {
        let path = self.root.join(file);
        fs::read_to_string(&path).inspect_err(|error| log::debug!("{}: {error}", path.display())).ok()
    }

    fn processes(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().filter_map(Result::ok);
        let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        entries.filter(move |entry| is_process(&entry.file_name())).map(|entry| entry.path())
    }
}

/// The text that says which system this is; None if there is none.
pub fn os_release() -> Option<String> {
    fs::read_to_string("/etc/os-release").ok()
}

fn count(directory: &Path) -> io::Result<u64> {
    Ok(fs::read_dir(directory)?.map(|_| 1).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these files; those that end with `/` are directories.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Proc) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            if name.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        let proc = Proc::at(directory.path());
        (directory, proc)
    }

    #[test]
    fn processes_are_counted_with_what_they_have() {
        let (_directory, proc) = machine(&[
            ("13/fd/0", ""),
            ("13/fd/1", ""),
            ("13/task/13/", ""),
            ("13/limits", "thirteen"),
            ("142/fd/0", ""),
            ("142/fd/1", ""),
            ("142/fd/2", ""),
            ("142/task/142/", ""),
            ("142/task/143/", ""),
            ("142/task/144/", ""),
            ("142/task/145/", ""),
            ("self/fd/0", ""),
            ("meminfo", ""),
        ]);
        assert_eq!(proc.census(), Some(Census { files: 5, threads: Some(5) }));
        assert_eq!(proc.limits().collect::<Vec<_>>(), ["thirteen"]);
    }

    #[test]
    fn a_process_that_hides_its_threads_voids_their_count_only() {
        let (_directory, proc) = machine(&[("13/fd/0", ""), ("13/task/13/", ""), ("14/fd/0", "")]);
        assert_eq!(proc.census(), Some(Census { files: 2, threads: None }));
    }

    #[test]
    fn the_runtime_is_told_by_the_first_process_that_knows_it_and_not_by_the_first_of_all() {
        let (_directory, proc) = machine(&[
            ("1/environ", "AWS_EXECUTION_ENV=AWS_Lambda_init\0"),
            ("5/environ", "PATH=/bin\0MY_AWS_EXECUTION_ENV=AWS_Lambda_mine\0"),
            ("7/environ", "PATH=/bin\0AWS_EXECUTION_ENV=AWS_Lambda_python3.13\0TZ=:UTC\0"),
        ]);
        assert_eq!(proc.execution_environment().as_deref(), Some("AWS_Lambda_python3.13"));
    }

    #[test]
    fn where_nothing_is_nothing_is_read() {
        let proc = Proc::at("/nonexistent");
        assert_eq!((proc.stat(), proc.uptime(), proc.net_dev()), (None, None, None));
        assert_eq!((proc.census(), proc.execution_environment(), proc.limits().count()), (None, None, 0));
    }

    #[test]
    fn this_machine_can_be_read() {
        let proc = Proc::default();
        assert!(proc.stat().unwrap().starts_with("cpu "));
        assert!(proc.uptime().is_some() && proc.net_dev().is_some());
        assert!(proc.census().unwrap().files > 0);
        assert!(proc.limits().any(|limits| limits.contains("Max open files")));
    }
}
