//! The kernel's account of the machine and of its processes, as text and as numbers. Reading it never waits for a disk.

use std::{
    fs::{self, File},
    io::Read as _,
    path::PathBuf,
};

use super::processes::Processes;

/// The variable in which Lambda tells a function's process what its runtime is called.
const EXECUTION_ENVIRONMENT: &[u8] = b"AWS_EXECUTION_ENV=";
/// Bytes of the texts on a machine with a few cores.
const USUAL_BYTES: usize = 4096;
/// Bytes of the longest text that is read.
const MAX_BYTES: u64 = 1 << 20;

/// A directory like `/proc`.
#[derive(Debug, Clone)]
pub struct Proc {
    root: PathBuf,
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

    /// Its processes, of which none is known yet.
    pub fn open_processes(&self) -> Processes {
        Processes::new(&self.root)
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
        // With room for what there usually is, the file is read in one go.
        let mut text = String::with_capacity(USUAL_BYTES);
        let read = File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        read.inspect_err(|error| log::debug!("{}: {error}", path.display())).ok()?;
        Some(text)
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
        assert_eq!(proc.execution_environment(), None);
    }

    #[test]
    fn a_text_is_read_whole_up_to_its_bound() {
        let long = "x".repeat(3 * USUAL_BYTES);
        let (directory, proc) = machine(&[("stat", &long)]);
        assert_eq!(proc.stat().as_deref(), Some(long.as_str()));
        fs::write(directory.path().join("stat"), "x".repeat(3 << 20)).unwrap();
        assert_eq!(proc.stat().unwrap().len() as u64, MAX_BYTES);
    }

    #[test]
    fn this_machine_can_be_read() {
        let proc = Proc::default();
        assert!(proc.stat().unwrap().starts_with("cpu "));
        assert!(proc.uptime().is_some() && proc.net_dev().is_some());
    }
}
