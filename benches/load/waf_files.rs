//! The WAF worker and its yardstick: where they are, and the sockets to them.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use flate2::read::GzDecoder;
use matrix::{
    build::waf::{self, Artefact},
    target::Architecture,
    workspace::{cargo, root, target_directory},
};
use waf_protocol::{Frames, Reply, Request};

/// The name of the program that evaluates in its own process.
const IN_PROCESS: &str = "in_process";

/// The folder with the worker, its library and the rules.
pub fn folder() -> &'static Path {
    waf::folder().unwrap()
}

/// The rules in JSON, read and decompressed as the agent does it.
pub fn rules(folder: &Path) -> Vec<u8> {
    let mut rules = Vec::new();
    GzDecoder::new(File::open(folder.join(waf::RULES)).unwrap()).read_to_end(&mut rules).unwrap();
    rules
}

/// Builds the program that evaluates in its own process, in the optimization in which the worker ships.
pub fn build_in_process() -> PathBuf {
    let artefact = Artefact::ensure(Architecture::of_this_machine(), &target_directory(), &|_| {}).unwrap();
    let target = std::path::absolute(target_directory()).unwrap().join("waf-worker");
    // The flags are those of the package's own configuration, which cargo reads there.
    let build = cargo()
        .current_dir(root().join("crates/waf"))
        .args(["build", "--quiet", "--locked", "--release", "--example", IN_PROCESS, "--target-dir"])
        .arg(&target)
        .env("LIBDDWAF", artefact.library.parent().unwrap())
        .status();
    assert!(build.unwrap().success(), "the program that evaluates in its own process cannot be built");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    target.join(triple).join("release/examples").join(IN_PROCESS)
}

/// A process that answers messages over its standard input.
pub struct Process {
    child: Child,
    socket: UnixStream,
    frames: Frames,
}

impl Process {
    /// Starts a program as the agent starts the worker, with the library in this folder.
    pub fn start(program: &Path, libraries: &Path) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(program);
        command.env_clear().env("LD_LIBRARY_PATH", libraries).current_dir("/");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), socket, frames: Frames::of_replies() }
    }

    pub fn request(&mut self, request: &Request) -> Reply {
        let mut message = Vec::new();
        request.write(&mut message);
        self.socket.write_all(&message).unwrap();
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(frame) = self.frames.take().unwrap() {
                return Reply::read(frame).unwrap();
            }
            let read = self.socket.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the process has ended");
            self.frames.push(&chunk[..read]);
        }
    }

    /// Sends the rules, which have to be usable.
    pub fn configure(&mut self, rules: &[u8]) {
        let reply = self.request(&Request::Configure { rules, obfuscator: b"" });
        assert!(matches!(reply, Reply::Ready { .. }), "{reply:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
