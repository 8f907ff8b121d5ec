//! The contents of a function's `/opt`: from its layers or from a container image.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::target;
use crate::archive::{self, limits, places};
use crate::emulator;
use crate::files;
use crate::sandbox::Extension;
use crate::sandbox::function::tree;
use crate::workspace::private::TemporaryDirectory;

/// The contents of layers. Dropping them removes them.
#[derive(Debug)]
pub(super) struct LayerContents {
    /// The directory that serves as `/opt`.
    pub opt: PathBuf,
    _home: TemporaryDirectory,
}

/// Unpacks all layers, zip files and directories, in order into one directory; `None` without layers.
pub(super) fn unpacked(layers: &[PathBuf]) -> Result<Option<LayerContents>, Error> {
    if layers.is_empty() {
        return Ok(None);
    }
    if layers.len() > limits::LAYERS {
        return Err(Error::TooManyLayers);
    }
    let home = TemporaryDirectory::new().map_err(Error::Opt)?;
    let opt = home.readable("opt").map_err(Error::Opt)?;
    for path in layers {
        unpack(path, &opt).map_err(|source| Error::Layer { path: path.clone(), source })?;
    }
    // User-mode emulation of a launcher does not extend to the agent that it executes.
    emulator::let_others_execute(&opt.join(places::AGENT)).map_err(Error::Opt)?;
    Ok(Some(LayerContents { opt, _home: home }))
}

fn unpack(layer: &Path, opt: &Path) -> Result<(), archive::Error> {
    let failed = |path: PathBuf, source| archive::Error::File { path, source };
    if layer.is_dir() {
        return tree::copy(layer, opt).map_err(|(path, source)| failed(path, source));
    }
    archive::unpack(&files::read(layer).map_err(|source| failed(layer.to_owned(), source))?, opt)
}

/// The `/opt` directory of a container image, used in place.
pub(super) fn of_image(opt: &Path) -> Result<PathBuf, Error> {
    let found = target::found(opt, "name what a function has in /opt")?;
    if found.is_dir() { Ok(found) } else { Err(Error::NoOpt(opt.to_owned())) }
}

/// The extensions: every file in `extensions`, by name. A layer need not have any. Returns an error if the directory of an image has none, because a run without
/// an extension was not asked for, if a layer has them where Lambda does not look, and if a layer of ours has lost its own: another build would be run in its place.
pub(super) fn extensions(opt: &Path, of_image: bool) -> Result<Vec<Extension>, Error> {
    let files = files(&opt.join(places::EXTENSIONS)).map_err(Error::Opt)?;
    if opt.join(places::MANIFEST).exists() && !opt.join(places::EXTENSION).exists() {
        return Err(Error::LostExtension);
    }
    if files.is_empty() && (of_image || has_nested_extensions(opt)) {
        return Err(Error::NothingToStart { what: if of_image { "the directory" } else { "the layer" } });
    }
    let name = |file: &Path| file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(files.into_iter().map(|file| Extension::new(name(&file), file)).collect())
}

/// Whether the extensions are one directory too deep, as in a zip file of the layer's directory.
fn has_nested_extensions(opt: &Path) -> bool {
    let entries = fs::read_dir(opt).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join(places::EXTENSIONS)).any(|nested| nested.is_dir())
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let files = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = files.collect::<io::Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}
