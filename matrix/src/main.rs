use std::process::ExitCode;

fn main() -> ExitCode {
    matrix::cli::run()
}
