//! A user namespace, in which an unprivileged user may give sandboxes their own networks and mounts. Control groups and processes remain the machine's.
//!
//! Source: `user_namespaces(7)`.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use rustix::process::{getegid, geteuid};

/// The number of the capability `CAP_SYS_ADMIN`.
const ADMIN: u32 = 21;

/// Moves the calling process into its own user namespace, as the same user, if it lacks privileges and the machine allows it. The process must have one thread.
/// After an error it has no valid user, so it has to end.
pub(crate) fn gain_namespaces() -> io::Result<()> {
    if is_privileged() || !is_possible() { Ok(()) } else { enter(geteuid().as_raw(), getegid().as_raw()) }
}

fn is_privileged() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    set.is_some_and(|set| (set >> ADMIN) & 1 == 1)
}

/// Tests it in a child. Some systems let every user make a user namespace but allow nothing in it.
#[expect(unsafe_code, reason = "the only way to act in the child between fork and exec")]
fn is_possible() -> bool {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let hook = move || {
        enter(user, group)?;
        Ok(unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?)
    };
    let mut command = Command::new("true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: the process has one thread, so no other thread holds a lock that the child would wait for.
    unsafe { command.pre_exec(hook) };
    command.status().is_ok_and(|status| status.success())
}

fn enter(user: u32, group: u32) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    // The kernel requires it before an unprivileged user may map groups.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}
