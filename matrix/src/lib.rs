//! Which optimizations exist, what each is worth, and a local Lambda to find out in.
//!
//! ```text
//!   manifest ──▶ plan ──▶ build ──▶ measure ──▶ analyze ──▶ report
//!   what there   which    cells to  cold starts  effects     tables and
//!   is to switch cells    programs  in `sandbox` and doubt   pictures
//! ```
//!
//! `merge` puts together what several machines have measured, and `gate` holds what was found to budgets, for a merge.
//!
//! `invoke` uses the sandbox by itself: a function, the extension, and what would reach Datadog. `layer` makes of a cell what is published to Lambda,
//! and `inspect` says what somebody else has made. `fips-report` shows of a build with a validated cryptographic module what can be shown of it.

pub mod analyze;
pub mod bench;
pub mod build;
pub mod cli;
pub mod compare;
pub mod emulator;
pub mod executable;
pub mod files;
pub mod fips_report;
pub mod flavour;
pub mod gate;
mod help;
pub mod inspect;
pub mod interrupt;
pub mod invoke;
pub mod layer;
pub mod manifest;
pub mod measure;
pub mod merge;
pub mod plan;
pub mod report;
pub mod sandbox;
pub mod venv;
pub mod workspace;
