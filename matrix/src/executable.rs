//! Writes programs that are executed afterwards, without "Text file busy", and runs programs that may never end.
//!
//! Linux refuses to execute a file that any process has open for writing (`ETXTBSY`). In a process with several threads, one thread may fork while another has
//! the program open. Until the child's exec, the child holds a copy of that descriptor. Therefore a separate child process writes the file, and no descriptor
//! of it can be inherited. Every program that this crate or a test writes is written here.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Replaces the file `$0` by standard input, with the mode of a program.
///
/// The file gets its name only when it is complete: a full disk leaves nothing behind.
const WRITE: &str = r#"
new=$0.$$.unfinished
{ cat > "$new" && chmod 755 -- "$new" && mv -fT -- "$new" "$0"; } || { rm -f -- "$new"; exit 1; }
"#;

/// Writes `bytes` to `path`, with mode 755. An existing file is replaced, not changed: a process that executes it keeps the old program.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut child = shell(path)?.stdin(Stdio::piped()).spawn()?;
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(bytes.as_ref()));
    // A child that could not open the file reports the reason and reads no input.
    outcome(path, &child.wait_with_output()?)?;
    written
}

/// Copies the program `from` to `to`, with mode 755.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let source = std::fs::File::open(from)?;
    outcome(to, &shell(to)?.stdin(source).spawn()?.wait_with_output()?)
}

/// The child that writes a program, without its input. The path is absolute, because the shell would take one that begins with `-` for an option.
fn shell(path: &Path) -> io::Result<Command> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", WRITE]).arg(std::path::absolute(path)?);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    Ok(command)
}

fn outcome(path: &Path, output: &Output) -> io::Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("cannot write {}: {}", path.display(), reason.trim())))
}

/// Runs a command without input, and returns how it ended, with its standard output; None if it has not ended within `limit`: then it is killed.
pub fn output_within(command: &mut Command, limit: Duration) -> io::Result<Option<Output>> {
    const POLL: Duration = Duration::from_millis(5);
    let end = Instant::now() + limit;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (sender, receiver) = mpsc::channel();
    let output = child.stdout.take();
    // It is read meanwhile, because the program would stop at a full pipe.
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.map_or(Ok(0), |mut output| output.read_to_end(&mut bytes));
        // Nobody waits any more if the time is up.
        let _ = sender.send(read.map(|_| bytes));
    });
    while Instant::now() < end {
        let Some(status) = child.try_wait()? else {
            thread::sleep(POLL);
            continue;
        };
        // What it has started may still have the pipe.
        let Ok(stdout) = receiver.recv_timeout(end.saturating_duration_since(Instant::now())) else { return Ok(None) };
        return Ok(Some(Output { status, stdout: stdout?, stderr: Vec::new() }));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::{fs, thread};

    use super::*;

    #[test]
    fn a_program_that_never_ends_is_killed_at_its_limit() {
        let mut endless = Command::new("sleep");
        assert!(output_within(endless.arg("1000"), Duration::from_millis(50)).unwrap().is_none());
        let mut long = Command::new("/bin/sh");
        long.args(["-c", "head -c 200000 /dev/zero; exit 3"]);
        let output = output_within(&mut long, Duration::from_mins(1)).unwrap().unwrap();
        assert_eq!((output.stdout.len(), output.status.code()), (200_000, Some(3)), "more than a pipe holds");
    }

    const SCRIPT: &str = "#!/bin/sh\necho \"$1\"\nexit\n";
    /// Written with `fs::write`, one of the first ten programs was busy.
    const PROGRAMS: usize = 60;

    #[test]
    fn a_written_program_starts_while_other_threads_start_children() {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("original");
        // The longer writing takes, the more children are forked meanwhile.
        let script = SCRIPT.to_owned() + &"#".repeat(1 << 20);
        write(&original, &script).unwrap();
        let finished = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !finished.load(Ordering::Relaxed) {
                        assert!(Command::new("/bin/true").status().unwrap().success());
                    }
                });
            }
            let started = (0..PROGRAMS).try_for_each(|number| {
                let program = folder.path().join(format!("program-{}", number % 2));
                if number % 3 == 0 {
                    copy(&original, &program)?;
                } else {
                    write(&program, &script)?;
                }
                let output = Command::new(&program).arg("started").output()?;
                fs::remove_file(&program)?;
                if output.stdout == b"started\n" { Ok(()) } else { Err(io::Error::other(format!("{output:?}"))) }
            });
            finished.store(true, Ordering::Relaxed);
            started.unwrap();
        });
    }

    #[test]
    fn a_program_is_replaced_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "a longer text that was there before").unwrap();
        write(&program, b"binary \0 text").unwrap();
        assert_eq!(fs::read(&program).unwrap(), b"binary \0 text");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        copy(&program, &folder.path().join("copy")).unwrap();
        assert_eq!(fs::read(folder.path().join("copy")).unwrap(), b"binary \0 text");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_with_the_reason() {
        let error = write(Path::new("/nonexistent/program"), vec![0; 1 << 20]).unwrap_err().to_string();
        assert!(error.starts_with("cannot write /nonexistent/program: ") && error.contains("irectory"), "{error}");
        assert!(copy(Path::new("/nonexistent/program"), Path::new("/nonexistent/copy")).is_err());
    }
}
