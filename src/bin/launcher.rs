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
    ffi::{c_char, c_int},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::Command,
};

use bottlecap::{
    build_info::BUILD_INFO,
    os::log,
    platform::Environment,
    run::Ended,
    start::{ask::ask, idle::idle, inherit},
};

const SUCCESS: c_int = 0;
const FAILURE: c_int = 1;

/// The C library calls this. The arguments are read where the standard library keeps them, which does not need its own `main`.
#[unsafe(no_mangle)]
#[expect(
    unsafe_code,
    reason = "this is the name under which the C library looks for a program's beginning, and nothing else here has it"
)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    if env::args().nth(1).as_deref() == Some("--version=json") {
        println!("{}", BUILD_INFO.json(None));
        return SUCCESS;
    }
    let environment = Environment::of_process();
    // Where nobody waits for the start there is nothing to be gained by doing it in two steps. This comes back only if it fails.
    let refused = environment.initialization().is_ahead().then(|| Command::new(agent()).exec());
    // The agent drops lines that are not wanted; asking for them here would need all of the settings.
    let asked = match ask(environment, |_| true) {
        Ok(asked) => asked,
        Err(error) => {
            log::write(::log::Level::Error, &format!("EXTENSION | {error}"));
            return FAILURE;
        }
    };
    let why = match (refused, inherit::leave(&asked)) {
        (Some(refused), _) => refused.to_string(),
        (None, Some(bequest)) => Command::new(agent()).env(bequest.name, bequest.value).exec().to_string(),
        (None, None) => "the connection to the platform has broken".to_owned(),
    };
    log::write(
        ::log::Level::Error,
        &format!("EXTENSION | The agent cannot be started, nothing will be collected: {why}"),
    );
    match idle(asked) {
        Ended::Shutdown => SUCCESS,
        Ended::PlatformGone => FAILURE,
    }
}

/// Beside the folder in which this program stands: `/opt/bottlecap/agent`, because everything in `/opt/extensions` would be started.
fn agent() -> PathBuf {
    let this = PathBuf::from(env::args_os().next().unwrap_or_default());
    let opt = this.parent().and_then(|extensions| extensions.parent()).map(PathBuf::from);
    opt.unwrap_or_else(|| PathBuf::from("/opt")).join("bottlecap/agent")
}
