//! Every switch of this build, and the only place that asks whether a feature is on.
//!
//! A switch that changes behaviour is a constant or a type here; a switch that changes which crates are present picks a file in the
//! `mod.rs` of its pair. Anywhere else a `cfg` on a feature is a bug, and `tests/architecture.rs` finds it. What each switch is for and what it is worth
//! stands in `matrix/optimizations.toml`.

use crate::platform::{raw::RawTransport, reqwest_transport::ReqwestTransport};

/// One switch and its state in this binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// The Cargo feature's name.
    pub name: &'static str,
    /// Whether this binary was built with it.
    pub on: bool,
}

/// Declares a constant for each switch that changes behaviour, and the list of all of them.
macro_rules! switches {
    ($($(#[$about:meta])* $constant:ident = $name:literal;)*) => {
        $($(#[$about])* pub const $constant: bool = cfg!(feature = $name);)*

        /// All switches, sorted by name.
        pub const SWITCHES: &[Switch] = &[$(Switch { name: $name, on: $constant }),*];
    };
}

switches! {
    /// AWS's cryptography instead of ring's, where both are on.
    AWS_LC = "aws-lc";
    /// Ports are bound while the answer to the registration is on its way; off: where the services are built.
    BIND_FIRST = "bind-first";
    /// The telemetry subscription is on its way while the services are built; off: last.
    EARLY_SUBSCRIBE = "early-subscribe";
    /// AWS's cryptography in the version that holds a FIPS 140-3 certificate, before either of the others, and with the operating system's roots, whatever
    /// `webpki-roots` says.
    FIPS = "fips";
    /// Checkpoints of the start are stamped and written out on request.
    INIT_TRACE = "init-trace";
    /// jemalloc instead of the C library's allocator.
    JEMALLOC = "jemalloc";
    /// Async runtime, logger, settings and services come after the first request for an event, unless the sandbox is started ahead of its invocations. Needs
    /// `raw-control-plane`, without which it does nothing.
    LATE_RUNTIME = "late-runtime";
    /// The clients to Datadog are built in the background after the first request for an event, unless the sandbox is started ahead of its invocations; off:
    /// before it.
    LAZY_INTAKE = "lazy-intake";
    /// Subscription and first request for an event in one write. Needs `late-runtime`, without which it does nothing.
    PIPELINED_NEXT = "pipelined-next";
    /// Lambda's APIs over one plain socket; off: over the general HTTP client.
    RAW_CONTROL_PLANE = "raw-control-plane";
    /// Settings and clients are built while the answer to the registration is on its way; off: after it.
    REGISTER_OVERLAP = "register-overlap";
    /// ring's cryptography. A build needs this one, `aws-lc` or `fips`.
    RING = "ring";
    /// As many workers as the memory tier has CPUs; off: as many as are visible.
    RUNTIME_SIZING = "runtime-sizing";
    /// The function's tags are put together once; off: whenever they are needed.
    TAG_CACHE = "tag-cache";
    /// Mozilla's roots compiled in, unless `fips` is on; off: the operating system's store, read when a client is built.
    WEBPKI_ROOTS = "webpki-roots";
}

#[cfg(not(any(feature = "aws-lc", feature = "fips", feature = "ring")))]
compile_error!("TLS needs somebody's cryptography: the feature ring, aws-lc or fips");

// Cargo adds the default features, with ring and compiled-in roots, to whatever is asked for.
#[cfg(all(feature = "fips", any(feature = "ring", feature = "webpki-roots")))]
compile_error!(
    "a FIPS build has no other cryptography and no compiled-in roots, and the features ring or webpki-roots bring them: add --no-default-features"
);

/// Whether the order of birth is the short one.
pub const EARLY_NEXT: bool = LATE_RUNTIME && RAW_CONTROL_PLANE;

/// Whether the roots of trust are those that are compiled in.
pub const COMPILED_ROOTS: bool = WEBPKI_ROOTS && !FIPS;

/// Whether the C library is a part of this binary. No feature of Cargo's: the switch `static` is a flag of the compiler.
pub const STATIC: bool = cfg!(target_feature = "crt-static");

/// The way to the platform.
pub type ControlPlane = <If<RAW_CONTROL_PLANE> as Pick<RawTransport, ReqwestTransport>>::Out;

/// A switch as a type.
pub struct If<const ON: bool>;

/// Picks the first type if the switch is on, else the second.
pub trait Pick<A, B> {
    /// The one that was picked.
    type Out;
}

impl<A, B> Pick<A, B> for If<true> {
    type Out = A;
}

impl<A, B> Pick<A, B> for If<false> {
    type Out = B;
}
