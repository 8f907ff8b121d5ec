//! Errors that keep a run from beginning.

use std::io;
use std::path::PathBuf;

use super::events;
use super::limits;
use super::template;
use crate::archive;
use crate::files::Overwrites;
use crate::sandbox::function::node;
use crate::venv;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read; {advice}", path.display())]
    Read { path: PathBuf, advice: &'static str, source: io::Error },
    #[error("{} is not a directory; name the directory of a function, or `null`", .0.display())]
    NotADirectory(PathBuf),
    #[error(
        "no handler was found in {}: there is no lambda_function.py, app.py, index.py or handler.py, no index.mjs or other file of a Node handler, and no \
         bootstrap; name a handler with --handler, or a program that speaks the Runtime API with --program",
        .0.display()
    )]
    NoHandler(PathBuf),
    #[error(
        "{} is a function in Java, as {file} shows, and Java's runtime client is not here; a program that speaks the Runtime API runs with --program",
        directory.display()
    )]
    Java { directory: PathBuf, file: String },
    #[error(
        "{} is a function that is a program of its own, as {reason} shows, and there is no bootstrap in it; build it, and name the program with --program",
        directory.display()
    )]
    NotBuilt { directory: PathBuf, reason: String },
    #[error(
        "the handler is one in {language}, which the runtime {wanted} does not run; name one of that language with --runtime, or change the template's"
    )]
    OtherRuntime { wanted: String, language: &'static str },
    #[error("the handler \"{0}\" is not of the form module.function")]
    Handler(String),
    #[error("the handler \"{handler}\" needs {}, or the same of Node with .js, .mjs or .cjs, and neither exists", file.display())]
    NoModule { handler: String, file: PathBuf },
    #[error(
        "the handler \"{handler}\" needs a function that {} does not have{}",
        file.display(),
        if functions.is_empty() { "; it has none with an event and a context".to_owned() } else { format!("; it has {}", functions.join(", ")) }
    )]
    NoFunction { handler: String, file: PathBuf, functions: Vec<String> },
    #[error("{}: line {number} is not NAME=VALUE", path.display())]
    EnvironmentFile { path: PathBuf, number: usize },
    #[error(transparent)]
    Template(#[from] template::Error),
    #[error("--function names a function of a template, and {} has none; name one with --template", .0.display())]
    NoTemplate(PathBuf),
    #[error("the template {} cannot be used: the {setting} of {function} is wrong", template.display())]
    Setting { template: PathBuf, function: String, setting: &'static str, source: limits::Refusal },
    #[error(
        "the code of {function} is {} by the template {}, and that is not there; build the function (`sam build` makes a template for what it builds), or change the \
         template",
        path.display(),
        template.display()
    )]
    MissingCode { path: PathBuf, function: String, template: PathBuf },
    #[error(
        "the code of {function} is {} by the template {}, which is a file; unpack it into a directory, and name that in the template",
        path.display(),
        template.display()
    )]
    PackedCode { path: PathBuf, function: String, template: PathBuf },
    #[error(transparent)]
    Variables(#[from] limits::Refusal),
    #[error("the event has {bytes} bytes; Lambda accepts {limit}")]
    LargeEvent { bytes: usize, limit: usize },
    #[error("{} cannot be run: {reason}; it has to be an executable file (chmod +x)", path.display())]
    Program { path: PathBuf, reason: String },
    #[error(
        "{} cannot be run: its first line ends with a carriage return, which becomes part of the interpreter's name; save it with Unix line ends",
        .0.display()
    )]
    WindowsInterpreter(PathBuf),
    #[error("the layer {} cannot be used", path.display())]
    Layer { path: PathBuf, source: archive::Error },
    #[error("a function has at most {} layers", archive::limits::LAYERS)]
    TooManyLayers,
    #[error("{} is not a directory; name what a function has in /opt, such as the directory `opt` of an unpacked container image", .0.display())]
    NoOpt(PathBuf),
    #[error(
        "{what} has no extension: Lambda starts the files in extensions/, and there is none; give the directory or the zip file that has extensions/ at its top"
    )]
    NothingToStart { what: &'static str },
    #[error(
        "the layer has a manifest of bottlecap and no {}, which Lambda would start; make it again with `cargo matrix layer`",
        archive::places::EXTENSION
    )]
    LostExtension,
    #[error("the layers cannot be laid out")]
    Opt(#[source] io::Error),
    #[error("--{option} says nothing about the null function")]
    NullOption { option: &'static str },
    #[error(transparent)]
    Overwrites(#[from] Overwrites),
    #[error("cannot write the page to {}", path.display())]
    Html { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Event(#[from] events::Error),
    #[error(transparent)]
    Python(#[from] venv::Error),
    #[error(transparent)]
    Node(#[from] node::Error),
    #[error("cargo cannot be started; install Rust from https://rustup.rs, or name a built extension with --extension")]
    NoCargo(#[source] io::Error),
    #[error(
        "bottlecap could not be built; name a built one with --extension, or run without it with --no-extension\n{0}"
    )]
    Build(String),
}

impl Error {
    /// Whether another command line, as opposed to another machine, would resolve the error.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Read { .. }
            | Self::MissingCode { .. }
            | Self::Opt(_)
            | Self::Html { .. }
            | Self::Python(_)
            | Self::Node(_)
            | Self::NoCargo(_)
            | Self::Build(_)
            | Self::Template(template::Error::Read { .. }) => false,
            Self::Event(error) => error.is_usage(),
            Self::Layer { source, .. } => !matches!(source, archive::Error::File { .. }),
            _ => true,
        }
    }
}
