use std::process::ExitCode;

fn main() -> ExitCode {
    matrix::commands::run()
}
