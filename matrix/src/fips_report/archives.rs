//! Whether what is compiled is what the registry has: the archive of each package has the checksum of the lock file, and the unpacked folder has the archive's files.
//! Cargo checks an archive when it downloads it, and the folder never.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::{fs, thread};

use flate2::read::GzDecoder;
use tar::Archive;

use super::proof::Facts;
use crate::hash;
use crate::materials::packages::{Key, Package, Packages, ROOT};

/// What cargo adds to the folder of an unpacked archive.
const ADDED: &str = ".cargo-ok";
/// The largest archive unpacked, in bytes: more than any package has, and less than what fills a machine's memory.
const LARGEST: u64 = 1 << 30;

/// Files by their names below the folder of a package, each with its SHA-256.
type Files = BTreeMap<String, String>;

/// Compares every package but our own, and notes the outcome.
pub fn look(packages: &Packages, facts: &mut Facts) {
    let others: Vec<(&Key, &Package)> = packages.0.iter().filter(|(key, _)| key.name != ROOT).collect();
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let outcomes: Vec<Result<usize, String>> = thread::scope(|scope| {
        let parts = others.chunks(others.len().div_ceil(threads).max(1));
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(|| part.iter().map(|(key, package)| compare(key, package)).collect::<Vec<_>>()))
            .collect();
        let gone = || vec![Err("the comparison of archives ended early".to_owned())];
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|_| gone())).collect()
    });
    let files: usize = outcomes.iter().flatten().sum();
    for problem in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        facts.note(false, problem.clone());
    }
    let same = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    facts.note(
        same == others.len() && same > 0,
        format!(
            "of {} packages, {same} have an archive with the checksum of the lock file and a folder with exactly its files, {files} in all",
            others.len()
        ),
    );
}

/// Compares the archive of a package with its checksum, and its folder with the archive. Returns the number of files, or what differs.
pub fn compare(key: &Key, package: &Package) -> Result<usize, String> {
    let Some(archive) = archive_of(&package.folder) else {
        return Err(format!("{key} in {} was not unpacked from an archive", package.folder.display()));
    };
    let unread = |path: &Path, error: io::Error| format!("{key}: {} cannot be read: {error}", path.display());
    let bytes = fs::read(&archive).map_err(|error| unread(&archive, error) + "; `cargo fetch` downloads it")?;
    let found = hash::hexadecimal(&bytes);
    if package.checksum.as_ref() != Some(&found) {
        let locked = package.checksum.as_deref().unwrap_or("nothing");
        return Err(format!("{key}: {} has SHA-256 {found}, and the lock file has {locked}", archive.display()));
    }
    let packed = packed(&bytes).map_err(|error| unread(&archive, error))?;
    let mut unpacked = Files::new();
    list(&package.folder, "", &mut unpacked).map_err(|error| unread(&package.folder, error))?;
    unpacked.remove(ADDED);
    match difference(&packed, &unpacked) {
        None => Ok(packed.len()),
        Some(difference) => Err(format!(
            "{key} in {} is not what its archive has: {difference}; remove the folder, and cargo unpacks it again",
            package.folder.display()
        )),
    }
}

/// `registry/cache/INDEX/NAME-VERSION.crate` of `registry/src/INDEX/NAME-VERSION`.
fn archive_of(folder: &Path) -> Option<PathBuf> {
    let index = folder.parent()?;
    let sources = index.parent().filter(|sources| sources.file_name().is_some_and(|name| name == "src"))?;
    let name = format!("{}.crate", folder.file_name()?.to_str()?);
    Some(sources.with_file_name("cache").join(index.file_name()?).join(name))
}

/// The files of an archive, below its one folder.
fn packed(bytes: &[u8]) -> io::Result<Files> {
    let mut archive = Archive::new(GzDecoder::new(bytes).take(LARGEST));
    let mut files = Files::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_str().map(str::to_owned);
        let path = path.ok_or_else(|| io::Error::other("a name in it is no text"))?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let name = path.split_once('/').map(|(_, name)| name.to_owned());
        let name = name.filter(|_| entry.header().entry_type().is_file());
        let name = name.ok_or_else(|| io::Error::other(format!("{path} in it is no file of a package")))?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if files.insert(name, hash::hexadecimal(&content)).is_some() {
            return Err(io::Error::other(format!("{path} is in it twice")));
        }
    }
    Ok(files)
}

/// Adds the files below a folder. What is neither a file nor a folder has no hash, and so differs from every file.
fn list(folder: &Path, above: &str, files: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = format!("{above}{}", entry.file_name().to_string_lossy());
        if kind.is_dir() {
            list(&path, &format!("{name}/"), files)?;
        } else {
            let hash = if kind.is_file() { hash::of_files([path.as_path()])? } else { String::new() };
            files.insert(name, hash);
        }
    }
    Ok(())
}

/// The first difference, by name.
fn difference(packed: &Files, unpacked: &Files) -> Option<String> {
    let changed = packed.iter().find_map(|(name, hash)| match unpacked.get(name) {
        None => Some(format!("{name} is missing")),
        Some(other) if other != hash => Some(format!("{name} has been changed")),
        Some(_) => None,
    });
    changed.or_else(|| unpacked.keys().find(|name| !packed.contains_key(*name)).map(|name| format!("{name} is new")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};
    use tempfile::TempDir;

    use super::*;
    use crate::build::recipe::Recipe;
    use crate::manifest::Manifest;

    const NAME: &str = "part-1.0.0";

    /// The archive of a package with these files.
    fn archive(files: &[[&str; 2]]) -> Vec<u8> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for [name, text] in files {
            let mut header = Header::new_gnu();
            header.set_size(text.len().try_into().unwrap());
            builder.append_data(&mut header, format!("{NAME}/{name}"), text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    /// A cargo home with one package, unpacked as cargo would.
    struct Home {
        folder: TempDir,
        package: Package,
    }

    impl Home {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = [["Cargo.toml", "[package]"], ["src/lib.rs", "fn one() {}"]];
            let bytes = archive(&files);
            let sources = folder.path().join("registry/src/index").join(NAME);
            fs::create_dir_all(sources.join("src")).unwrap();
            fs::create_dir_all(folder.path().join("registry/cache/index")).unwrap();
            fs::write(folder.path().join("registry/cache/index").join(format!("{NAME}.crate")), &bytes).unwrap();
            for [name, text] in files {
                fs::write(sources.join(name), text).unwrap();
            }
            fs::write(sources.join(ADDED), "{\"v\":1}").unwrap();
            let checksum = Some(hash::hexadecimal(&bytes));
            Self { package: Package { folder: sources, checksum, ..Package::default() }, folder }
        }

        fn outcome(&self) -> Result<usize, String> {
            compare(&Key::new("part", "1.0.0"), &self.package)
        }

        fn archive(&self) -> PathBuf {
            self.folder.path().join("registry/cache/index").join(format!("{NAME}.crate"))
        }
    }

    #[test]
    fn a_doctored_folder_is_found() {
        assert_eq!(Home::new().outcome(), Ok(2));
        let doctored = |doctor: &dyn Fn(&Path)| {
            let home = Home::new();
            doctor(&home.package.folder);
            home.outcome().unwrap_err()
        };
        let changed = doctored(&|folder| fs::write(folder.join("src/lib.rs"), "fn two() {}").unwrap());
        assert!(changed.contains("src/lib.rs has been changed"), "{changed}");
        let new = doctored(&|folder| fs::write(folder.join("build.rs"), "fn main() {}").unwrap());
        assert!(new.contains("build.rs is new"), "{new}");
        let hidden = doctored(&|folder| fs::write(folder.join("src/.cargo-ok"), "fn main() {}").unwrap());
        assert!(hidden.contains("src/.cargo-ok is new"), "{hidden}");
        let missing = doctored(&|folder| fs::remove_file(folder.join("Cargo.toml")).unwrap());
        assert!(missing.contains("Cargo.toml is missing"), "{missing}");
        let linked = doctored(&|folder| {
            fs::rename(folder.join("src/lib.rs"), folder.with_extension("rs")).unwrap();
            symlink(folder.with_extension("rs"), folder.join("src/lib.rs")).unwrap();
        });
        assert!(linked.contains("src/lib.rs has been changed"), "a link is no file of an archive: {linked}");
    }

    #[test]
    fn another_archive_is_found_by_its_checksum() {
        let home = Home::new();
        fs::write(home.archive(), archive(&[["Cargo.toml", "[package]"], ["src/lib.rs", "fn two() {}"]])).unwrap();
        assert!(home.outcome().unwrap_err().contains("and the lock file has"), "{:?}", home.outcome());
        fs::remove_file(home.archive()).unwrap();
        assert!(home.outcome().unwrap_err().contains("`cargo fetch`"), "{:?}", home.outcome());
        let elsewhere = Package { folder: home.folder.path().to_owned(), ..home.package.clone() };
        assert!(compare(&Key::new("part", "1.0.0"), &elsewhere).unwrap_err().contains("not unpacked from an archive"));
    }

    #[test]
    fn a_package_without_a_source_has_no_archive_wherever_it_lies() {
        let home = Home::new();
        let planted = Package { checksum: None, ..home.package.clone() };
        let key = Key::new("part", "1.0.0");
        assert!(compare(&key, &planted).unwrap_err().contains("the lock file has nothing"));
        let mut facts = Facts::default();
        look(&Packages(BTreeMap::from([(key, planted)])), &mut facts);
        assert_eq!(facts.against.len(), 2, "{facts:?}");
    }

    #[test]
    fn nothing_to_compare_proves_nothing() {
        let mut facts = Facts::default();
        look(&Packages(BTreeMap::new()), &mut facts);
        assert!(facts.evidence.is_empty() && !facts.against.is_empty(), "{facts:?}");
    }

    /// The packages of a FIPS build as they are on this machine, and a copy of one of them in another home that somebody has changed.
    #[test]
    fn doctored_copy_of_registry_packages_is_found() {
        let manifest = Manifest::embedded().unwrap();
        let recipe = Recipe::of(manifest, &manifest.set_levels("ship-fips").unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut packages = Packages::of(&recipe.workspace(root), &recipe.features, &crate::target::plain()).unwrap();
        let mut facts = Facts::default();
        look(&packages, &mut facts);
        assert!(facts.against.is_empty(), "{facts:?}");

        let home = tempfile::tempdir().unwrap();
        let package = packages.0.iter_mut().find(|(key, _)| key.name == "httparse").unwrap().1;
        let copy = home.path().join("registry/src/index").join(package.folder.file_name().unwrap());
        let archive = archive_of(&copy).unwrap();
        fs::create_dir_all(archive.parent().unwrap()).unwrap();
        fs::write(&archive, fs::read(archive_of(&package.folder).unwrap()).unwrap()).unwrap();
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        Archive::new(GzDecoder::new(fs::read(archive).unwrap().as_slice())).unpack(copy.parent().unwrap()).unwrap();
        package.folder = copy.clone();
        let mut same = Facts::default();
        look(&packages, &mut same);
        assert_eq!(same, facts);
        let source = copy.join("src/lib.rs");
        fs::write(&source, fs::read_to_string(&source).unwrap() + "\n// One more line.\n").unwrap();
        let mut doctored = Facts::default();
        look(&packages, &mut doctored);
        assert!(doctored.against.concat().contains("src/lib.rs has been changed"), "{doctored:?}");
    }
}
