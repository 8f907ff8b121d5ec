//! `cargo matrix layer`: a cell becomes what is published to Lambda.
//!
//! A layer is unpacked below `/opt`, beside those of others. So everything of ours that the platform does not look for stands in one folder there.

pub mod budget;
pub mod bundled;
pub mod contents;
mod error;
mod gather;
pub mod licences;
pub mod make;
pub mod publish;
mod sbom;
mod terms;

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::build::{self, BuildRecord};
use crate::flavour::{LayerTarget, Toolchain};
use crate::manifest::Manifest;
use crate::plan::Cell;
use crate::target::{Architecture, Libc};
use crate::workspace::sources;
use crate::workspace::target_directory;
use crate::{files, plan, terminal, workspace};

pub use error::Error;
pub(crate) use gather::SOURCES_BESIDE;

use crate::archive::{self, places};
use crate::elf::{self, Glibc};
use budget::{Budgets, Scope};
use make::Layer;

const AFTER: &str = "\
Examples:
  cargo matrix layer
  cargo matrix layer --set ship-agent --out layer.zip
  cargo matrix layer --set ship --features jemalloc,-webpki-roots
  cargo matrix layer --arch arm64
  cargo matrix layer --libc musl
  cargo matrix layer --features -static,-fixed-address --glibc-floor 2.26

The zip file has the extension, the agent behind a launcher, the exec wrapper `datadog_wrapper`, and in `bottlecap/` what it was made from: the build
manifest, a CycloneDX document of all that is in it, and the licences. The time in that document is that of the commit, or SOURCE_DATE_EPOCH. The same
sources, toolchain and C library give the same bytes, wherever they are built; what builds which of them, and what that needs, is in
matrix/flavours.toml. `cargo matrix inspect` checks it, `cargo matrix invoke --layer` runs a function with it. Standard output has the path; standard error
ends with the command that publishes it.

Exit status:
  0    the layer is made
  1    it would not start, is too large, or must not be passed on; the message names the reason and the remedy
  2    the command line asks for something that cannot be, such as switches that exclude each other
  3    it could not be built
  6    something is missing on this machine, is not the pinned toolchain, or a disk is full
  130  interrupted";

/// Build a reproducible Lambda layer
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// A set, with `+` before added switches and `-` before removed ones
    #[arg(long, value_name = "SET", default_value = "ship")]
    pub set: String,

    /// Switches or values to add to the set, such as `jemalloc` or `opt-level=3`, or to remove with `-` before them
    #[arg(long, value_name = "SWITCH,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub features: Vec<String>,

    /// The processor of the layer [default: that of this machine]
    #[arg(long, value_enum)]
    pub arch: Option<Architecture>,

    /// The C library of the target; musl is always linked into the program
    #[arg(long, value_enum, default_value_t)]
    pub libc: Libc,

    /// The oldest glibc that the layer has to start with: 2.26 is that of Amazon Linux 2, 2.34 that of Amazon Linux 2023 [default: 2.26]
    #[arg(long, value_name = "VERSION")]
    pub glibc_floor: Option<Glibc>,

    /// Build a FIPS layer outside the certificate's tested configuration (arm64)
    #[arg(long)]
    pub outside_certificate: bool,

    /// Reject sources that differ from their commit, or have none
    #[arg(long)]
    pub refuse_dirty: bool,

    /// The zip file to write [default: target/matrix/layers/SET-FLAVOUR.zip]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// A directory to unpack the layer into as well, as Lambda does below `/opt`; for container images, which take no layers
    #[arg(long, value_name = "DIRECTORY")]
    pub opt: Option<PathBuf>,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    match write(arguments) {
        Ok(path) => {
            terminal::print(&format!("{}\n", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => terminal::exit_with_error(&error, error.status()),
    }
}

fn write(arguments: &Arguments) -> Result<PathBuf, Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let root = workspace::root();
    let name = cell_name(&arguments.set, &arguments.features);
    let (mut cell, mut notes) = plan::cell(manifest, &name)?;
    // Before minutes are spent on building.
    let wanted = wanted(arguments)?;
    notes.extend(manifest.adapt(&mut cell.levels, &arguments.set, wanted.architecture));
    for note in notes {
        eprintln!("note: {note}");
    }
    arguments.opt.as_deref().map_or(Ok(Vec::new()), earlier)?;
    keep_sources(&root, arguments.out.as_deref())?;
    let sources = gather::sources(&root)?;
    if arguments.refuse_dirty && !sources::is_clean(&sources) {
        return Err(Error::Dirty { sources });
    }
    gather::time(&root, std::env::var_os("SOURCE_DATE_EPOCH"))?;
    let tools = Toolchain::of(&wanted, &cell.levels, &root, &target_directory(), &|step| eprintln!("{step}"))?;
    let built = build::one(manifest, cell.clone(), tools.clone())?.ok_or(Error::Interrupted)?;
    let layer = of_build(&root, manifest, cell, built, &tools, wanted.glibc_floor)?;
    let path = arguments.out.clone().unwrap_or_else(|| {
        let Layer { contents, .. } = &layer;
        target_directory().join("matrix/layers").join(format!("{}-{}.zip", contents.cell, contents.flavour))
    });
    keep(&path, &layer.zip)?;
    if let Some(opt) = &arguments.opt {
        replace(opt, &layer)?;
    }
    let budget = match layer.budget {
        Some(Scope::Cell) => "within its budget",
        Some(Scope::General) => "within the general budget, as it has none of its own",
        None => "within Lambda's limits",
    };
    eprintln!(
        "{} for {}: {} bytes zipped, {} unzipped; {budget}",
        layer.contents.cell,
        layer.contents.flavour,
        layer.zip.len(),
        layer.unzipped
    );
    eprintln!("to publish it:\n\n{}\n", publish::command(&layer.contents, &path));
    Ok(path)
}

/// The layer of a cell that was built from the workspace in `root` with these tools, which has to start with that C library.
pub(crate) fn of_build(
    root: &Path,
    manifest: &Manifest,
    cell: Cell,
    built: BuildRecord,
    tools: &Toolchain,
    glibc_floor: Glibc,
) -> Result<Layer, Error> {
    let inputs = gather::layer_inputs(root, manifest, cell, built, tools, glibc_floor)?;
    make::make(inputs, &Budgets::embedded()?)
}

fn wanted(arguments: &Arguments) -> Result<LayerTarget, Error> {
    // The default is no demand, even where a script spells it out.
    if arguments.libc == Libc::Musl && arguments.glibc_floor.is_some_and(|floor| floor != elf::oldest()) {
        return Err(Error::FloorOfMusl);
    }
    let glibc_floor = arguments.glibc_floor.unwrap_or_else(elf::oldest);
    if glibc_floor > elf::newest() {
        return Err(Error::Floor(glibc_floor));
    }
    let architecture = arguments.arch.unwrap_or_else(Architecture::of_this_machine);
    let accepts_open = arguments.outside_certificate;
    Ok(LayerTarget { architecture, libc: arguments.libc, glibc_floor, accepts_open })
}

/// The name of a cell as `cargo matrix build` reads it. An empty feature is none, so that scripts need not care whether there are any.
fn cell_name(set: &str, features: &[String]) -> String {
    let signed =
        features.iter().filter(|feature| !feature.is_empty()).map(|feature| match feature.strip_prefix(['-', '+']) {
            Some(_) => feature.clone(),
            None => format!("+{feature}"),
        });
    set.to_owned() + &signed.collect::<String>()
}

/// Unpacks the layer, and takes away what an earlier one of ours has there and this one has not. What somebody else has put there stays.
fn replace(opt: &Path, layer: &Layer) -> Result<(), Error> {
    for place in earlier(opt)?.iter().filter(|place| !layer.contents.files.contains_key(*place)) {
        let path = opt.join(place);
        if path.is_file() {
            fs::remove_file(&path).map_err(|source| Error::File { path, source })?;
        }
    }
    Ok(archive::unpack(&layer.zip, opt)?)
}

/// The files of the layer of ours that is unpacked in a directory, whichever version has made it; none if there is no such layer.
fn earlier(opt: &Path) -> Result<Vec<String>, Error> {
    let path = opt.join(places::MANIFEST);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|source| Error::File { path: path.clone(), source })?,
    };
    let plain = |place: &String| Path::new(place).components().all(|part| matches!(part, Component::Normal(_)));
    let places = contents::listed(&text).map_err(|reason| Error::Earlier { path, reason })?;
    Ok(places.into_iter().filter(plain).collect())
}

/// Returns an error if the zip file would be written over one of the sources.
fn keep_sources(root: &Path, out: Option<&Path>) -> Result<(), Error> {
    let failed = |source| Error::File { path: root.to_owned(), source };
    let sources = sources::files(root, &SOURCES_BESIDE).map_err(failed)?;
    Ok(files::keep_inputs("--out", out, sources.into_iter().map(|name| root.join(name)))?)
}

fn keep(path: &Path, zip: &[u8]) -> Result<(), Error> {
    files::write(path, zip).map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use contents::{Contents, FileEntry, SCHEMA};
    use serde_json::json;

    use super::*;

    #[test]
    fn no_source_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        for name in ["src/main.rs", "LICENSE", "layer.zip"] {
            files::write(&root.path().join(name), "").unwrap();
        }
        for name in ["src/main.rs", "LICENSE"] {
            let error = keep_sources(root.path(), Some(&root.path().join(name))).unwrap_err();
            assert_eq!(error.status(), terminal::USAGE, "{error}");
        }
        keep_sources(root.path(), Some(&root.path().join("layer.zip"))).unwrap();
        keep_sources(root.path(), None).unwrap();
    }

    #[test]
    fn of_an_earlier_layer_nothing_is_left_and_of_others_everything() {
        let folder = tempfile::tempdir().unwrap();
        let opt = folder.path();
        let layer = |places: &[&str]| {
            let of = |place: &&str| archive::File { place: (*place).to_owned(), bytes: Vec::new(), executable: false };
            let mut files: Vec<archive::File> = places.iter().map(of).collect();
            let listed: BTreeMap<_, _> = files.iter().map(|file| (&file.place, FileEntry::of(file))).collect();
            let document = json!({
                "schema": SCHEMA, "cell": "", "architecture": "", "target": "", "glibc_floor": "2.26", "levels": {}, "programs": {},
                "sources": {"revision": "", "lock_sha256": ""}, "toolchain": {"rustc": "", "cc": ""},
                "build": {"features": [], "rustflags": [], "variables": {}, "profile": {}}, "files": listed,
            });
            let contents = Contents::read(document.to_string().as_bytes()).unwrap();
            files.push(archive::File { bytes: document.to_string().into(), ..of(&places::MANIFEST) });
            Layer { contents, zip: archive::write(&files).unwrap(), unzipped: 0, budget: None }
        };
        fs::write(opt.join("theirs"), "").unwrap();
        replace(opt, &layer(&[places::EXTENSION, places::AGENT])).unwrap();
        assert!(opt.join(places::AGENT).exists());
        replace(opt, &layer(&[places::EXTENSION])).unwrap();
        let there = [places::EXTENSION, places::AGENT, "theirs"].map(|place| opt.join(place).exists());
        assert_eq!(there, [true, false, true]);
        // An earlier or later version of this tool has made it.
        fs::write(opt.join(places::AGENT), "").unwrap();
        let other = json!({"schema": SCHEMA + 1, "files": {places::AGENT: 1, "../theirs": 1, "theirs": 1}});
        fs::write(opt.join(places::MANIFEST), other.to_string()).unwrap();
        replace(opt, &layer(&[places::EXTENSION, "theirs"])).unwrap();
        let there = [places::EXTENSION, places::AGENT, "theirs"].map(|place| opt.join(place).exists());
        assert_eq!(there, [true, false, true]);
        for unknown in ["no JSON", "{}", "[]"] {
            fs::write(opt.join(places::MANIFEST), unknown).unwrap();
            let error = replace(opt, &layer(&[places::EXTENSION])).unwrap_err();
            assert_eq!(error.status(), terminal::USAGE, "{error}");
            assert!(opt.join("theirs").exists(), "{unknown}: nothing is removed");
        }
    }

    #[test]
    fn features_are_added_and_taken_away() {
        let features = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cell_name("ship", &[]), "ship");
        assert_eq!(
            cell_name("ship", &features("jemalloc,-webpki-roots,+launcher")),
            "ship+jemalloc-webpki-roots+launcher"
        );
        assert_eq!(cell_name("ship", &features(",static,")), "ship+static");
    }
}
