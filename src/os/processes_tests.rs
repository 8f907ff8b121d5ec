use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use super::*;

/// A directory like `/proc`.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    /// Creates these files. Names that end with `/` are directories.
    fn new(files: &[(&str, &str)]) -> Self {
        let machine = Self { directory: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            machine.add(name, text);
        }
        machine
    }

    fn add(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn remove(&self, process: &str) {
        fs::remove_dir_all(self.directory.path().join(process)).unwrap();
    }

    fn processes(&self) -> Processes {
        Processes::new(self.directory.path())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the count is")]
fn totals(files: u64, threads: impl Into<Option<u64>>) -> Option<ProcessTotals> {
    Some(ProcessTotals { files: Some(files), threads: threads.into() })
}

const UNLIMITED: Duration = Duration::MAX;

fn limits(processes: &mut Processes) -> Vec<String> {
    let mut limits = Vec::new();
    processes.each_limits(UNLIMITED, |text| limits.push(text.to_owned()));
    limits
}

#[test]
fn files_and_threads_of_all_processes_are_added_up() {
    let machine = Machine::new(&[
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
    let mut processes = machine.processes();
    assert_eq!(processes.count(UNLIMITED), totals(5, 5));
    assert_eq!(limits(&mut processes), ["thirteen"]);
}

#[test]
fn a_process_that_hides_its_threads_voids_their_count_only() {
    let machine = Machine::new(&[("13/fd/0", ""), ("13/task/13/", ""), ("14/fd/0", "")]);
    assert_eq!(machine.processes().count(UNLIMITED), totals(2, None));
}

#[test]
fn a_process_that_has_ended_counts_no_more() {
    let machine = Machine::new(&[("loadavg", "0 0 0 1/2 14\n"), ("13/fd/0", ""), ("13/task/13/", "")]);
    machine.add("14/fd/0", "");
    machine.add("14/task/14/", "");
    let mut processes = machine.processes();
    assert_eq!(processes.count(UNLIMITED), totals(2, 2));
    machine.remove("14");
    assert_eq!(processes.count(UNLIMITED), totals(1, 1));
    machine.remove("13");
    assert_eq!(processes.count(UNLIMITED), totals(0, 0));
    assert_eq!(processes.count(UNLIMITED), None);
}

#[test]
fn processes_are_listed_again_only_after_one_was_started() {
    let machine = Machine::new(&[("loadavg", "0.5 0.1 0.0 1/80 13\n"), ("13/fd/0", ""), ("13/task/13/", "")]);
    let mut processes = machine.processes();
    assert_eq!(processes.count(UNLIMITED), totals(1, 1));
    machine.add("14/fd/0", "");
    machine.add("14/task/14/", "");
    machine.add("13/fd/1", "");
    assert_eq!(processes.count(UNLIMITED), totals(2, 1), "the known process only");
    machine.add("loadavg", "0.5 0.1 0.0 1/81 14\n");
    assert_eq!(processes.count(UNLIMITED), totals(3, 2));
}

#[test]
fn processes_are_listed_every_time_where_the_kernel_names_no_newest() {
    for loadavg in ["0.00 0.00 0.00 0/0 0\n", "", "nonsense"] {
        let machine = Machine::new(&[("loadavg", loadavg), ("13/fd/0", ""), ("13/task/13/", "")]);
        let mut processes = machine.processes();
        assert_eq!(processes.count(UNLIMITED), totals(1, 1));
        machine.add("14/fd/0", "");
        machine.add("14/task/14/", "");
        assert_eq!(processes.count(UNLIMITED), totals(2, 2), "{loadavg:?}");
    }
}

#[test]
fn the_number_of_known_processes_is_bounded() {
    let machine = Machine::new(&[]);
    for process in 0..4106 {
        fs::create_dir(machine.directory.path().join(process.to_string())).unwrap();
    }
    let mut processes = machine.processes();
    processes.update();
    assert_eq!(processes.known.len(), 4096);
}

#[test]
fn process_count_resumes_and_returns_last_complete_total() {
    let machine = Machine::new(&[("loadavg", "0 0 0 1/2 1\n")]);
    let add = |process: usize| {
        machine.add(&format!("{process}/fd/0"), "");
        machine.add(&format!("{process}/task/{process}/"), "");
        machine.add(&format!("{process}/limits"), "limits");
    };
    let count = MIN_PROCESSES * 2 + 3;
    (0..count).for_each(add);
    let mut processes = machine.processes();
    let all = totals(count as u64, count as u64);
    assert_eq!([(); 3].map(|()| processes.count(Duration::ZERO)), [None, None, all]);
    add(count);
    machine.add("loadavg", "0 0 0 1/2 2\n");
    machine.remove("0");
    assert_eq!([(); 2].map(|()| processes.count(Duration::ZERO)), [all; 2]);
    let mut limits = 0;
    processes.each_limits(Duration::ZERO, |_| limits += 1);
    assert_eq!(limits, MIN_PROCESSES);
    assert_eq!(processes.count(Duration::ZERO), all, "one more, one less");
    machine.remove("1");
    assert_eq!(processes.count(UNLIMITED), totals(count as u64 - 1, count as u64 - 1));
}

#[test]
fn files_are_unknown_where_descriptors_are_used_up() {
    let of = |error: Errno| {
        let mut totals = ProcessTotals::NONE;
        totals.add(Ok(3), Ok(1));
        totals.add(Err(error.into()), Ok(1));
        totals.add(Ok(4), Ok(1));
        totals
    };
    for error in [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM] {
        assert_eq!(of(error), ProcessTotals { files: None, threads: Some(3) }, "{error}");
    }
    for error in [Errno::EACCES, Errno::ENOENT] {
        assert_eq!(of(error), ProcessTotals { files: Some(7), threads: Some(3) }, "{error}");
    }
}

#[test]
fn a_directory_that_does_not_exist_has_no_processes() {
    let mut processes = Processes::new(Path::new("/nonexistent"));
    assert_eq!(processes.count(UNLIMITED), None);
    assert!(limits(&mut processes).is_empty());
}

/// A process that waits for the end of its input.
struct ChildProcess(Child);

impl ChildProcess {
    fn new() -> Self {
        Self(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn what_the_kernel_has_counted_is_what_its_directories_list() {
    let other = ChildProcess::new();
    let process = other.0.id();
    let mut counted = Processes::new(Path::new("/proc"));
    let mut listed = Processes::new(Path::new("/proc"));
    listed.kernel = KernelCounts::default();
    assert_eq!(counted.threads(process).unwrap(), 1);
    assert_eq!(listed.threads(process).unwrap(), 1);
    // Between fork and exec, the child has more files open.
    let settled = (0..10_000).any(|_| counted.files(process).unwrap() == listed.files(process).unwrap());
    assert!(settled, "{counted:?}");
}

#[test]
fn this_machines_processes_are_counted() {
    let mut processes = Processes::new(Path::new("/proc"));
    let own = std::process::id();
    let before = processes.files(own).unwrap();
    let files: Vec<_> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
    assert!(processes.files(own).unwrap() > before + 100, "{before} before, and other tests close some");
    drop(files);
    let totals = processes.count(UNLIMITED).unwrap();
    assert!(totals.files.unwrap() > 0 && totals.threads.unwrap() > 0, "{totals:?}");
    let other = ChildProcess::new();
    processes.count(UNLIMITED);
    assert!(processes.known.contains(&other.0.id()), "a new one is found");
    assert!(limits(&mut processes).iter().any(|limits| limits.contains("Max open files")));
}
