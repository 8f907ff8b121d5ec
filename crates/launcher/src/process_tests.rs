use std::{
    ffi::{CStr, CString},
    io,
    os::unix::process::CommandExt as _,
    process::Command,
};

use rustix::io::Errno;

use super::Process;

/// A process with these arguments and variables, as the kernel would put them on its stack.
fn process(arguments: &[&str], variables: &[&str]) -> Process {
    let pointer = |text: &&str| CString::new(*text).unwrap().into_raw().addr();
    let mut words = vec![arguments.len()];
    words.extend(arguments.iter().map(pointer).chain([0]));
    words.extend(variables.iter().map(pointer).chain([0]));
    let stack = Vec::leak(words).as_mut_ptr();
    // SAFETY: the words are laid out like that, and nobody else has them.
    unsafe { Process::from_stack(stack) }
}

fn variables(process: &Process) -> Vec<&str> {
    process.variables().map(|variable| variable.to_str().unwrap()).collect()
}

#[test]
fn arguments_and_variables_are_read() {
    let process = process(&["/opt/extensions/x", "--version"], &["A=1", "AB=2", "B=", "A=3", "no value"]);
    assert_eq!(process.program(), Some(c"/opt/extensions/x"));
    assert!(process.has_arguments());
    assert_eq!(
        (process.variable("A"), process.variable("AB"), process.variable("B")),
        (Some("1"), Some("2"), Some(""))
    );
    assert_eq!((process.variable("C"), process.variable("no value")), (None, None));
}

#[test]
fn a_process_may_have_neither_arguments_nor_variables() {
    let mut process = process(&[], &[]);
    assert_eq!((process.program(), process.has_arguments(), process.variable("A")), (None, false, None));
    assert_eq!(process.execute(c"/nonexistent", "H", Some(c"H=1")), Errno::NOENT);
    assert_eq!(process.program(), None);
}

#[test]
fn a_refused_execution_changes_nothing_but_the_variable_of_that_name() {
    let mut process = process(&["x"], &["A=1", "H=customer", "B=2", "H=again", "HA=3"]);
    assert_eq!(process.execute(c"/nonexistent", "H", Some(c"H=1")), Errno::NOENT);
    assert_eq!(variables(&process), ["A=1", "B=2", "HA=3"]);
    assert_eq!(process.program(), Some(c"x"));
    assert_eq!(process.execute(c"/", "H", None), Errno::ACCESS);
}

/// A process that is moved into a child.
struct SendableProcess(Process);

// SAFETY: the child has a copy of all of it, and one thread.
unsafe impl Send for SendableProcess {}
// SAFETY: as above.
unsafe impl Sync for SendableProcess {}

/// What a program says that is executed in the place of a child.
fn output(arguments: &[&str], variables: &[&str], path: &'static CStr, variable: Option<&'static CStr>) -> String {
    let sendable = SendableProcess(process(arguments, variables));
    let mut command = Command::new("/nonexistent");
    // SAFETY: the child makes one system call.
    unsafe {
        let mut sendable = sendable;
        command.pre_exec(move || {
            let SendableProcess(process) = &mut sendable;
            Err(io::Error::from(process.execute(path, "H", variable)))
        });
    }
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_agent_gets_all_variables_and_the_handover_in_place_of_the_customers() {
    let env = c"/usr/bin/env";
    let given = ["A=1", "H=customer", "B=2"];
    assert_eq!(output(&["x"], &given, env, Some(c"H=ours")), "H=ours\nA=1\nB=2\n");
    assert_eq!(output(&["x"], &given, env, None), "A=1\nB=2\n");
    assert_eq!(output(&[], &given, env, Some(c"H=ours")), "H=ours\nA=1\nB=2\n");
}

#[test]
fn the_agent_gets_the_arguments() {
    assert_eq!(output(&["x", "one", "two"], &[], c"/bin/echo", None), "one two\n");
}

#[test]
fn signals_that_ask_for_the_end_are_not_blocked_and_others_are() {
    let blocked = std::thread::spawn(|| {
        super::block_signals();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(blocked.trim(), 16).unwrap()
    });
    let blocked = blocked.join().unwrap();
    let is_blocked = |signal: u32| blocked & (1 << (signal - 1)) != 0;
    // SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM and the last real-time signal.
    assert!([1, 3, 10, 12, 13, 14, 64].into_iter().all(is_blocked));
    assert!(![2, 4, 5, 6, 7, 8, 11, 15, 17, 31, 32, 33, 34].into_iter().any(is_blocked));
}

#[test]
fn the_clock_is_that_of_the_kernel() {
    let before = super::monotonic_ns();
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert!(super::monotonic_ns() - before >= 2_000_000);
}
