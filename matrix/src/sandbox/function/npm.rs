//! What npm installs for a Node function, and everything that determines it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::local_packages::{self, LocalPackages};
use super::node::Error;
use super::node_sdk;
use crate::venv;
use crate::workspace::private::TemporaryDirectory;

/// Settings of npm beside a `package.json`: registries, and tokens for them.
const SETTINGS: &str = ".npmrc";
/// The beginning of the variables that are settings of npm, in any letter case.
const VARIABLES: &str = "npm_config_";
/// Settings of these names change nothing of what is installed; npm sets some itself for what it runs.
const IRRELEVANT: [&str; 3] = ["npm_config_user_agent", "npm_config_cache", "npm_config_loglevel"];

/// What a function depends on.
#[derive(Debug)]
pub(super) struct Dependencies {
    /// Its `package.json`.
    manifest: Map<String, Value>,
    /// Its `package-lock.json`.
    pub lock: Option<String>,
    /// Its `.npmrc`.
    settings: Option<String>,
    pub local: LocalPackages,
    /// Whether packages of AWS's SDK were added, which the lock file does not have.
    pub adds_sdk: bool,
}

/// Settings that are only there while npm runs, because they may have secrets: a link to a temporary file, which the next run removes if this one is killed.
#[derive(Debug)]
pub(super) struct Secrets {
    link: PathBuf,
    _target: TemporaryDirectory,
}

impl Dependencies {
    /// Those of a function's directory, with AWS's SDK if the function imports it; `None` if it depends on nothing.
    pub(super) fn of(directory: &Path) -> Result<Option<Self>, Error> {
        let path = directory.join("package.json");
        let text = text_of(&path)?.unwrap_or_else(|| "{}".to_owned());
        let mut manifest: Map<String, Value> =
            serde_json::from_str(&text).map_err(|source| Error::Manifest { path, source })?;
        let adds_sdk = node_sdk::add(directory, &mut manifest);
        if manifest.get("dependencies").and_then(Value::as_object).is_none_or(Map::is_empty) {
            return Ok(None);
        }
        let (lock, settings) = (text_of(&directory.join("package-lock.json"))?, text_of(&directory.join(SETTINGS))?);
        let local = LocalPackages::of(directory, &manifest)?;
        local_packages::make_relative(&mut manifest, local.function());
        Ok(Some(Self { manifest, lock, settings, local, adds_sdk }))
    }

    /// Changes with everything that determines what is installed: the function's own files, and the user's settings, which name registries. npm is installed
    /// below `prefix`.
    pub(super) fn key(&self, prefix: Option<&Path>) -> String {
        let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        self.key_with(&variables, std::env::home_dir().as_deref(), prefix)
    }

    fn key_with(&self, variables: &[(OsString, OsString)], home: Option<&Path>, prefix: Option<&Path>) -> String {
        let is_setting = |name: &str| name.starts_with(VARIABLES) && !IRRELEVANT.contains(&name);
        let mut settings: Vec<(String, &OsString)> =
            variables.iter().map(|(name, value)| (name.to_string_lossy().to_ascii_lowercase(), value)).collect();
        settings.retain(|(name, _)| is_setting(name));
        settings.sort();
        let named = |name: &str| settings.iter().find(|(other, _)| other == name).map(|(_, path)| PathBuf::from(path));
        let of_user = named("npm_config_userconfig").or_else(|| home.map(|home| home.join(SETTINGS)));
        let prefix = named("npm_config_prefix").or_else(|| prefix.map(Path::to_owned));
        let of_prefix = prefix.map(|prefix| prefix.join("etc/npmrc"));
        let of_all = named("npm_config_globalconfig").or(of_prefix);
        let of_machine = Some(PathBuf::from("/etc/npmrc"));
        let files: Vec<Option<String>> =
            [of_user, of_all, of_machine].iter().map(|path| fs::read_to_string(path.as_ref()?).ok()).collect();
        let texts = files.iter().chain([&self.settings]).flatten();
        let values: Vec<Option<&OsString>> =
            texts.flat_map(|text| mentioned(text)).map(|name| value(variables, name)).collect();
        let own = (self.manifest_text(), &self.lock, &self.settings, self.local.state());
        venv::digest(&(own, settings, files, values))
    }

    /// Writes what npm reads to a new directory. Scripts of the function's own are left out: they need its other files, and a deployment package has what they
    /// made already.
    pub(super) fn write(&self, directory: &Path) -> Result<Option<Secrets>, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| venv::Error::Write { path, source }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let write =
            |name: &str, text: &str| fs::write(directory.join(name), text).map_err(failed(&directory.join(name)));
        write("package.json", &self.manifest_text())?;
        self.lock.as_deref().map_or(Ok(()), |lock| write("package-lock.json", lock))?;
        let Some(settings) = &self.settings else { return Ok(None) };
        let (home, link) = (venv::temporary()?, directory.join(SETTINGS));
        let target = home.path().join(SETTINGS);
        fs::write(&target, settings).and_then(|()| symlink(&target, &link)).map_err(failed(&link))?;
        Ok(Some(Secrets { link, _target: home }))
    }

    fn manifest_text(&self) -> String {
        let kept = self.manifest.iter().filter(|(name, _)| *name != "scripts");
        Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.link);
    }
}

/// The names of the variables whose values npm puts into a text, from `${NAME}` and `${NAME?}`.
fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    names.map(|(name, _)| name.strip_suffix('?').unwrap_or(name))
}

fn value<'v>(variables: &'v [(OsString, OsString)], name: &str) -> Option<&'v OsString> {
    variables.iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

/// The text of a file; none if there is no such file.
fn text_of(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Copy { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{"dependencies": {"left-pad": "1.3.0"}, "scripts": {"prepare": "husky"}}"#;

    fn dependencies(files: &[(&str, &str)]) -> Dependencies {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Dependencies::of(directory.path()).unwrap().unwrap()
    }

    #[test]
    fn registries_of_the_function_of_the_user_and_of_variables_are_part_of_the_key() {
        let home = tempfile::tempdir().unwrap();
        let plain = dependencies(&[("package.json", MANIFEST)]);
        let private = dependencies(&[("package.json", MANIFEST), (SETTINGS, "registry=https://npm.example\n")]);
        let locked = dependencies(&[("package.json", MANIFEST), ("package-lock.json", "{}")]);
        let variable = |name: &str, value: &str| vec![(OsString::from(name), OsString::from(value))];
        let key = |of: &Dependencies, variables: &[(OsString, OsString)]| {
            of.key_with(variables, Some(home.path()), Some(home.path()))
        };
        let mut keys = vec![
            key(&plain, &[]),
            key(&private, &[]),
            key(&locked, &[]),
            key(&plain, &variable("NPM_CONFIG_REGISTRY", "https://npm.example")),
        ];
        assert_eq!(key(&plain, &variable("npm_config_cache", "/elsewhere")), keys[0]);
        fs::write(home.path().join(SETTINGS), "@shop:registry=https://npm.example\n").unwrap();
        keys.push(key(&plain, &[]));
        fs::create_dir(home.path().join("etc")).unwrap();
        fs::write(home.path().join("etc/npmrc"), "registry=https://${HOST}/\n").unwrap();
        keys.push(key(&plain, &[]));
        keys.push(key(&plain, &variable("HOST", "npm.example")));
        keys.push(key(&plain, &variable("HOST", "other.example")));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 8);
    }

    #[test]
    fn npm_finds_the_settings_as_long_as_it_runs_and_no_scripts() {
        let directory = tempfile::tempdir().unwrap();
        let private = dependencies(&[("package.json", MANIFEST), (SETTINGS, "//npm.example/:_authToken=secret\n")]);
        let secrets = private.write(directory.path()).unwrap();
        let settings = directory.path().join(SETTINGS);
        let target = fs::read_link(&settings).unwrap();
        assert!(!target.starts_with(directory.path()), "a killed run leaves no secret in the cache");
        assert!(fs::read_to_string(&settings).unwrap().contains("secret"));
        let written = fs::read_to_string(directory.path().join("package.json")).unwrap();
        assert_eq!(written, r#"{"dependencies":{"left-pad":"1.3.0"}}"#);
        drop(secrets);
        assert!(fs::symlink_metadata(&settings).is_err() && !target.exists());
    }

    #[test]
    fn a_function_without_dependencies_needs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Dependencies::of(directory.path()).unwrap().is_none());
        fs::write(directory.path().join("package.json"), r#"{"name": "x", "dependencies": {}}"#).unwrap();
        assert!(Dependencies::of(directory.path()).unwrap().is_none());
        fs::write(directory.path().join("package.json"), "{").unwrap();
        assert!(matches!(Dependencies::of(directory.path()), Err(Error::Manifest { .. })));
    }
}
