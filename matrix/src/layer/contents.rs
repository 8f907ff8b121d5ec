//! `bottlecap/manifest.json`: what a layer is, and what it was made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::archive::{File, count};
use crate::elf::Glibc;
use crate::hash;
use crate::manifest::Levels;

/// The version of the document. Another one is refused, not guessed at.
pub const SCHEMA: u32 = 1;

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// [`SCHEMA`].
    pub schema: u32,
    /// As in `cargo matrix build`, such as `ship+jemalloc`.
    pub cell: String,
    /// The flavour of `matrix/flavours.toml`; empty in documents from before there were any.
    #[serde(default)]
    pub flavour: String,
    /// Lambda's name of the processor.
    pub architecture: String,
    /// rustc's name of the target.
    pub target: String,
    /// The oldest C library with which all of its programs start.
    pub glibc_floor: Glibc,
    pub sources: Sources,
    pub toolchain: Toolchain,
    /// Every factor of the manifest of optimizations with its level.
    pub levels: Levels,
    pub build: Build,
    /// Where each program stands, and what it says of itself with `--version=json`.
    pub programs: BTreeMap<String, Value>,
    /// Every other file of the layer, by its place.
    pub files: BTreeMap<String, FileEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// The commit.
    pub revision: String,
    /// A hash of what differed from that commit, in what the layer is made from; none if nothing did. `all-` and a hash of everything it is made from where
    /// there was no history that would tell.
    pub changes: Option<String>,
    /// SHA-256 of `Cargo.lock`, in hexadecimal.
    pub lock_sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// As in `rustc --version`.
    pub rustc: String,
    /// The first line of the C compiler's `--version`.
    pub cc: String,
    /// The C library that was linked in, if it was and tells its version.
    pub glibc: Option<String>,
    /// The other one.
    pub musl: Option<String>,
}

/// What cargo was told, apart from the switches that the programs tell themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub features: Vec<String>,
    pub rustflags: Vec<String>,
    /// Variables that build scripts read.
    pub variables: BTreeMap<String, String>,
    /// The whole release profile.
    pub profile: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub bytes: u64,
    pub sha256: String,
    pub executable: bool,
}

impl Contents {
    /// Reads the document, or says why it cannot be used.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let document: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        refuse_control_characters(&document)?;
        let schema = serde_json::from_slice::<SchemaVersion>(text).map_err(|error| error.to_string())?.schema;
        if schema == SCHEMA {
            serde_json::from_slice(text).map_err(|error| error.to_string())
        } else {
            Err(format!("it is of schema {schema}, not {SCHEMA}"))
        }
    }
}

/// The places of all files that a document lists, whatever its schema; the reason if it lists none.
pub fn listed(text: &[u8]) -> Result<Vec<String>, String> {
    let document: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let files = document.get("files").and_then(Value::as_object);
    files.map(|files| files.keys().cloned().collect()).ok_or_else(|| "it lists no files".to_owned())
}

/// Refuses texts that would change what a terminal shows, as those of a stranger may.
pub fn refuse_control_characters(document: &Value) -> Result<(), String> {
    let refused = |text: &str| {
        let hides = text.contains(char::is_control);
        if hides { Err(format!("it has control characters in {text:?}")) } else { Ok(()) }
    };
    match document {
        Value::String(text) => refused(text),
        Value::Array(values) => values.iter().try_for_each(refuse_control_characters),
        Value::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| refused(name).and_then(|()| refuse_control_characters(value)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// What documents of all versions have.
#[derive(Deserialize)]
struct SchemaVersion {
    schema: u32,
}

impl FileEntry {
    pub fn of(file: &File) -> Self {
        Self { bytes: count(&file.bytes), sha256: hash::hexadecimal(&file.bytes), executable: file.executable }
    }
}

impl Sources {
    /// From the name of a build's sources: a commit, with `+` and a hash behind it where they differ from it.
    pub fn of(sources: &str, lock: &[u8]) -> Self {
        let (revision, changes) =
            sources.split_once('+').map_or((sources, None), |(revision, hash)| (revision, Some(hash)));
        Self {
            revision: revision.to_owned(),
            changes: changes.map(str::to_owned),
            lock_sha256: hash::hexadecimal(lock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_contents_are_reported() {
        let reason = |text: &str| Contents::read(text.as_bytes()).unwrap_err();
        assert_eq!(reason(r#"{"schema": 2, "new": true}"#), "it is of schema 2, not 1");
        assert!(reason(r#"{"schema": 1}"#).contains("missing field"));
        assert!(reason("no JSON").contains("expected"));
        for text in [r#"{"schema": 1, "cell": "\u001b[8m"}"#, r#"{"schema": 1, "a": [{"b\nc": 1}]}"#] {
            assert!(reason(text).starts_with("it has control characters in"), "{text}");
        }
    }

    #[test]
    fn changed_sources_are_reported() {
        let clean = Sources::of("abc", b"lock");
        assert_eq!((clean.revision.as_str(), clean.changes.as_deref()), ("abc", None));
        let changed = Sources::of("abc+def", b"lock");
        assert_eq!((changed.revision.as_str(), changed.changes.as_deref()), ("abc", Some("def")));
        assert_eq!(changed.lock_sha256, hash::hexadecimal(b"lock"));
    }
}
