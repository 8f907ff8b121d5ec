//! Keeps what a run reads from being overwritten by what it writes.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::arguments::Arguments;
use super::error::Error;
use super::page;
use crate::files::{self, Overwrites};

const OPTION: &str = "--html";
/// Bytes of a page that have its title in them.
const HEAD: u64 = 1 << 12;

/// Returns an error if the page would replace a file that the command line names, or one of a directory that it names, such as the function's code. A page of an
/// earlier run may be replaced wherever it is.
pub(super) fn check(arguments: &Arguments) -> Result<(), Error> {
    let Some(path) = &arguments.html else { return Ok(()) };
    let Arguments { template, extension, program, opt, .. } = arguments;
    let events = arguments.events.iter().map(Path::new);
    let files = arguments.environment_files.iter().chain(template).chain(extension).chain(program);
    let layers = arguments.layers.iter().chain(opt);
    let named = files.chain(layers.clone()).map(AsRef::as_ref);
    files::keep_inputs(OPTION, [path], events.chain(named))?;
    let directories = layers.chain(std::iter::once(&arguments.function));
    let is_within = path.canonicalize().is_ok_and(|path| {
        path.is_file()
            && directories.filter_map(|directory| directory.canonicalize().ok()).any(|it| path.starts_with(it))
    });
    if is_within && !is_page(path) {
        return Err(Overwrites { path: path.clone(), option: OPTION }.into());
    }
    Ok(())
}

/// Whether a file is a page of a run, or has nothing in it.
fn is_page(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let head = String::from_utf8_lossy(&head);
    read.is_ok() && (head.is_empty() || page::is_head(&head))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_arguments::parse;

    /// Whether the page may be written with this command line; names are those of files in the directory.
    fn may_be_written(directory: &Path, words: &[&str]) -> bool {
        let words = words.iter().map(|word| {
            let is_name = !word.starts_with('-') && !word.starts_with('{');
            if is_name { directory.join(word).display().to_string() } else { (*word).to_owned() }
        });
        match check(&parse(words)) {
            Ok(()) => true,
            Err(error) => {
                assert!(error.is_usage() && error.to_string().contains("--html would overwrite it"), "{error}");
                false
            }
        }
    }

    #[test]
    fn the_page_replaces_nothing_that_the_run_reads() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for folder in ["function/lib", "layer"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let names = [
            "event",
            "variables",
            "template.yaml",
            "agent",
            "layer.zip",
            "function/app.py",
            "function/lib/index.html",
            "layer/a",
            "own.html",
        ];
        for name in names {
            fs::write(at(name), "{}").unwrap();
        }
        for (option, name) in [
            ("--event", "event"),
            ("--env-file", "variables"),
            ("--template", "template.yaml"),
            ("--extension", "agent"),
            ("--program", "agent"),
            ("--layer", "layer.zip"),
        ] {
            assert!(!may_be_written(directory.path(), &["function", option, name, "--html", name]), "{option}");
        }
        for name in ["function/app.py", "function/lib/index.html", "layer/a"] {
            assert!(!may_be_written(directory.path(), &["function", "--layer", "layer", "--html", name]), "{name}");
        }
        assert!(!may_be_written(directory.path(), &["function", "--opt", "layer", "--html", "layer/a"]));
        for name in ["own.html", "function/new.html", "new/page.html"] {
            assert!(may_be_written(directory.path(), &["function", "--event", "{}", "--html", name]), "{name}");
        }
        assert!(may_be_written(directory.path(), &["function"]));
    }

    #[test]
    fn the_page_of_an_earlier_run_is_replaced_beside_the_function_too() {
        let directory = tempfile::tempdir().unwrap();
        let page = directory.path().join("run.html");
        fs::write(&page, "<!DOCTYPE html>\n<html><head><title>shop: 1 invocation in the sandbox</title></head></html>")
            .unwrap();
        assert!(may_be_written(directory.path(), &[".", "--html", "run.html"]));
        fs::write(&page, "<!DOCTYPE html>\n<html><head><title>Shop</title></head></html>").unwrap();
        assert!(!may_be_written(directory.path(), &[".", "--html", "run.html"]));
    }
}
