//! `cargo matrix list`: lists factors and sets.

use std::process::ExitCode;

use clap::Args;

use crate::manifest::Manifest;
use crate::terminal;

const AFTER: &str = "\
Examples:
  cargo matrix list
  cargo matrix list --json | jq '.factor[] | select(.status == \"candidate\") | .name'

Exit status:
  0  done
  2  the command line is wrong";

/// List every factor and every named set
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Print the manifest as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    let manifest = match Manifest::embedded() {
        Ok(manifest) => manifest,
        Err(error) => return terminal::exit_with_error(error, terminal::SETUP_FAILED),
    };
    if arguments.json {
        return terminal::print_json(manifest);
    }
    terminal::print(&text(manifest));
    ExitCode::SUCCESS
}

fn text(manifest: &Manifest) -> String {
    let mut lines = vec![row("FACTOR", "TIER", "KIND", "GATES", "STATUS", "LEVELS")];
    for factor in &manifest.factors {
        let gates: Vec<String> = factor.gates.iter().map(ToString::to_string).collect();
        let levels: Vec<&str> = factor.levels().iter().map(|level| level.name).collect();
        let [tier, kind, status] = [factor.tier.to_string(), factor.kind.to_string(), factor.status.to_string()];
        let mut about = vec![row(&factor.name, &tier, &kind, &gates.join("+"), &status, &levels.join(" | "))];
        about.push(format!("    {}", factor.hypothesis));
        for (word, choices) in
            [("requires", &factor.requires), ("conflicts", &factor.conflicts), ("subsumed by", &factor.subsumed_by)]
        {
            let names: Vec<String> = choices.iter().map(ToString::to_string).collect();
            if !names.is_empty() {
                about.push(format!("    {word} {}", names.join(", ")));
            }
        }
        for joint in &factor.beside {
            about.push(format!("    requires {} beside {}: {}", joint.requires, joint.choice, joint.because));
        }
        for refused in &factor.refused {
            about.push(format!("    {} is refused: {}", refused.name, refused.reason));
        }
        lines.append(&mut about);
    }
    lines.push(String::new());
    for set in &manifest.sets {
        let choices: Vec<String> = set.choices.iter().map(ToString::to_string).collect();
        lines.push(format!("set {}: {}", set.name, choices.join(" ")));
        lines.push(format!("    {}", set.about));
    }
    lines.join("\n") + "\n"
}

fn row(name: &str, tier: &str, kind: &str, gates: &str, status: &str, levels: &str) -> String {
    format!("{name:<18} {tier:<4} {kind:<9} {gates:<15} {status:<10} {levels}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_factor_and_set_is_shown() {
        let manifest = Manifest::embedded().unwrap();
        let text = text(manifest);
        for factor in &manifest.factors {
            assert!(text.lines().any(|line| line.starts_with(&format!("{} ", factor.name))), "{}", factor.name);
        }
        assert!(text.contains("opt-level          C    axis      register+ready  ship       z | s | 2 | 3"), "{text}");
        assert!(text.contains("\nset ship: "), "{text}");
    }
}
