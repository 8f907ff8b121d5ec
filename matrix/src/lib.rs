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
//!
//! The modules in layers, the lowest first; a module imports those of lower layers alone:
//!
//! - Base: `elf` (ELF files), `executable` (writes and runs programs), `files` (atomic writes), `hash` (SHA-256), `interrupt` (Ctrl-C), `markup` (HTML pages),
//!   `sample_events` (an event of each service), `target` (processor and C library), `terminal` (output and exit statuses).
//! - `archive` (zip files), `emulator` (programs for another processor), `workspace` (sources and cargo); `venv` (virtual environments of Python).
//! - `manifest` (switches and sets), `materials` (packages and licences of a program), `sandbox` (the local Lambda).
//! - `plan` (cells and conditions), `flavour` (build flavours), `build` (programs of cells).
//! - `invoke` (runs a function), `layer` (Lambda layers), `inspect` (checks layers and programs), `measure` (cold starts).
//! - `analyze` (effects), `merge` (shards), `estimate` (duration and detectable effect of a plan), `report` (tables and charts), `gate` (verdict against budgets).
//! - `fips_report` (proofs of a FIPS build), `commands` (the command line).

pub mod elf;
pub mod executable;
pub mod files;
pub mod hash;
pub mod interrupt;
mod markup;
pub mod sample_events;
pub mod target;
pub mod terminal;

pub mod archive;
pub mod emulator;
pub mod venv;
pub mod workspace;

pub mod manifest;
pub mod materials;
pub mod sandbox;

pub mod build;
pub mod flavour;
pub mod plan;

pub mod inspect;
pub mod invoke;
pub mod layer;
pub mod measure;

pub mod analyze;
pub mod estimate;
pub mod gate;
pub mod merge;
pub mod report;

pub mod commands;
pub mod fips_report;

#[cfg(test)]
mod test_arguments;
