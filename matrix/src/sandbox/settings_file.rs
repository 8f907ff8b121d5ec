//! `datadog.yaml` of the function as the extension sees it: without what would lead it away from the sandbox's intake.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::destinations::{Destinations, canonical};
use super::disk::TASK_ROOT;
use super::setup::Setup;

/// The file in the function's directory.
const NAME: &str = "datadog.yaml";

/// The extension's version of the file.
#[derive(Debug)]
pub(crate) struct SettingsFile {
    /// A directory with that version alone.
    directory: PathBuf,
    /// The settings that it lacks, by their variables.
    removed: BTreeMap<String, String>,
    is_mounted: bool,
}

impl SettingsFile {
    /// Writes the file to a new directory; `None` if the extension may see the function's own.
    pub(crate) fn write(setup: &Setup, directory: &Path) -> io::Result<Option<Self>> {
        let own = setup.function.task_root().map(|root| root.join(NAME));
        let text = own.and_then(|file| fs::read_to_string(file).ok()).filter(|_| !setup.extensions.is_empty());
        let Some(reduced) = text.and_then(|text| setup.destinations.of_file(&text)) else { return Ok(None) };
        fs::create_dir(directory)?;
        fs::write(directory.join(NAME), reduced.text)?;
        let is_set = |variable: &str| setup.environment.keys().any(|name| canonical(name) == variable);
        let removed = reduced.removed.into_iter().filter(|removed| !is_set(&removed.variable));
        let removed = removed.map(|removed| (removed.variable, removed.value)).collect();
        Ok(Some(Self { directory: directory.to_owned(), removed, is_mounted: false }))
    }

    /// Mounts it over the function's own in the calling thread's mount namespace. Where that is impossible, the extension is led to the directory.
    pub(crate) fn mount(&mut self) {
        let (own, target) = (self.directory.join(NAME), Path::new(TASK_ROOT).join(NAME));
        self.is_mounted = mount(Some(&own), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>).is_ok();
    }

    /// The directory that has it in place of that of the function's code.
    pub(crate) fn task_root(&self) -> Option<&Path> {
        (!self.is_mounted).then_some(self.directory.as_path())
    }

    /// Variables for the extension in place of what it lacks.
    pub(crate) fn variables(&self, intake: Option<SocketAddr>) -> BTreeMap<String, String> {
        intake.map(|intake| Destinations::in_place_of(&self.removed, intake)).unwrap_or_default()
    }
}
