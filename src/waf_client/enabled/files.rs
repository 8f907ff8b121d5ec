//! What a layer has for the WAF: the worker, its library, and rules.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read as _},
    path::{self, Path, PathBuf},
};

use flate2::read::GzDecoder;

use super::MAX_RULES_BYTES;

/// The folder of a layer in which the worker finds its library without being told.
const INSTALLED: &str = "/opt/bottlecap";
/// The folder of extensions; what belongs to one is beside it.
const EXTENSIONS: &str = "extensions";
const PRIVATE: &str = "bottlecap";
const WORKER: &str = "waf";
const RULES: &str = "rules.json.gz";

/// What is started, and with what.
#[derive(Debug, Clone)]
pub struct Files {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// Where the library is, if the worker would not find it.
    pub libraries: Option<PathBuf>,
    /// A ruleset in JSON, compressed with gzip if its name ends in `.gz`.
    pub rules: PathBuf,
}

impl Files {
    /// Those beside this program, with other rules if the customer has some.
    pub fn installed(rules: Option<PathBuf>) -> Self {
        // By the name under which it was started: in the sandbox that is a link in a layer, and the agent is elsewhere.
        let program = env::args_os().next().and_then(|program| path::absolute(program).ok());
        let beside = program.map(|program| folder(&program));
        let folder = beside.filter(|folder| folder.join(WORKER).exists()).unwrap_or_else(|| PathBuf::from(INSTALLED));
        Self {
            program: folder.join(WORKER),
            arguments: Vec::new(),
            libraries: (folder != Path::new(INSTALLED)).then(|| folder.clone()),
            rules: rules.unwrap_or_else(|| folder.join(RULES)),
        }
    }

    /// Reads the rules.
    pub fn read_rules(&self) -> io::Result<Vec<u8>> {
        // To open a pipe would wait for whoever writes to it.
        if !fs::metadata(&self.rules)?.is_file() {
            return Err(io::Error::other("they are not in a regular file"));
        }
        let file = File::open(&self.rules)?;
        if self.rules.extension() == Some(OsStr::new("gz")) { read(GzDecoder::new(file)) } else { read(file) }
    }
}

/// Where everything but extensions is, in the layer that this program is from.
fn folder(program: &Path) -> PathBuf {
    let folder = program.parent().unwrap_or(Path::new("/"));
    match folder.parent() {
        Some(layer) if folder.file_name() == Some(OsStr::new(EXTENSIONS)) => layer.join(PRIVATE),
        _ => folder.to_owned(),
    }
}

fn read(file: impl io::Read) -> io::Result<Vec<u8>> {
    let mut rules = Vec::new();
    let limit = u64::try_from(MAX_RULES_BYTES).unwrap_or(u64::MAX);
    if file.take(limit).read_to_end(&mut rules)? >= MAX_RULES_BYTES {
        return Err(io::Error::other(format!("there are at least {MAX_RULES_BYTES} bytes")));
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn the_worker_is_beside_the_agent_wherever_the_layer_is() {
        for (program, expected) in [
            ("/opt/extensions/datadog-agent", "/opt/bottlecap"),
            ("/opt/bottlecap/agent", "/opt/bottlecap"),
            ("/tmp/layer/extensions/datadog-agent", "/tmp/layer/bottlecap"),
            ("/target/debug/bottlecap", "/target/debug"),
        ] {
            assert_eq!(folder(Path::new(program)), Path::new(expected));
        }
    }

    #[test]
    fn rules_are_read_compressed_or_not_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let files = |name: &str| Files { rules: folder.path().join(name), ..Files::installed(None) };
        fs::write(folder.path().join("plain.json"), "{}").unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let mut file = GzEncoder::new(File::create(folder.path().join(name)).unwrap(), Compression::fast());
            file.write_all(bytes).unwrap();
            file.finish().unwrap();
        };
        write("small.json.gz", b"{}");
        write("large.json.gz", &vec![b' '; MAX_RULES_BYTES]);
        assert_eq!(files("plain.json").read_rules().unwrap(), b"{}");
        assert_eq!(files("small.json.gz").read_rules().unwrap(), b"{}");
        assert!(files("large.json.gz").read_rules().is_err());
        assert!(files("none.json").read_rules().is_err());
        assert!(files("/dev/null").read_rules().is_err());
    }
}
