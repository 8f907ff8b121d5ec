//! What stands in `/opt/extensions` when the layer has a launcher: a small program that does what the platform waits for, and then becomes the agent.
//!
//! It registers, binds, subscribes and asks for the first event. After that the platform waits for nobody any more, however long the agent takes to be
//! loaded. The process stays the same, so that the platform sees one extension; the sockets stay open, so that nothing that arrives in between is lost.
//!
//! It does without the standard library's `main`, which prepares for things that do not happen here: signal stacks for threads that overflow theirs, standard
//! streams that are closed, the limits of the stack, read from `/proc`. That is fifteen system calls of forty before the registration.
#![no_main]

use std::{
    env,
    ffi::{CString, c_char, c_int},
    io,
    os::unix::ffi::OsStringExt as _,
    path::PathBuf,
};

use bottlecap::{
    build_info::BUILD_INFO,
    os::{log, signal, streams},
    platform::Environment,
    startup::{handover, idle::idle, register::register},
};
use nix::unistd::execve;

const SUCCESS: c_int = 0;
const FAILURE: c_int = 1;

/// The C library calls this. The arguments are read where the standard library keeps them, which does not need its own `main`.
#[unsafe(no_mangle)]
#[expect(
    unsafe_code,
    reason = "this is the name under which the C library looks for a program's beginning, and nothing else here has it"
)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    if env::args_os().nth(1).is_some_and(|argument| argument == "--version=json") {
        streams::print(&BUILD_INFO.json(None));
        return SUCCESS;
    }
    // As the agent, which inherits it: none but those that ask for the end may end the process.
    signal::block();
    signal::unblock_termination();
    let environment = Environment::of_process();
    // Where nobody waits for the start there is nothing to be gained by doing it in two steps. This comes back only if it fails.
    let refused = environment.initialization().is_ahead().then(|| execute_agent(None));
    // The agent drops lines that are not wanted; asking for them here would need all of the settings.
    let state = match register(environment, |_| true) {
        Ok(state) => state,
        Err(error) => {
            complain(&format!("EXTENSION | {error}"));
            return FAILURE;
        }
    };
    let refused = refused.unwrap_or_else(|| execute_agent(Some(&handover::export(&state))));
    complain(&format!("EXTENSION | The agent cannot be started, nothing will be collected: {refused}"));
    idle(state);
    SUCCESS
}

/// An error for the log. Nobody may be reading it.
fn complain(text: &str) {
    signal::block();
    log::write_error(text);
}

/// Becomes the agent. Comes back only if that is refused: the standard library and the C library would give a file that is no program to a shell, which ends.
fn execute_agent(handover: Option<&str>) -> io::Error {
    let environment = handover::environment(env::vars_os(), handover);
    match CString::new(agent().into_os_string().into_vec()) {
        Ok(agent) => match execve(&agent, &[&agent], &environment) {
            Ok(never) => match never {},
            Err(error) => error.into(),
        },
        Err(error) => error.into(),
    }
}

/// Beside the folder in which this program stands: `/opt/bottlecap/agent`, because everything in `/opt/extensions` would be started.
fn agent() -> PathBuf {
    let this = PathBuf::from(env::args_os().next().unwrap_or_default());
    let opt = this.parent().and_then(|extensions| extensions.parent()).map(PathBuf::from);
    opt.unwrap_or_else(|| PathBuf::from("/opt")).join("bottlecap/agent")
}
