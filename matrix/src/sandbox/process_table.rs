//! Finds all processes of an environment, including descendants, to stop, measure and kill them together.
//!
//! A process can leave its process group (`setsid`) and its parent (by forking twice), but never its process namespace. Without a namespace, the known
//! processes of an environment are its extensions, its runtime, their descendants, and whatever was started with the environment's own variables.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::figures::CpuTicks;

/// Maximum number of searches for processes that were forked while others were signalled.
const ROUNDS: u32 = 20;
/// How long killed processes may take to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Interval at which their end is checked.
const GLANCE: Duration = Duration::from_millis(1);
/// The id of the first process of a namespace, which is not part of the environment.
const FIRST: i32 = 1;
/// The parent id of a process that was started from outside of its namespace.
const OUTSIDE: i32 = 0;

/// A directory of processes in `/proc`: that of a process namespace or the machine's.
#[derive(Debug)]
pub(crate) struct ProcessTable {
    directory: PathBuf,
    is_namespace: bool,
    /// What the processes of the environment have in common; matters only without a namespace.
    mark: Option<Mark>,
}

/// A variable that all processes of an environment inherit, and the network in which its value is unique.
#[derive(Debug)]
struct Mark {
    variable: Vec<u8>,
    network: PathBuf,
}

/// A process, by a descriptor that is never reused for another one.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    id: i32,
    directory: PathBuf,
    handle: File,
}

/// Fields of a process's `stat` file.
#[derive(Clone, Copy, Debug)]
struct Stat {
    state: char,
    parent: i32,
    threads: u32,
    /// CPU time of the process and of its children that it has waited for.
    cpu: CpuTicks,
}

impl ProcessTable {
    /// The processes of the machine.
    pub(crate) fn of_machine() -> Self {
        Self { directory: "/proc".into(), is_namespace: false, mark: None }
    }

    /// The processes of the machine, of which those with the variable `NAME=value` in the calling thread's network belong to the environment, whatever their
    /// parents are.
    pub(crate) fn of_environment(variable: &str) -> Self {
        let network = fs::read_link("/proc/thread-self/ns/net").ok();
        let mark = network.map(|network| Mark { variable: variable.as_bytes().to_owned(), network });
        Self { mark, ..Self::of_machine() }
    }

    /// The processes of a namespace, from the view of its first process, whose id on the machine is `first`. Without the privilege to use that view, the
    /// processes of the machine.
    pub(crate) fn of_namespace(first: u32) -> Self {
        let directory = PathBuf::from(format!("/proc/{first}/root/proc"));
        if fs::read_dir(&directory).is_ok() {
            Self { directory, is_namespace: true, mark: None }
        } else {
            Self::of_machine()
        }
    }

    /// The present processes. `leaders` are the processes that the sandbox has started; they matter only without a namespace.
    pub(crate) fn members(&self, leaders: &[Pid]) -> Vec<ProcessHandle> {
        let ids = if self.is_namespace { self.all_ids() } else { self.related(leaders) };
        ids.into_iter().filter_map(|id| ProcessHandle::open(&self.directory, id)).collect()
    }

    /// Sends a signal to all processes. A process with a pending signal cannot fork, so a search that finds no new process has found all of them.
    pub(crate) fn signal(&self, leaders: &[Pid], signal: Signal) {
        let mut reached = BTreeSet::new();
        for _ in 0..ROUNDS {
            let mut new = self.members(leaders);
            new.retain(|member| reached.insert(member.id));
            for member in &new {
                member.signal(signal);
            }
            // A continued process may fork again and again.
            if new.is_empty() || signal == Signal::SIGCONT {
                return;
            }
        }
    }

    /// Kills all processes, including those in `known`, and waits until they are gone and their ports are free.
    pub(crate) async fn end(&self, known: Vec<ProcessHandle>) {
        let began = Instant::now();
        let mut living = known;
        living.extend(self.members(&[]));
        loop {
            living.retain(ProcessHandle::is_alive);
            if living.is_empty() || began.elapsed() > PATIENCE {
                return;
            }
            for member in &living {
                member.signal(Signal::SIGKILL);
            }
            tokio::time::sleep(GLANCE).await;
            living.extend(self.members(&[]));
        }
    }

    /// The memory of all processes together, in kB.
    ///
    /// Forked processes share memory with their parents. Shared pages count once: the kernel divides each by the number of processes that have it ("Pss",
    /// proc(5)), which takes a walk over all pages. If no process has forked, the resident sizes are as accurate and cost nothing.
    pub(crate) fn used_kb(&self, leaders: &[Pid]) -> u64 {
        let members = self.members(leaders);
        let is_leader = |member: &ProcessHandle| match member.stat() {
            Some(stat) if self.is_namespace => stat.parent == OUTSIDE,
            _ => leaders.iter().any(|leader| leader.as_raw() == member.id),
        };
        let each: fn(&ProcessHandle) -> u64 =
            if members.iter().all(is_leader) { ProcessHandle::resident_kb } else { ProcessHandle::proportional_kb };
        members.iter().map(each).sum()
    }

    /// The CPU time of all processes together, and of those that they have waited for.
    pub(crate) fn cpu(&self, leaders: &[Pid]) -> CpuTicks {
        let each = self.members(leaders).into_iter().filter_map(|member| Some(member.stat()?.cpu));
        each.fold(CpuTicks::default(), |sum, cpu| CpuTicks {
            user: sum.user + cpu.user,
            system: sum.system + cpu.system,
        })
    }

    fn all_ids(&self) -> Vec<i32> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(|id| *id != FIRST).collect()
    }

    /// The descendants of the leaders and all marked processes.
    fn related(&self, leaders: &[Pid]) -> Vec<i32> {
        let mut found = self.descendants(leaders);
        if let Some(mark) = &self.mark {
            let others: Vec<i32> = self.all_ids().into_iter().filter(|id| !found.contains(id)).collect();
            found.extend(others.into_iter().filter(|id| mark.is_on(&self.directory.join(id.to_string()))));
        }
        found
    }

    fn descendants(&self, leaders: &[Pid]) -> Vec<i32> {
        let mut found: Vec<i32> = leaders.iter().map(|leader| leader.as_raw()).collect();
        let mut next = 0;
        while let Some(id) = found.get(next).copied() {
            next += 1;
            // Children are listed by the thread that forked them.
            let threads = fs::read_dir(self.directory.join(format!("{id}/task"))).into_iter().flatten().flatten();
            let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
            for child in lists.flat_map(|list| list.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()) {
                found.extend(child.parse::<i32>().ok().filter(|child| !found.contains(child)));
            }
        }
        found
    }
}

impl Mark {
    fn is_on(&self, process: &Path) -> bool {
        let variables = fs::read(process.join("environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable == self.variable)
            && fs::read_link(process.join("ns/net")).is_ok_and(|network| network == self.network)
    }
}

impl ProcessHandle {
    fn open(table: &Path, id: i32) -> Option<Self> {
        let directory = table.join(id.to_string());
        Some(Self { id, handle: File::open(&directory).ok()?, directory })
    }

    fn signal(&self, signal: Signal) {
        if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) {
            // A process that is gone needs no signal.
            let _ = rustix::process::pidfd_send_signal(&self.handle, signal);
        }
    }

    /// Whether any of its threads is alive. A zombie has closed all of its descriptors.
    fn is_alive(&self) -> bool {
        self.stat().is_some_and(|stat| !matches!(stat.state, 'Z' | 'X') || stat.threads > 1)
    }

    fn stat(&self) -> Option<Stat> {
        let stat = fs::read_to_string(self.directory.join("stat")).ok()?;
        // The process name is in parentheses and may contain blanks and parentheses. The first field after it is the state, the third of the file.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // User and system time, then those of the children.
        let mut ticks = fields.by_ref().skip(9).map(|field| field.parse().unwrap_or_default());
        let mut next = || ticks.next().unwrap_or_default();
        let [user, system, user_of_children, system_of_children]: [u64; 4] = [next(), next(), next(), next()];
        let cpu = CpuTicks { user: user + user_of_children, system: system + system_of_children };
        Some(Stat { state, parent, threads: fields.nth(2)?.parse().ok()?, cpu })
    }

    fn resident_kb(&self) -> u64 {
        kilobytes(&self.directory.join("status"), "VmRSS:").unwrap_or_default()
    }

    fn proportional_kb(&self) -> u64 {
        kilobytes(&self.directory.join("smaps_rollup"), "Pss:").unwrap_or_else(|| self.resident_kb())
    }
}

/// A field in kB of a file in `/proc`.
pub(crate) fn kilobytes(file: &Path, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        // The shell waits for its own child.
        Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap()
    }

    fn id(child: &Child) -> Pid {
        Pid::from_raw(i32::try_from(child.id()).unwrap())
    }

    fn grown(table: &ProcessTable, leader: Pid, count: usize) -> Vec<ProcessHandle> {
        for _ in 0..2000 {
            let members = table.members(&[leader]);
            if members.len() == count {
                return members;
            }
            std::thread::sleep(GLANCE);
        }
        panic!("never {count} processes")
    }

    #[tokio::test]
    async fn descendants_are_stopped_continued_and_ended() {
        let (table, mut child) = (ProcessTable::of_machine(), sleeper());
        let leader = id(&child);
        let states = || grown(&table, leader, 2).iter().map(|member| member.stat().unwrap().state).collect::<String>();
        let reaches = |state: &str| {
            (0..2000).any(|_| {
                std::thread::sleep(GLANCE);
                states() == state
            })
        };
        grown(&table, leader, 2);
        table.signal(&[leader], Signal::SIGSTOP);
        assert!(reaches("TT"), "{}", states());
        table.signal(&[leader], Signal::SIGCONT);
        assert!(reaches("SS"), "{}", states());
        table.end(grown(&table, leader, 2)).await;
        child.wait().unwrap();
        assert!(table.members(&[leader]).iter().all(|member| !member.is_alive()));
    }

    #[tokio::test]
    async fn daemonized_process_is_recognized_by_its_environment() {
        let name = format!("MATRIX_TEST_MARK={}", std::process::id());
        let table = ProcessTable::of_environment(&name);
        let (key, value) = name.split_once('=').unwrap();
        let mut child = Command::new("sh").args(["-c", "setsid sleep 60 &"]).env(key, value).spawn().unwrap();
        child.wait().unwrap();
        let members = grown(&table, Pid::from_raw(i32::MAX), 1);
        assert_eq!(members.iter().filter(|member| member.is_alive()).count(), 1);
        table.end(members).await;
        assert!(table.members(&[]).iter().all(|member| !member.is_alive()));
    }

    #[tokio::test]
    async fn cpu_time_is_that_of_a_process_and_of_its_children() {
        let table = ProcessTable::of_machine();
        let own = nix::unistd::getpid();
        let used = |table: &ProcessTable| table.cpu(&[own]).user + table.cpu(&[own]).system;
        let before = used(&table);
        let loops = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done";
        assert!(Command::new("sh").args(["-c", loops]).status().unwrap().success());
        assert!(used(&table) > before, "{before}");
        assert_eq!(table.cpu(&[Pid::from_raw(i32::MAX)]), CpuTicks::default());
    }

    #[test]
    fn memory_of_a_process_that_is_gone_is_none() {
        let table = ProcessTable::of_machine();
        assert!(table.used_kb(&[nix::unistd::getpid()]) > 1000);
        assert_eq!(table.used_kb(&[Pid::from_raw(i32::MAX)]), 0);
    }
}
