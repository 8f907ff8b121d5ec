//! Reads the kernel's counters and the environment of processes from `/proc`. Reading never waits for a disk.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use super::processes::Processes;

/// The variable in which Lambda gives a function's process the name of its runtime.
const EXECUTION_ENVIRONMENT: &[u8] = b"AWS_EXECUTION_ENV=";
/// Initial buffer size, in bytes; enough for a machine with a few cores.
const USUAL_BYTES: usize = 4096;
/// Maximum number of bytes that are read of a file.
const MAX_BYTES: usize = 1 << 20;

/// The proc file system, or a directory like it.
#[derive(Debug, Clone)]
pub struct Proc {
    root: PathBuf,
}

impl Default for Proc {
    /// `/proc` of this machine.
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// A directory like `/proc`, for tests.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The counter files, not opened yet.
    pub fn counter_files(&self) -> CounterFiles {
        let file = |name: &str| KeptFile::new(self.root.join(name));
        CounterFiles { stat: file("stat"), uptime: file("uptime"), net_dev: file("net/dev") }
    }

    /// The process counter, with no known process yet.
    pub fn open_processes(&self) -> Processes {
        Processes::new(&self.root)
    }

    /// The value of `AWS_EXECUTION_ENV` of the first process that has it. Skips process 1, which is the machine's own.
    pub fn execution_environment(&self) -> Option<String> {
        self.processes().filter(|process| !process.ends_with("1")).find_map(|process| {
            let variables = fs::read(process.join("environ")).ok()?;
            let value = variables.split(|byte| *byte == 0).find_map(|it| it.strip_prefix(EXECUTION_ENVIRONMENT))?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
    }

    fn processes(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().filter_map(Result::ok);
        let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        entries.filter(move |entry| is_process(&entry.file_name())).map(|entry| entry.path())
    }
}

/// The kernel's counter files.
#[derive(Debug)]
pub struct CounterFiles {
    /// CPU times.
    pub stat: KeptFile,
    /// Time since boot.
    pub uptime: KeptFile,
    /// Traffic of the network interfaces.
    pub net_dev: KeptFile,
}

/// A file that is opened once and reread from its start each time. Opening a file in `/proc` costs more than reading it.
#[derive(Debug)]
pub struct KeptFile {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl KeptFile {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None, buffer: Vec::new() }
    }

    /// The whole text, up to [`MAX_BYTES`]; None if it cannot be read.
    pub fn read(&mut self) -> Option<&str> {
        let read = self.fill().inspect_err(|error| tracing::debug!("{}: {error}", self.path.display()));
        let Ok(length) = read else {
            self.file = None;
            return None;
        };
        str::from_utf8(self.buffer.get(..length)?).ok()
    }

    /// Reads the file into the buffer, which grows with the text.
    fn fill(&mut self) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                if length >= MAX_BYTES {
                    return Ok(length);
                }
                self.buffer.resize((length * 2).max(USUAL_BYTES), 0);
            }
            let rest = self.buffer.get_mut(length..).unwrap_or_default();
            match file.read_at(rest, u64::try_from(length).unwrap_or(u64::MAX)) {
                Ok(0) => return Ok(length),
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The text of `/etc/os-release`; None if it cannot be read.
pub fn os_release() -> Option<String> {
    fs::read_to_string("/etc/os-release").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory like `/proc` with these files. Names that end with `/` are directories.
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
    fn execution_environment_from_first_runtime_process() {
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
        let mut files = proc.counter_files();
        assert_eq!(
            [&mut files.stat, &mut files.uptime, &mut files.net_dev].map(|file| file.read().is_none()),
            [true; 3]
        );
        assert_eq!(proc.execution_environment(), None);
    }

    #[test]
    fn kept_file_is_read_from_its_start_each_time() {
        let (directory, proc) = machine(&[]);
        let mut files = proc.counter_files();
        assert_eq!(files.uptime.read(), None);
        for text in ["100.5 200.25", "7", "a longer text than before"] {
            fs::write(directory.path().join("uptime"), text).unwrap();
            assert_eq!(files.uptime.read(), Some(text));
        }
        fs::write(directory.path().join("uptime"), [0xff]).unwrap();
        assert_eq!(files.uptime.read(), None, "it is no text");
    }

    #[test]
    fn a_text_is_read_whole_up_to_its_bound() {
        let long = "x".repeat(3 * USUAL_BYTES);
        let (directory, proc) = machine(&[("stat", &long)]);
        let mut stat = proc.counter_files().stat;
        assert_eq!(stat.read(), Some(long.as_str()));
        fs::write(directory.path().join("stat"), "x".repeat(3 << 20)).unwrap();
        assert_eq!(stat.read().unwrap().len(), MAX_BYTES);
    }

    #[test]
    fn this_machine_can_be_read() {
        let mut files = Proc::default().counter_files();
        assert!(files.stat.read().unwrap().starts_with("cpu "));
        assert!(files.uptime.read().is_some() && files.net_dev.read().is_some());
    }
}
