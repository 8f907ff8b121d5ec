//! Every switch of this build, and the only place that asks whether a feature is on.
//!
//! A switch that changes behaviour is a constant here; a switch that changes which crates are present picks a file in the
//! `mod.rs` of its pair. Anywhere else a `cfg` on a feature is a bug, and `tests/house.rs` finds it.

/// One switch and its state in this binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// The Cargo feature's name.
    pub name: &'static str,
    /// Whether this binary was built with it.
    pub on: bool,
}

/// Mozilla's roots compiled in; off: the operating system's store, read when a client is built.
pub const WEBPKI_ROOTS: bool = cfg!(feature = "webpki-roots");

/// All switches, sorted by name.
pub const SWITCHES: &[Switch] = &[Switch { name: "webpki-roots", on: WEBPKI_ROOTS }];
