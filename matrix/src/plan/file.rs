//! `plan.json` and where it lies.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::{Error, Plan, SCHEMA};
use crate::files;

/// The file's name in the folder of its experiment.
pub const NAME: &str = "plan.json";

/// Read before the rest, so that a plan of another version is refused by its number.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// Reads a plan, given as a file or as the folder that has it.
pub fn read(path: &Path) -> Result<Plan, Error> {
    let path = if path.is_dir() { path.join(NAME) } else { path.to_owned() };
    let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let parse = |source| Error::Parse { path: path.clone(), source };
    let Version { schema } = serde_json::from_str(&text).map_err(parse)?;
    if schema != SCHEMA {
        return Err(Error::Schema { path, found: schema });
    }
    serde_json::from_str(&text).map_err(parse)
}

/// Whether a plan may be written into a folder: one with samples of another plan is left alone.
pub fn check(plan: &Plan, folder: &Path) -> Result<(), Error> {
    let is_other = || read(&folder.join(NAME)).ok().is_none_or(|there| there != *plan);
    if folder.join("samples.jsonl").exists() && is_other() { Err(Error::Taken(folder.to_owned())) } else { Ok(()) }
}

/// Writes a plan into its folder, if it [may be](check).
pub fn write(plan: &Plan, folder: &Path) -> Result<(), Error> {
    let path = folder.join(NAME);
    check(plan, folder)?;
    let text = serde_json::to_string_pretty(plan).map_err(io::Error::other);
    text.and_then(|text| files::write(&path, text + "\n")).map_err(|source| Error::Write { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    fn plan(seed: u64) -> Plan {
        Plan {
            schema: SCHEMA,
            seed,
            design: "sets".to_owned(),
            factors: Vec::new(),
            cells: Vec::new(),
            aliases: Vec::new(),
            conditions: Vec::new(),
            blocks: 3,
            own_payload: Vec::new(),
            shard: None,
        }
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new");
        write(&plan(7), &folder).unwrap();
        assert_eq!(read(&folder).unwrap(), plan(7));
        assert_eq!(read(&folder.join(NAME)).unwrap(), plan(7));
    }

    #[test]
    fn samples_keep_their_plan() {
        let folder = tempfile::tempdir().unwrap();
        write(&plan(1), folder.path()).unwrap();
        write(&plan(2), folder.path()).unwrap();
        fs::write(folder.path().join("samples.jsonl"), "").unwrap();
        write(&plan(2), folder.path()).unwrap();
        assert!(matches!(write(&plan(3), folder.path()), Err(Error::Taken(_))));
        assert_eq!(read(folder.path()).unwrap().seed, 2);
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), r#"{"schema": 99, "what": "else"}"#).unwrap();
        assert!(matches!(read(folder.path()), Err(Error::Schema { found: 99, .. })));
        fs::write(folder.path().join(NAME), r#"{"schema": 3, "what": "else"}"#).unwrap();
        assert!(matches!(read(folder.path()), Err(Error::Parse { .. })));
    }
}
