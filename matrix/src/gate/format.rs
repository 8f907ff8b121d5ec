//! The formats of a decision.

use clap::ValueEnum;

/// A format of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for a terminal or a log.
    #[default]
    Text,
    /// A comment for a pull request.
    Markdown,
    /// The whole decision as JSON.
    Json,
    /// Annotations for GitHub Actions; with any other format they go to standard error if `GITHUB_ACTIONS` is `true`.
    Github,
}
