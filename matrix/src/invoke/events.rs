//! Reads the events of a run.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

/// What some editors write before the text of a file; JSON has none.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The file with the event of a function.
pub const DEFAULT: &str = "event.json";

/// Why there is no event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event cannot be read from {name}")]
    Read { name: String, source: io::Error },
    #[error("the event \"{0}\" is neither JSON nor an existing file")]
    Missing(String),
    #[error("the event {} is a directory; name a file", .0.display())]
    Directory(PathBuf),
    #[error(
        "the event in {name} begins with a byte order mark, which JSON does not have; save it as UTF-8 without one"
    )]
    ByteOrderMark { name: String },
    #[error("the event in {name} is not JSON: {reason} (line {line}, column {column})")]
    Syntax { name: String, reason: String, line: usize, column: usize },
    #[error("the event in {name} is empty")]
    Empty { name: String },
}

impl Error {
    /// Whether another command line would resolve the error.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Read { .. })
    }
}

/// The events, exactly as the function receives them: those that are named, or else that of the function's directory, or else `{}`.
pub fn read(named: &[String], directory: Option<&Path>) -> Result<Vec<Vec<u8>>, Error> {
    if !named.is_empty() {
        return Ok(named.iter().map(|name| of(name)).collect::<Result<Vec<_>, _>>()?.concat());
    }
    match directory.map(|directory| directory.join(DEFAULT)).filter(|file| file.is_file()) {
        Some(file) => of_file(&file),
        None => Ok(vec![b"{}".to_vec()]),
    }
}

fn of(name: &str) -> Result<Vec<Vec<u8>>, Error> {
    let path = Path::new(name);
    match path.metadata() {
        _ if name == "-" => of_standard_input(),
        Ok(found) if found.is_dir() => Err(Error::Directory(path.to_owned())),
        Ok(_) => of_file(path),
        Err(_) if looks_like_json(name) => parse("the command line", name.as_bytes()),
        Err(_) => Err(Error::Missing(name.chars().take(60).collect())),
    }
}

/// Whether a word was meant as JSON and not as the name of a file.
fn looks_like_json(word: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(word).is_ok() || word.trim_start().starts_with(['{', '[', '"'])
}

fn of_file(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let name = path.display().to_string();
    let text = fs::read(path).map_err(|source| Error::Read { name: name.clone(), source })?;
    parse(&name, &text)
}

fn of_standard_input() -> Result<Vec<Vec<u8>>, Error> {
    if io::stdin().is_terminal() {
        eprintln!("Type the event; Ctrl-D on a line of its own ends it.");
    }
    let mut text = Vec::new();
    let name = "standard input".to_owned();
    match io::stdin().read_to_end(&mut text) {
        Ok(_) => parse(&name, &text),
        Err(source) => Err(Error::Read { name, source }),
    }
}

/// One event, or one on each line.
fn parse(name: &str, text: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let name = name.to_owned();
    if text.starts_with(BYTE_ORDER_MARK) {
        return Err(Error::ByteOrderMark { name });
    }
    if text.trim_ascii().is_empty() {
        return Err(Error::Empty { name });
    }
    let Err(error) = serde_json::from_slice::<IgnoredAny>(text) else { return Ok(vec![text.to_owned()]) };
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let lines: Vec<Vec<u8>> = lines.map(<[u8]>::to_owned).collect();
    if lines.len() > 1 && lines.iter().all(|line| serde_json::from_slice::<IgnoredAny>(line).is_ok()) {
        return Ok(lines);
    }
    let reason = error.to_string();
    let reason = reason.rsplit_once(" at line ").map_or(reason.clone(), |(reason, _)| reason.to_owned());
    Err(Error::Syntax { name, reason, line: error.line(), column: error.column() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(named: &[&str], directory: Option<&Path>) -> Result<Vec<String>, String> {
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let events = read(&named, directory).map_err(|error| error.to_string())?;
        Ok(events.into_iter().map(|event| String::from_utf8(event).unwrap()).collect())
    }

    #[test]
    fn an_event_is_a_file_or_json_or_that_of_the_function() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(texts(&[], Some(directory.path())).unwrap(), ["{}"]);
        let file = directory.path().join("event.json");
        fs::write(&file, "{\"from\": \"the directory\"}").unwrap();
        let from_directory = ["{\"from\": \"the directory\"}".to_owned()];
        assert_eq!(texts(&[], Some(directory.path())).unwrap(), from_directory);
        assert_eq!(texts(&[file.to_str().unwrap()], None).unwrap(), from_directory);
        assert_eq!(texts(&["{\"a\":  1}", "2"], None).unwrap(), ["{\"a\":  1}", "2"]);
    }

    #[test]
    fn each_line_of_json_lines_is_an_event() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("events.jsonl");
        fs::write(&file, "{\"id\": 1}\n\n{\"id\": 2}\n").unwrap();
        assert_eq!(texts(&[file.to_str().unwrap()], None).unwrap(), ["{\"id\": 1}", "{\"id\": 2}"]);
    }

    #[test]
    fn errors_distinguish_their_causes() {
        let directory = tempfile::tempdir().unwrap();
        let written = |text: &[u8]| {
            let file = directory.path().join("event.json");
            fs::write(&file, text).unwrap();
            texts(&[file.to_str().unwrap()], None).unwrap_err()
        };
        assert!(written(b"\xef\xbb\xbf{}").contains("byte order mark"));
        assert!(written(b" \n").contains("is empty"));
        let error = written(b"{\n  \"a\": 1,\n}");
        assert!(error.contains("is not JSON: ") && error.ends_with("(line 3, column 1)"), "{error}");
        let error = texts(&[directory.path().to_str().unwrap()], None).unwrap_err();
        assert!(error.contains("is a directory"), "{error}");
        let error = texts(&["no-such-file.json"], None).unwrap_err();
        assert!(error.contains("\"no-such-file.json\" is neither JSON nor an existing file"), "{error}");
        assert!(texts(&["{\"a\""], None).unwrap_err().contains("the command line is not JSON"));
    }
}
