//! A local Lambda, and experiments that measure the effect of each optimization in it.
//!
//! ```text
//!   manifest ──▶ plan ──▶ build ──▶ measure ──▶ analyze ──▶ report
//!   factors      cells    programs  cold starts  effects     tables and
//!                                   in `sandbox` estimated   charts
//! ```
//!
//! `merge` merges the shards that several machines have measured, and `gate` judges the results against budgets.
//!
//! `invoke` uses the sandbox alone: it runs a function with the extension and shows what would reach Datadog. `layer` builds the Lambda layer of a cell, and
//! `inspect` checks any layer or program. `fips-report` reports the proofs of a FIPS build: of a program with
//! a build of the cryptographic module that was validated.

pub mod analyze;
pub mod archive;
pub mod build;
pub mod commands;
pub mod elf;
pub mod emulator;
pub mod executable;
pub mod files;
pub mod fips_report;
pub mod flavour;
pub mod gate;
pub mod hash;
pub mod inspect;
pub mod interrupt;
pub mod invoke;
pub mod layer;
pub mod manifest;
mod markup;
pub mod materials;
pub mod measure;
pub mod merge;
pub mod plan;
pub mod planning;
pub mod report;
pub mod sample_events;
pub mod sandbox;
pub mod target;
pub mod terminal;
pub mod venv;
pub mod workspace;
