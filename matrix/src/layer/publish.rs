//! The command that publishes a layer, as `cargo matrix layer` prints it.

use std::path::Path;

use serde_json::Value;

use super::contents::Contents;
use crate::workspace::sources;

/// The managed runtimes on Amazon Linux 2023, by <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>. `PublishLayerVersion` takes at most 15
/// and only filters lists of layers by them: a layer for Amazon Linux 2 works with the runtimes there, too. `ci/aws` holds them to AWS's own list.
pub const RUNTIMES: [&str; 14] = [
    "dotnet10",
    "dotnet8",
    "java21",
    "java25",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "provided.al2023",
    "python3.12",
    "python3.13",
    "python3.14",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
];

/// The licence of what is ours in a layer; those of everything else are in the layer.
const LICENCE: &str = env!("CARGO_PKG_LICENSE");

/// The longest name and the longest description that `PublishLayerVersion` takes, in characters.
const NAME: usize = 140;
const DESCRIPTION: usize = 256;

/// The command for the shell, over several lines. Region and credentials are those of the AWS CLI.
pub fn command(contents: &Contents, zip: &Path) -> String {
    let options = [
        ("--layer-name", layer_name(&contents.cell, &contents.flavour)),
        ("--description", quoted(&description(contents))),
        ("--license-info", quoted(LICENCE)),
        ("--compatible-architectures", contents.architecture.clone()),
        ("--compatible-runtimes", RUNTIMES.join(" ")),
        ("--zip-file", quoted(&format!("fileb://{}", zip.display()))),
    ];
    let options = options.iter().map(|(option, value)| format!(" \\\n  {option} {value}"));
    format!("aws lambda publish-layer-version{}", options.collect::<String>())
}

/// A name that says what the layer is, of the characters that Lambda takes: `bottlecap-ship-jemalloc-arm64` for `ship+jemalloc`.
pub fn layer_name(cell: &str, flavour: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    format!("bottlecap-{cell}-{flavour}").chars().map(plain).take(NAME).collect()
}

/// What tells one version of a layer from another: ours, and the commit that it was built from.
fn description(contents: &Contents) -> String {
    let version = contents.programs.values().find_map(|said| said.get("version").and_then(Value::as_str));
    let changes = sources::remark(contents.sources.changes.as_deref());
    let about =
        format!("bottlecap {} {} from {}{changes}", version.unwrap_or("?"), contents.cell, contents.sources.revision);
    about.chars().take(DESCRIPTION).collect()
}

/// One word of the shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+@%=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_shell_stays_one() {
        for word in ["plain/layer.zip", "my layer.zip", "it's", "$HOME/`a`", "", "*"] {
            let output = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))]).output();
            assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), word);
        }
        assert_eq!(quoted("fileb://target/layer.zip"), "fileb://target/layer.zip");
    }

    #[test]
    fn there_are_as_many_runtimes_as_lambda_takes() {
        assert!(RUNTIMES.len() <= 15 && RUNTIMES.is_sorted());
    }
}
