//! The wrapper script that starts the runtime: `AWS_LAMBDA_EXEC_WRAPPER`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The part of the start script of AWS's runtimes that handles the variable: it executes the wrapper, or reports one that cannot be executed and exits.
const START: &str = r#"
[ -f "$0" ] || { echo "$0: does not exist"; exit 127; }
[ -x "$0" ] || { echo "$0: is not an executable"; exit 126; }
exec "$0" "$@"
"#;

/// A program with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

/// The command that starts a runtime through its wrapper; `None` without a wrapper. OS-only runtimes, which have no `AWS_EXECUTION_ENV`, ignore it ("Modifying
/// the runtime environment", wrapper scripts). `opt` is the directory that serves as `/opt`.
pub(crate) fn command(
    variables: &BTreeMap<String, String>,
    opt: &Path,
    program: &Path,
    arguments: &[String],
) -> Option<Command> {
    let wrapper = variables.get("AWS_LAMBDA_EXEC_WRAPPER").filter(|wrapper| !wrapper.is_empty())?;
    variables.get("AWS_EXECUTION_ENV").filter(|runtime| runtime.starts_with("AWS_Lambda_"))?;
    // If the sandbox cannot mount its layers at `/opt`, the wrapper is still in `opt`.
    let of_layer = wrapper.strip_prefix("/opt/").map(|place| opt.join(place)).filter(|file| file.exists());
    let wrapper = of_layer.map_or_else(|| wrapper.clone(), |file| file.display().to_string());
    let start = ["-c".to_owned(), START.to_owned(), wrapper, program.display().to_string()];
    Some(Command { program: "/bin/sh".into(), arguments: start.into_iter().chain(arguments.iter().cloned()).collect() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::executable;

    fn variables(wrapper: &str, runtime: Option<&str>) -> BTreeMap<String, String> {
        let runtime = runtime.map(|runtime| ("AWS_EXECUTION_ENV".to_owned(), runtime.to_owned()));
        [("AWS_LAMBDA_EXEC_WRAPPER".to_owned(), wrapper.to_owned())].into_iter().chain(runtime).collect()
    }

    fn started(wrapper: &str, opt: &Path) -> (Option<i32>, String) {
        let of = variables(wrapper, Some("AWS_Lambda_python3.13"));
        let Command { program, arguments } =
            command(&of, opt, Path::new("/bin/echo"), &["a b".to_owned(), "c".to_owned()]).unwrap();
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn the_wrapper_of_a_layer_gets_the_command() {
        let opt = tempfile::tempdir().unwrap();
        let file = opt.path().join("wrap");
        let script = "#!/bin/sh\necho wrapped $#\nexec \"$@\"\n";
        fs::write(&file, script).unwrap();
        assert_eq!(
            started("/opt/wrap", opt.path()),
            (Some(126), format!("{}: is not an executable\n", file.display()))
        );
        executable::write(&file, script).unwrap();
        assert_eq!(started("/opt/wrap", opt.path()), (Some(0), "wrapped 3\na b c\n".to_owned()));
        assert_eq!(started("/nowhere", opt.path()), (Some(127), "/nowhere: does not exist\n".to_owned()));
    }

    #[test]
    fn a_runtime_that_is_only_an_operating_system_has_no_wrapper() {
        let of = |variables| command(&variables, Path::new("/opt"), Path::new("/bin/echo"), &[]);
        assert_eq!(of(variables("/opt/wrap", None)), None);
        assert_eq!(of(variables("", Some("AWS_Lambda_python3.13"))), None);
    }
}
