//! What the extension does to a function that uses it: metrics, logs and spans per second, memory, CPU time, the time that an invocation waits for a flush, and what the WAF
//! worker and the Runtime API proxy add to it.
//!
//! Each number stands beside a yardstick that was measured in the same run, in turns with it, because the machine's own speed cancels out of the ratio.
//! `cargo bench --profile release --bench load` measures what is shipped and prints the page; `-- --record` writes it to `docs/benchmarks.md`, and
//! `-- --quick` only shows that everything works.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on has nothing to say, and its numbers are small"
)]

mod contexts;
mod dogstatsd;
mod https;
mod invocation;
mod lambda;
mod logs;
mod page;
mod proxy;
mod queued_spans;
mod random;
mod spans;
mod traces;
mod waf;
mod waf_files;
mod waf_start;

use std::{path::Path, process::ExitCode};

use bottlecap::os::allocator::keep_free_memory;

/// How long to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Until the numbers stand still.
    Whole,
    /// Until it is plain that everything works.
    Quick,
}

impl Effort {
    /// As many as are needed, or as few as can be.
    pub fn of(self, whole: usize, quick: usize) -> usize {
        if self == Self::Whole { whole } else { quick }
    }
}

fn main() -> ExitCode {
    // As the extension does, whichever sections are measured.
    keep_free_memory();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let asks = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if let Some(offered) = arguments.iter().find_map(|argument| argument.strip_prefix(contexts::FLAG)) {
        contexts::child(offered.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if let Some(body) = arguments.iter().find_map(|argument| argument.strip_prefix(queued_spans::FLAG)) {
        queued_spans::child(body);
        return ExitCode::SUCCESS;
    }
    if let Some(rounds) = arguments.iter().find_map(|argument| argument.strip_prefix(waf_start::FLAG)) {
        waf_start::child(rounds.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if let Some(evaluation) = arguments.iter().find_map(|argument| argument.strip_prefix(waf::FLAG)) {
        waf::child(evaluation);
        return ExitCode::SUCCESS;
    }
    let wanted = arguments.iter().find_map(|argument| argument.strip_prefix("--only="));
    let effort = if asks("--quick") { Effort::Quick } else { Effort::Whole };
    if asks("--record") && (effort == Effort::Quick || cfg!(debug_assertions) || wanted.is_some()) {
        eprintln!(
            "error: only a whole run of what is shipped can be recorded: cargo bench --profile release --bench load -- --record"
        );
        return ExitCode::from(2);
    }
    let named = [
        ("dogstatsd", dogstatsd::measure as fn(Effort) -> page::Section),
        ("logs", logs::measure),
        ("traces", traces::measure),
        ("spans", spans::measure),
        ("queued-spans", queued_spans::measure),
        ("contexts", contexts::measure),
        ("invocation", invocation::measure),
        ("waf-start", waf_start::measure),
        ("waf", waf::measure),
        ("proxy", proxy::measure),
    ];
    let measures = named.into_iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
    let sections: Vec<_> =
        measures.map(|(_, measure)| measure(effort)).inspect(|section| println!("{section}")).collect();
    if asks("--record") {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
        std::fs::write(&file, page::whole(&sections)).unwrap();
        eprintln!("recorded in {}", file.display());
    }
    ExitCode::SUCCESS
}
