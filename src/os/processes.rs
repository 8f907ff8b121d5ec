//! How many files and threads the machine's processes have open, counted again and again at little cost: nothing is allocated, and the list of processes is
//! read again only if one may have been added to it. Where there are many processes, a count is spread over several calls.

use std::{fmt::Write as _, fs, io, mem, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use nix::{
    errno::Errno,
    sys::statfs::{PROC_SUPER_MAGIC, statfs},
};

use super::{
    clock::thread_time,
    read::{count_entries, each_entry, read_start},
};

/// At most so many processes are counted. A Lambda sandbox can have 1,024 processes and threads.
const MAX_PROCESSES: usize = 4096;
/// How many processes are looked at, at least, however short the time is: as many as most sandboxes have.
const MIN_PROCESSES: usize = 16;
/// Bytes of the longest file that is read here, `limits`: 16 lines of 80.
const LONGEST_FILE: usize = 4096;
/// Links that every directory has: its name and its own `.`.
const OWN_LINKS: u64 = 2;

/// What all processes together have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessTotals {
    /// Open files, of those processes that let us see theirs; None if descriptors are used up, so that nobody's can be seen.
    pub files: Option<u64>,
    /// Threads; None if a living process does not let us see its own.
    pub threads: Option<u64>,
}

impl ProcessTotals {
    /// Of no process.
    const NONE: Self = Self { files: Some(0), threads: Some(0) };

    fn add(&mut self, files: io::Result<u64>, threads: io::Result<u64>) {
        self.threads = self.threads.zip(threads.ok()).map(|(sum, threads)| sum + threads);
        self.files = match files {
            Ok(files) => self.files.map(|sum| sum + files),
            Err(error) if is_shortage(&error) => None,
            // It does not let us see them.
            Err(_) => self.files,
        };
    }
}

/// A count under way.
#[derive(Debug)]
struct Count {
    totals: ProcessTotals,
    /// How many of the known processes have been counted.
    counted: usize,
    /// Whether there was any process.
    any: bool,
}

/// A limit on processor time, which is read only now and then.
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

/// The processes of a machine that are known so far.
#[derive(Debug)]
pub struct Processes {
    /// A path below the directory, of which the first `root_length` bytes are the directory.
    path: String,
    root_length: usize,
    kernel: KernelCounts,
    known: Vec<u32>,
    /// The process or thread that had been started last when the list was read; None if the kernel did not tell.
    newest: Option<u64>,
    /// The count that the next call goes on with.
    count: Option<Count>,
    /// The last count that was completed.
    latest: Option<ProcessTotals>,
}

/// What the kernel has counted itself, so that a directory need not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct KernelCounts {
    /// The directory of a process's threads has a link for each of them.
    threads: bool,
    /// The directory of a process's open files has their number as its size: Linux 6.2 and later.
    files: bool,
    /// The user as whom we see other processes' files.
    user: u32,
}

impl Processes {
    /// The processes of a directory like `/proc`, of which none is known yet.
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

    /// Counts what the processes have, within about `limit` of processor time. If that is not enough the next call goes on, and the result is that of the last
    /// complete count. None without one, and if not even the processes can be seen.
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
                // It has ended since it was listed, and has neither any more.
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

    /// Calls `each` with the limits of every known process that lets us see them, as far as that takes about `limit` of processor time.
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

    /// Reads the list again, unless a count is under way, or no process and no thread has been started since it was read.
    fn update(&mut self) {
        if self.count.is_some() {
            return;
        }
        // The number is read first: what is started in between changes it, and is found the next time at the latest.
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

    /// The last field of `loadavg`. Kernels that only imitate Linux leave it at zero.
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
        // Anybody may read the size, but only the owner and root the files themselves, and only what can be read counts.
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

/// Whether an error says that no further file can be opened, and nothing of the file.
fn is_shortage(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
}

impl KernelCounts {
    /// What the kernel behind this directory counts, as it shows of ourselves, who have at least one thread and one open file.
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
