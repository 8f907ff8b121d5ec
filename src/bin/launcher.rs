//! What stands in `/opt/extensions` when the layer has a launcher: a small program that does what the platform waits for, and then becomes the agent.
//!
//! It registers, binds, subscribes and asks for the first event. After that the platform waits for nobody any more, however long the agent takes to be
//! loaded. The process stays the same, so that the platform sees one extension; the sockets stay open, so that nothing that arrives in between is lost.

use std::{env, os::unix::process::CommandExt as _, path::PathBuf, process::Command, process::ExitCode};

use bottlecap::{
    build_info::BUILD_INFO,
    os::log,
    run::Ended,
    start::{ask::ask, idle::idle, inherit},
};

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("--version=json") {
        println!("{}", BUILD_INFO.json());
        return ExitCode::SUCCESS;
    }
    // The agent drops lines that are not wanted; asking for them here would need all of the settings.
    let asked = match ask(|_| true) {
        Ok(asked) => asked,
        Err(error) => {
            log::write(::log::Level::Error, &format!("EXTENSION | {error}"));
            return ExitCode::FAILURE;
        }
    };
    let why = match inherit::leave(&asked) {
        Some(bequest) => Command::new(agent()).env(bequest.name, bequest.value).exec().to_string(),
        None => "the connection to the platform has broken".to_owned(),
    };
    log::write(
        ::log::Level::Error,
        &format!("EXTENSION | The agent cannot be started, nothing will be collected: {why}"),
    );
    match idle(asked) {
        Ended::Shutdown => ExitCode::SUCCESS,
        Ended::PlatformGone => ExitCode::FAILURE,
    }
}

/// Beside the folder in which this program stands: `/opt/bottlecap/agent`, because everything in `/opt/extensions` would be started.
fn agent() -> PathBuf {
    let this = PathBuf::from(env::args_os().next().unwrap_or_default());
    let opt = this.parent().and_then(|extensions| extensions.parent()).map(PathBuf::from);
    opt.unwrap_or_else(|| PathBuf::from("/opt")).join("bottlecap/agent")
}
