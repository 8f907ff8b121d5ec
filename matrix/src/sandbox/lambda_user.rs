//! The user as whom functions and extensions run on Lambda: one without privileges, to whom nothing belongs.
//!
//! Whatever root started the sandbox for, a function that binds port 80, changes an owner or mounts something fails here as it does there. What is kept is the
//! permission to read and to enter directories: the programs may lie in directories that only their owner can enter, and on Lambda everybody can read the code.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, set_capabilities,
    set_capabilities_secure_bits, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// The user and the group of Lambda's environments, from public listings of them; AWS documents neither.
const USER: u32 = 993;
const GROUP: u32 = 990;
const NAME: &str = "sbx_user1051";
/// The rest of the entry in `/etc/passwd`.
const ENTRY: &str = ":x:993:990::/home/sbx_user1051:/sbin/nologin";

/// Proof that processes can be started as this user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LambdaUser {
    user: Uid,
    group: Gid,
}

/// Why processes run as the user who started the sandbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LambdaUserError {
    #[error("not everybody may execute {}; chmod a+x changes that", .0.display())]
    Program(PathBuf),
    #[error("this process cannot start others as another user")]
    System(#[source] io::Error),
}

impl LambdaUser {
    /// Tests in a child whether this process may start others as this user, who also has to be able to execute `programs`.
    pub(crate) fn set_up<'a>(mut programs: impl Iterator<Item = &'a Path>) -> Result<Self, LambdaUserError> {
        let is_closed =
            |program: &&Path| fs::metadata(program).is_ok_and(|found| found.permissions().mode() & 0o001 == 0);
        if let Some(program) = programs.find(is_closed) {
            return Err(LambdaUserError::Program(program.to_owned()));
        }
        let user = Self { user: Uid::from_raw(USER), group: Gid::from_raw(GROUP) };
        let owned = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from).and_then(|(_, end)| user.own(end));
        owned.map_err(LambdaUserError::System)?;
        let mut command = Command::new("true");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        user.start_as(&mut command);
        match command.status() {
            Ok(status) if status.success() => Ok(user),
            Ok(status) => Err(LambdaUserError::System(io::Error::other(status.to_string()))),
            Err(error) => Err(LambdaUserError::System(error)),
        }
    }

    /// Makes a file this user's.
    pub(crate) fn own(self, file: impl AsFd) -> io::Result<()> {
        Ok(rustix::fs::fchown(file, Some(self.user), Some(self.group))?)
    }

    #[expect(unsafe_code, reason = "the only way to act in the child between fork and exec")]
    fn start_as(self, command: &mut Command) {
        // SAFETY: between fork and exec only async-signal-safe calls are allowed. `assume` makes system calls, allocates nothing and takes no lock.
        unsafe { command.pre_exec(move || self.assume()) };
    }

    /// Makes the calling process one of this user's, for good. It has one thread, and it is a child before its exec. A signal for the death of its parent has to
    /// be set after it: the kernel forgets it here.
    pub(crate) fn assume(self) -> io::Result<()> {
        let Self { user, group } = self;
        let kept = CapabilitySet::DAC_READ_SEARCH;
        // Without it, the kernel takes the capability away where a process only asks whether it may read, with access(2): Node finds no module then.
        set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)?;
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
        set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: kept })?;
        configure_capability_in_ambient_set(kept, true)?;
        set_no_new_privs(true)?;
        Ok(())
    }
}

/// The machine's `/etc/passwd` with this user's entry. Libraries look up the present user there, and some fail if there is none.
pub(crate) fn passwd(machine: &str) -> String {
    let is_other = |line: &&str| {
        let mut fields = line.split(':');
        fields.next() != Some(NAME) && fields.nth(1).is_none_or(|id| id != USER.to_string())
    };
    let others = machine.lines().filter(is_other).flat_map(|line| [line, "\n"]);
    others.chain([NAME, ENTRY, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::isolation;

    #[test]
    fn a_process_of_this_user_reads_what_only_its_owner_can_and_writes_nothing() {
        let user = match LambdaUser::set_up(std::iter::empty()) {
            Ok(user) => user,
            Err(refused) => return isolation::skip(&refused.to_string()),
        };
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "read").unwrap();
        let asked = "python3 -c 'import os; print(os.access(\"file\", os.R_OK), os.access(\"file\", os.W_OK))'";
        let script = "id -u; id -g; id -G; cat file; echo; (echo x > new) 2> /dev/null || echo closed; chown 0 file 2> /dev/null || echo kept";
        let script = format!("{script}; {asked}");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(directory.path());
        user.start_as(&mut command);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "993\n990\n990\nread\nclosed\nkept\nTrue False\n");
    }

    #[test]
    fn a_program_without_execute_permission_for_others_is_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("bootstrap");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        let refused = LambdaUser::set_up([program.as_path()].into_iter()).unwrap_err();
        assert!(refused.to_string().contains("bootstrap; chmod a+x"), "{refused}");
    }

    #[test]
    fn the_user_has_one_entry() {
        let machine = "root:x:0:0:root:/root:/bin/sh\nsystemd:x:993:993::/:/bin/false\nsbx_user1051:x:5:5::/:/bin/sh\n";
        let expected = "root:x:0:0:root:/root:/bin/sh\nsbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n";
        assert_eq!(passwd(machine), expected);
    }
}
