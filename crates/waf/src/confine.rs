//! What the process gives up before it reads anything that others have written.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::{
    entry::{close_others, install},
    filter::FILTER,
};

/// Maximum of the address space in bytes. The library and its rules take a tenth of it.
const MAX_ADDRESS_SPACE: u64 = 512 << 20;

/// Gives up what it does not need: descriptors beside its socket, new ones, new privileges, new processes, writing to files, leaving an image of its memory, and all system
/// calls but a few.
/// What an old kernel refuses is left out: none of it is needed to work.
pub fn confine() {
    close_others();
    let _ = rustix::thread::set_no_new_privs(true);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    for (resource, limit) in [
        (Resource::As, MAX_ADDRESS_SPACE),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, 0),
        (Resource::Nproc, 0),
    ] {
        let _ = rustix::process::setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
    }
    install(&FILTER);
}
