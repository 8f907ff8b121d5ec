//! Local packages of a Node function: directories and archives that its `package.json` names by their paths.
//!
//! npm runs their scripts in them. So that nothing is written to them, npm gets copies. Source: "package.json" of npm's documentation (Local Paths).

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::node::{Error, MODULES};
use super::tree;

type Manifest = Map<String, Value>;

/// The dependencies that npm reads, the last of the function alone.
const GROUPS: [&str; 3] = ["dependencies", "optionalDependencies", "devDependencies"];
const MANIFEST: &str = "package.json";
/// What is not copied: installed packages are installed again, and settings, which may have secrets, are read in the function's directory only.
const LEFT_OUT: [&str; 2] = [MODULES, ".npmrc"];

/// The local packages of a function, and theirs.
#[derive(Debug)]
pub(super) struct LocalPackages {
    /// The function's directory, without links.
    function: PathBuf,
    /// Directories and archives; a directory comes before what is in it.
    paths: Vec<PathBuf>,
}

impl LocalPackages {
    /// Those of the function in `directory`.
    pub(super) fn of(directory: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let failed = |source| Error::Copy { path: directory.to_owned(), source };
        let function = fs::canonicalize(directory).map_err(failed)?;
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut waiting = named(&function, manifest, &GROUPS);
        while let Some((name, path)) = waiting.pop() {
            if paths.contains(&path) {
                continue;
            }
            if !path.exists() {
                return Err(Error::NoLocalPackage { name, path });
            }
            if let Some(manifest) = manifest_of(&path) {
                waiting.extend(named(&path, &manifest, &GROUPS[..2]));
            }
            paths.push(path);
        }
        paths.sort();
        Ok(Self { function, paths })
    }

    pub(super) fn function(&self) -> &Path {
        &self.function
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Changes with the name, the mode and the content of every file.
    pub(super) fn state(&self) -> Vec<(PathBuf, u64)> {
        let mut state = Vec::new();
        let mut waiting = self.paths.clone();
        while let Some(path) = waiting.pop() {
            let Ok(found) = fs::metadata(&path) else { continue };
            // A link to a directory could lead back to where it is.
            if found.is_dir() && (self.paths.contains(&path) || !path.is_symlink()) {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                let kept = entries.filter(|entry| !LEFT_OUT.iter().any(|name| *name == entry.file_name()));
                waiting.extend(kept.map(|entry| entry.path()).filter(|path| !tree::is_left_out(path)));
            } else if found.is_file() {
                let content = content(&path, found.permissions().mode()).unwrap_or_default();
                state.push((path, content));
            }
        }
        state.sort();
        state
    }

    /// Copies them below `home`, each as deep as it is below the root, so that paths from one to another stay the same. Returns the place of the function.
    pub(super) fn copy(&self, home: &Path) -> Result<PathBuf, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Copy { path, source }
        };
        let function = below(home, &self.function);
        fs::create_dir_all(&function).map_err(failed(&function))?;
        for path in &self.paths {
            let place = below(home, path);
            if path.is_dir() {
                tree::copy_without(path, &place, &LEFT_OUT).map_err(|(path, source)| Error::Copy { path, source })?;
            } else {
                place.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed(&place))?;
                fs::copy(path, &place).map_err(failed(path))?;
            }
            if let Some(mut manifest) = manifest_of(path) {
                make_relative(&mut manifest, path);
                let place = place.join(MANIFEST);
                fs::write(&place, Value::Object(manifest).to_string()).map_err(failed(&place))?;
            }
        }
        Ok(function)
    }
}

/// Names local packages by relative paths, because absolute ones would lead out of a copy. The manifest is that of `directory`.
pub(super) fn make_relative(manifest: &mut Manifest, directory: &Path) {
    for group in GROUPS {
        let dependencies = manifest.get_mut(group).and_then(Value::as_object_mut);
        for specification in dependencies.into_iter().flat_map(|group| group.values_mut()) {
            if let Some(path) = specification.as_str().and_then(local_path).filter(|path| path.is_absolute()) {
                *specification = format!("file:{}", relative(directory, &resolved(directory, &path)).display()).into();
            }
        }
    }
}

/// Puts copies of what links lead to in the place of the links: by a link, Node would not find the packages that the package needs.
pub(super) fn replace_links(modules: &Path) -> Result<(), Error> {
    let failed = |source| Error::Copy { path: modules.to_owned(), source };
    let entries = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_scope = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"));
    let (scopes, packages): (Vec<PathBuf>, Vec<PathBuf>) = entries(modules).partition(is_scope);
    for package in packages.into_iter().chain(scopes.iter().flat_map(|scope| entries(scope))) {
        if package.is_symlink() && package.is_dir() {
            let target = fs::canonicalize(&package).map_err(failed)?;
            tree::copy(&target, &package).map_err(|(path, source)| Error::Copy { path, source })?;
        }
    }
    Ok(())
}

/// The local packages that a manifest in `directory` names, with their paths.
fn named(directory: &Path, manifest: &Manifest, groups: &[&str]) -> Vec<(String, PathBuf)> {
    let dependencies = groups.iter().filter_map(|group| manifest.get(*group)?.as_object()).flatten();
    let local = dependencies.filter_map(|(name, specification)| {
        Some((name.clone(), resolved(directory, &local_path(specification.as_str()?)?)))
    });
    local.collect()
}

/// The path that the specification of a package is.
fn local_path(specification: &str) -> Option<PathBuf> {
    let path = match specification.strip_prefix("file:") {
        Some(path) if path.starts_with("//") => Path::new("/").join(path.trim_start_matches('/')),
        Some(path) => PathBuf::from(path),
        None if [".", ".."].contains(&specification) => PathBuf::from(specification),
        None => ["./", "../", "/", "~/"]
            .iter()
            .find(|start| specification.starts_with(**start))
            .map(|_| PathBuf::from(specification))?,
    };
    match path.strip_prefix("~") {
        Ok(rest) => Some(std::env::home_dir()?.join(rest)),
        Err(_) => Some(path),
    }
}

/// A path from `directory`, without `.` and `..`.
fn resolved(directory: &Path, path: &Path) -> PathBuf {
    directory.join(path).components().fold(PathBuf::new(), |mut resolved, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(resolved.pop()),
            _ => resolved.push(component),
        }
        resolved
    })
}

/// The path of `to` from the directory `from`; both are absolute.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

fn below(home: &Path, path: &Path) -> PathBuf {
    home.join(path.strip_prefix("/").unwrap_or(path))
}

fn manifest_of(package: &Path) -> Option<Manifest> {
    serde_json::from_str(&fs::read_to_string(package.join(MANIFEST)).ok()?).ok()
}

fn content(path: &Path, mode: u32) -> io::Result<u64> {
    let (mut hasher, mut file, mut chunk) = (DefaultHasher::new(), File::open(path)?, vec![0; 64 * 1024]);
    mode.hash(&mut hasher);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finish()),
            length => hasher.write(chunk.get(..length).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    fn manifest(value: &Value) -> Manifest {
        value.as_object().unwrap().clone()
    }

    /// A function whose package `common` is beside it and needs another one.
    fn project() -> (tempfile::TempDir, Manifest) {
        let project = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = project.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let lib = project.path().join("function/lib");
        write(
            "common/package.json",
            &json!({"dependencies": {"lib": lib}, "devDependencies": {"x": "./x"}}).to_string(),
        );
        write("common/index.js", "1");
        write("common/.npmrc", "secret");
        write("common/node_modules/y/index.js", "1");
        write("function/lib/package.json", "{}");
        write("function/archive.tgz", "");
        let dependencies = json!({"common": "file:../common", "archive": "file:archive.tgz", "left-pad": "1.3.0"});
        (project, manifest(&json!({ "dependencies": dependencies })))
    }

    #[test]
    fn packages_are_copied_with_those_that_they_name() {
        let (project, manifest) = project();
        let home = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(project.path()).unwrap();
        let local = LocalPackages::of(&project.path().join("function"), &manifest).unwrap();
        let expected = ["common", "function/archive.tgz", "function/lib"].map(|name| root.join(name));
        assert_eq!(local.paths, expected);
        let function = local.copy(home.path()).unwrap();
        assert_eq!(function, home.path().join(root.join("function").strip_prefix("/").unwrap()));
        assert!(function.join("archive.tgz").is_file() && function.join("../common/index.js").is_file());
        assert!(!function.join("../common/.npmrc").exists() && !function.join("../common/node_modules").exists());
        let copied = manifest_of(&function.join("../common")).unwrap();
        assert_eq!(copied["dependencies"]["lib"], "file:../function/lib");
    }

    #[test]
    fn the_state_changes_with_the_content_of_a_package_of_a_package() {
        let (project, manifest) = project();
        let state = || LocalPackages::of(&project.path().join("function"), &manifest).unwrap().state();
        let before = state();
        assert_eq!((before.len(), &before), (4, &state()));
        let lib = project.path().join("function/lib");
        fs::write(lib.join("package.json"), "[]").unwrap();
        let changed = state();
        assert_ne!(changed, before);
        fs::set_permissions(lib.join("package.json"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(state(), changed);
    }

    #[test]
    fn a_package_that_is_not_there_is_named() {
        let (project, mut manifest) = project();
        manifest["dependencies"]["gone"] = json!("./gone");
        let error = LocalPackages::of(&project.path().join("function"), &manifest).unwrap_err();
        assert!(
            matches!(&error, Error::NoLocalPackage { name, path } if name == "gone" && path.ends_with("function/gone"))
        );
    }

    #[test]
    fn packages_stand_where_links_led_to_them() {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| home.path().join(name);
        for directory in ["node_modules/@shop", "node_modules/plain", "common"] {
            fs::create_dir_all(place(directory)).unwrap();
        }
        fs::write(place("common/index.js"), "1").unwrap();
        for (link, target) in [("@shop/common", "../../common"), ("common", "../common"), ("gone", "../gone")] {
            symlink(target, place("node_modules").join(link)).unwrap();
        }
        replace_links(&place("node_modules")).unwrap();
        for copied in ["@shop/common", "common"].map(|name| place("node_modules").join(name)) {
            assert!(!copied.is_symlink() && copied.join("index.js").is_file());
        }
        assert!(place("node_modules/plain").is_dir() && place("common/index.js").is_file());
    }

    #[test]
    fn paths_are_distinguished_from_versions_and_addresses() {
        let path = |specification: &str| local_path(specification).map(|path| path.display().to_string());
        for (specification, expected) in
            [("file:lib", "lib"), ("../lib", "../lib"), ("file:///lib", "/lib"), ("file:/lib", "/lib"), (".", ".")]
        {
            assert_eq!(path(specification).as_deref(), Some(expected));
        }
        for specification in
            ["^1.0.0", "*", "npm:left-pad@1", "git+ssh://a/b", "owner/repository", "https://a/b.tgz", "latest"]
        {
            assert_eq!(path(specification), None, "{specification}");
        }
    }
}
