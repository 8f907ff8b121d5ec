//! AWS's SDK for JavaScript, which Lambda's runtimes for Node have.
//!
//! Source: "Building Lambda functions with Node.js", runtime-included SDK versions: all packages of version 3.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::{Map, Value};

use super::node::MODULES;

/// The version of the packages.
const VERSION: &str = "3";
/// The files that Node executes.
const SOURCES: [&str; 3] = ["js", "mjs", "cjs"];
/// Maximum number of files and directories that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Adds the packages of the SDK that a function imports to the dependencies in its manifest, unless they are there. Returns whether any was added.
pub(super) fn add(directory: &Path, manifest: &mut Map<String, Value>) -> bool {
    let imported = imported(directory);
    let dependencies = manifest.entry("dependencies").or_insert_with(|| Value::Object(Map::new()));
    let Some(dependencies) = dependencies.as_object_mut() else { return false };
    let missing: Vec<String> = imported.into_iter().filter(|name| !dependencies.contains_key(name)).collect();
    let has_any = !missing.is_empty();
    dependencies.extend(missing.into_iter().map(|name| (name, Value::from(VERSION))));
    has_any
}

/// The packages of the SDK that the function's own files name.
fn imported(directory: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Ok(pattern) = Regex::new(r#"["'](@aws-sdk/[a-z0-9-]+)["'/]"#) else { return names };
    let mut waiting = vec![directory.to_owned()];
    let mut seen = 0;
    while let Some(directory) = waiting.pop().filter(|_| seen < MAX_ENTRIES) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            let path = entry.path();
            let is_source = path.extension().is_some_and(|extension| SOURCES.iter().any(|known| *known == extension));
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && entry.file_name() != MODULES => waiting.push(path),
                Ok(kind) if kind.is_file() && is_source => {
                    let text = fs::read_to_string(path).unwrap_or_default();
                    names.extend(
                        pattern.captures_iter(&text).filter_map(|found| Some(found.get(1)?.as_str().to_owned())),
                    );
                }
                _ => {}
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_are_imported_and_not_required_are_added() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("index.mjs", "import { S3Client } from '@aws-sdk/client-s3';\n");
        write("lib/store.js", "const { DynamoDB } = require(\"@aws-sdk/client-dynamodb\");\n");
        write("node_modules/x/index.js", "require('@aws-sdk/client-sqs')");
        write("README.md", "'@aws-sdk/client-sns'");
        let mut manifest = Map::new();
        assert!(add(directory.path(), &mut manifest));
        assert_eq!(
            Value::from(manifest.clone())["dependencies"].to_string(),
            r#"{"@aws-sdk/client-dynamodb":"3","@aws-sdk/client-s3":"3"}"#
        );
        assert!(!add(directory.path(), &mut manifest), "they are required now");
    }
}
