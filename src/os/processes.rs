//! Counts open files and threads of all processes, repeatedly and at low cost. Counting allocates nothing, and rereads the list of processes only if
//! a process may have been added. With many processes, a count is spread over several calls.

use std::{fmt::Write as _, fs, io, mem, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use nix::{
    errno::Errno,
    sys::statfs::{PROC_SUPER_MAGIC, statfs},
};

use super::{
    clock::thread_time,
    read::{count_entries, each_entry, read_start},
};

/// Maximum number of processes that are counted. A Lambda sandbox can have 1,024 processes and threads.
const MAX_PROCESSES: usize = 4096;
/// Minimum number of processes counted per call, whatever the time limit; most sandboxes have no more.
const MIN_PROCESSES: usize = 16;
/// Buffer size in bytes for the longest file read here, `limits`: 16 lines of 80 bytes.
const LONGEST_FILE: usize = 4096;
/// Links that every directory has: its name and its own `.`.
const OWN_LINKS: u64 = 2;

/// Totals of all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessTotals {
    /// Open files of all processes whose files are visible. None if no file descriptor is left, because then no files are visible.
    pub files: Option<u64>,
    /// Threads. None if the threads of a running process are not visible.
    pub threads: Option<u64>,
}

impl ProcessTotals {
    /// The totals of no process.
    const NONE: Self = Self { files: Some(0), threads: Some(0) };

    fn add(&mut self, files: io::Result<u64>, threads: io::Result<u64>) {
        self.threads = self.threads.zip(threads.ok()).map(|(sum, threads)| sum + threads);
        self.files = match files {
            Ok(files) => self.files.map(|sum| sum + files),
            Err(error) if is_shortage(&error) => None,
            // The process's files are not visible.
            Err(_) => self.files,
        };
    }
}

/// A count in progress.
#[derive(Debug)]
struct Count {
    totals: ProcessTotals,
    /// Number of known processes counted so far.
    counted: usize,
    /// Whether there was any process.
    any: bool,
}

/// A limit on CPU time, which is checked only now and then.
#[derive(Debug)]
struct Budget {
    began: Duration,
    limit: Duration,
    processes: usize,
}

impl Budget {
    fn new(limit: Duration) -> Self {
        Self { began: thread_time(), limit, processes: 0 }
    }

    /// Whether there is time for another process.
    fn has_time(&mut self) -> bool {
        let is_due = self.processes > 0 && self.processes.is_multiple_of(MIN_PROCESSES);
        self.processes += 1;
        !is_due || thread_time().saturating_sub(self.began) < self.limit
    }
}

/// Counter for the processes of a machine.
#[derive(Debug)]
pub struct Processes {
    /// Path buffer. The first `root_length` bytes are the directory.
    path: String,
    root_length: usize,
    kernel: KernelCounts,
    known: Vec<u32>,
    /// The id of the most recently started process or thread when the list was read; None if the kernel does not provide it.
    newest: Option<u64>,
    /// The count that the next call continues.
    count: Option<Count>,
    /// The last completed count.
    latest: Option<ProcessTotals>,
}

/// Counts that the kernel provides in a directory's metadata, so that the directory need not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct KernelCounts {
    /// The link count of a process's `task` directory contains the number of its threads.
    threads: bool,
    /// The size of a process's `fd` directory is the number of its open files: Linux 6.2 and later.
    files: bool,
    /// The user id that decides which processes' files are visible.
    user: u32,
}

impl Processes {
    /// Creates a counter for a directory like `/proc`, with no known process yet.
    pub fn new(root: &Path) -> Self {
        let path = root.display().to_string();
        Self {
            root_length: path.len(),
            path,
            kernel: KernelCounts::of(root),
            known: Vec::new(),
            newest: None,
            count: None,
            latest: None,
        }
    }

    /// Counts open files and threads within about `limit` of CPU time. If the limit is too short, the next call continues. Returns the last complete
    /// count; None if there is none, or if no process is visible.
    pub fn count(&mut self, limit: Duration) -> Option<ProcessTotals> {
        self.update();
        let mut budget = Budget::new(limit);
        let any = !self.known.is_empty();
        let mut count = self.count.take().unwrap_or(Count { totals: ProcessTotals::NONE, counted: 0, any });
        while let Some(process) = self.known.get(count.counted).copied() {
            if !budget.has_time() {
                self.count = Some(count);
                return self.latest;
            }
            match self.threads(process) {
                // The process has exited since it was listed.
                Err(_) if !self.path(process, "").exists() => {
                    self.known.swap_remove(count.counted);
                }
                threads => {
                    count.totals.add(self.files(process), threads);
                    count.counted += 1;
                }
            }
        }
        self.latest = count.any.then_some(count.totals);
        self.latest
    }

    /// Calls `each` with the limits of every known process where they are visible, within about `limit` of CPU time.
    pub fn each_limits(&mut self, limit: Duration, mut each: impl FnMut(&str)) {
        self.update();
        let mut budget = Budget::new(limit);
        let known = mem::take(&mut self.known);
        let mut buffer = [0; LONGEST_FILE];
        for process in known.iter().take_while(|_| budget.has_time()) {
            if let Ok(limits) = read_start(self.path(*process, "limits"), &mut buffer) {
                each(limits);
            }
        }
        self.known = known;
    }

    /// Rereads the list of processes, unless a count is in progress or nothing was started since the last read.
    fn update(&mut self) {
        if self.count.is_some() {
            return;
        }
        // The id is read before the list. A process started in between changes the id and is found by the next update at the latest.
        let newest = self.newest();
        if newest.is_some() && newest == self.newest {
            return;
        }
        self.newest = newest;
        self.path.truncate(self.root_length);
        let known = &mut self.known;
        known.clear();
        let listed = each_entry(Path::new(&self.path), |name| {
            let process = str::from_utf8(name).ok().and_then(|name| name.parse().ok());
            if let Some(process) = process
                && known.len() < MAX_PROCESSES
                && known.try_reserve(1).is_ok()
            {
                known.push(process);
            }
        });
        if listed.is_err() {
            self.newest = None;
        }
    }

    /// The last field of `loadavg`: the most recent process id. Kernels that imitate Linux leave it at zero.
    fn newest(&mut self) -> Option<u64> {
        self.path.truncate(self.root_length);
        self.path.push_str("/loadavg");
        let mut buffer = [0; 128];
        let loadavg = read_start(Path::new(&self.path), &mut buffer).ok()?;
        loadavg.split_ascii_whitespace().next_back()?.parse::<u64>().ok().filter(|newest| *newest > 0)
    }

    fn threads(&mut self, process: u32) -> io::Result<u64> {
        let by_link = self.kernel.threads;
        let path = self.path(process, "task");
        if by_link { Ok(fs::metadata(path)?.nlink().saturating_sub(OWN_LINKS)) } else { count_entries(path) }
    }

    fn files(&mut self, process: u32) -> io::Result<u64> {
        let KernelCounts { files: by_size, user, .. } = self.kernel;
        let path = self.path(process, "fd");
        if !by_size {
            return count_entries(path);
        }
        let directory = fs::metadata(path)?;
        // Any user can read the size, but only the owner and root can read the files themselves. Only readable files count.
        let is_visible = user == 0 || user == directory.uid();
        Ok(if is_visible { directory.size() } else { 0 })
    }

    fn path(&mut self, process: u32, file: &str) -> &Path {
        self.path.truncate(self.root_length);
        // Writing to a string cannot fail.
        let _ = write!(self.path, "/{process}/{file}");
        Path::new(&self.path)
    }
}

/// Whether an error means that no further file can be opened, rather than a problem with this file.
fn is_shortage(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
}

impl KernelCounts {
    /// Detects which counts the kernel provides by reading those of this process, which has at least one thread and one open file.
    fn of(root: &Path) -> Self {
        let is_proc = statfs(root).is_ok_and(|system| system.filesystem_type() == PROC_SUPER_MAGIC);
        let own = |directory: &str| fs::metadata(root.join("self").join(directory));
        match (own("task"), own("fd")) {
            (Ok(threads), Ok(files)) if is_proc => {
                Self { threads: threads.nlink() > OWN_LINKS, files: files.size() > 0, user: files.uid() }
            }
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
#[path = "processes_tests.rs"]
mod tests;
