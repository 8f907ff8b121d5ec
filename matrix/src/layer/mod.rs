//! `cargo matrix layer`: a cell becomes what is published to Lambda.
//!
//! A layer is unpacked below `/opt`, beside those of others. So everything of ours that the platform does not look for stands in one folder there.

pub mod archive;
pub mod budget;
pub mod contents;
pub mod elf;
mod error;
mod gather;
pub mod licences;
pub mod limits;
pub mod make;
pub mod packages;
pub mod parts;
mod sbom;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::invoke::build::target_directory;
use crate::manifest::Manifest;
use crate::{build, cli, plan, workspace};

pub use error::Error;
pub use toolchain::c_compiler;

use budget::Budgets;
use elf::Glibc;
use make::{Layer, Target};

/// Where things stand below `/opt`.
pub mod places {
    /// Everything in here is executed; the name of a file is that with which it has to register.
    pub const EXTENSIONS: &str = "extensions";
    /// Where the loader looks for libraries, by the last of the directories in Lambda's `LD_LIBRARY_PATH`.
    pub const LIBRARIES: &str = "lib/";
    /// The extension, or the launcher before it.
    pub const EXTENSION: &str = "extensions/datadog-agent";
    /// What a launcher executes.
    pub const AGENT: &str = "bottlecap/agent";
    /// What `AWS_LAMBDA_EXEC_WRAPPER` names.
    pub const WRAPPER: &str = "datadog_wrapper";
    pub const MANIFEST: &str = "bottlecap/manifest.json";
    pub const SBOM: &str = "bottlecap/sbom.cdx.json";
    pub const LICENCE: &str = "bottlecap/LICENSE";
    pub const NOTICE: &str = "bottlecap/NOTICE";
    pub const LICENCES: &str = "bottlecap/licenses.txt";
    pub const RUST_LICENCES: &str = "bottlecap/licenses-rust.html";
}

const AFTER: &str = "\
Examples:
  cargo matrix layer
  cargo matrix layer --set ship+launcher --out layer.zip
  cargo matrix layer --set ship --features jemalloc,-webpki-roots
  cargo matrix layer --set baseline --glibc-floor 2.34

The zip file has the extension, what a launcher executes, the exec wrapper `datadog_wrapper`, and in `bottlecap/` what it was made from: the build
manifest, a CycloneDX document of all that is in it, and the licences. The same sources, toolchain and C library give the same bytes, wherever they
are built. `cargo matrix inspect` checks it, `cargo matrix invoke --layer` runs a function with it.

Exit status:
  0    the layer is made
  1    it would not start, is too large, or must not be passed on; the reason and the remedy are told
  2    the command line asks for something that cannot be, such as switches that exclude each other
  3    it could not be built
  6    something is missing on this machine, or is not the pinned toolchain
  130  interrupted";

/// Makes a layer: a zip file for Lambda, the same bytes wherever it is built
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// A set, with what is added or taken away
    #[arg(long, value_name = "SET", default_value = "ship")]
    pub set: String,

    /// What is added to the set, or taken away with `-` before it
    #[arg(long, value_name = "SWITCH,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub features: Vec<String>,

    /// The oldest C library with which the layer has to start: 2.26 is that of Amazon Linux 2, 2.34 that of Amazon Linux 2023
    #[arg(long, value_name = "VERSION", default_value = "2.26")]
    pub glibc_floor: Glibc,

    /// The zip file [default: target/matrix/layers/SET-ARCHITECTURE.zip]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> ExitCode {
    match write(arguments) {
        Ok(path) => {
            cli::print(&format!("{}\n", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => cli::complain(&error, error.status()),
    }
}

fn write(arguments: &Arguments) -> Result<PathBuf, Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let root = workspace::root();
    let name = cell_name(&arguments.set, &arguments.features);
    let (cell, notes) = plan::cell(manifest, &name)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    // Before minutes are spent on building.
    if arguments.glibc_floor > elf::newest() {
        return Err(Error::Floor(arguments.glibc_floor));
    }
    toolchain::check(&root, &build::sources::compiler(&root))?;
    let built = build::one(manifest, cell.clone())?.ok_or(Error::Interrupted)?;
    let target = Target {
        triple: build::target(),
        architecture: elf::architecture().to_owned(),
        glibc_floor: arguments.glibc_floor,
    };
    let ingredients = gather::ingredients(&root, manifest, cell, built, target)?;
    let layer = make::make(ingredients, &Budgets::embedded()?)?;
    let path = arguments.out.clone().unwrap_or_else(|| {
        let Layer { contents, .. } = &layer;
        target_directory().join("matrix/layers").join(format!("{}-{}.zip", contents.cell, contents.architecture))
    });
    keep(&path, &layer.zip)?;
    let budget =
        if layer.budgeted { "within its budget" } else { "it has no budget of its own, and is within Lambda's limits" };
    eprintln!("{}: {} bytes zipped, {} unzipped; {budget}", layer.contents.cell, layer.zip.len(), layer.unzipped);
    Ok(path)
}

/// The name of a cell as `cargo matrix build` reads it.
fn cell_name(set: &str, features: &[String]) -> String {
    let signed = features.iter().map(|feature| match feature.strip_prefix(['-', '+']) {
        Some(_) => feature.clone(),
        None => format!("+{feature}"),
    });
    set.to_owned() + &signed.collect::<String>()
}

fn keep(path: &Path, zip: &[u8]) -> Result<(), Error> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(path, zip)).map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_added_and_taken_away() {
        let features = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cell_name("ship", &[]), "ship");
        assert_eq!(
            cell_name("ship", &features("jemalloc,-webpki-roots,+launcher")),
            "ship+jemalloc-webpki-roots+launcher"
        );
    }
}
