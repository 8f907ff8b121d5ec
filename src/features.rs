//! The switches of this build, and the only place that checks Cargo features.
//!
//! A switch that changes behaviour is a constant here. A switch that changes which crates are present selects a file in the `mod.rs` of its
//! pair. A `cfg` on a feature anywhere else is a bug, which `tests/architecture.rs` detects. `matrix/optimizations.toml` says what each switch is for
//! and what effect it has.

/// A switch and its state in this binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// The name of the Cargo feature.
    pub name: &'static str,
    /// Whether this binary was built with it.
    pub on: bool,
}

/// Declares a constant for each switch that changes behaviour, and a list of all switches.
macro_rules! switches {
    ($($(#[$about:meta])* $constant:ident = $name:literal;)*) => {
        $($(#[$about])* pub const $constant: bool = cfg!(feature = $name);)*

        /// All switches, sorted by name.
        pub const SWITCHES: &[Switch] = &[$(Switch { name: $name, on: $constant }),*];
    };
}

switches! {
    /// Evaluates requests for attacks, in a process of its own, where settings ask for it. Off: the settings warn.
    APPSEC = "appsec";
    /// Starts the WAF worker after the first next request, unless the sandbox is initialized ahead of its invocations. Off: the worker is ready before that request, if
    /// that is not in flight already.
    APPSEC_DEFER = "appsec-defer";
    /// Uses AWS-LC instead of ring if both are enabled.
    AWS_LC = "aws-lc";
    /// Binds ports while waiting for the register response. Off: when the services are built.
    BIND_FIRST = "bind-first";
    /// Subscribes to telemetry while the services are built. Off: after that.
    EARLY_SUBSCRIBE = "early-subscribe";
    /// Uses a build of AWS-LC's module in the version that was validated for FIPS 140-3, with precedence over the other providers, and the operating system's roots regardless of
    /// `webpki-roots`.
    FIPS = "fips";
    /// Records startup checkpoints and writes them on request.
    INIT_TRACE = "init-trace";
    /// Uses jemalloc instead of the C library's allocator.
    JEMALLOC = "jemalloc";
    /// Starts the async runtime, logger, settings and services after the first next request, unless the sandbox is initialized ahead of its
    /// invocations. Requires `raw-control-plane`, without which it has no effect.
    LATE_RUNTIME = "late-runtime";
    /// Builds the clients for Datadog in the background after the first next request, unless the sandbox is initialized ahead of its invocations.
    /// Off: before it.
    LAZY_INTAKE = "lazy-intake";
    /// Receives spans over OTLP where settings ask for it. Off: its ports refuse connections, and the settings warn.
    OTLP = "otlp";
    /// Sends the subscription and the first next request in one write. Requires `late-runtime`, without which it has no effect.
    PIPELINED_NEXT = "pipelined-next";
    /// Calls Lambda's APIs over one plain socket. Off: over the general HTTP client.
    RAW_CONTROL_PLANE = "raw-control-plane";
    /// Loads settings and builds clients while waiting for the register response. Off: after it.
    REGISTER_OVERLAP = "register-overlap";
    /// Uses ring. A build needs this switch, `aws-lc` or `fips`.
    RING = "ring";
    /// Runs as many worker threads as the memory tier has CPUs. Off: as many as there are visible CPUs.
    RUNTIME_SIZING = "runtime-sizing";
    /// Builds the function's tags once. Off: each time they are needed.
    TAG_CACHE = "tag-cache";
    /// Compiles in Mozilla's roots, unless `fips` is on. Off: reads the operating system's store when a client is built.
    WEBPKI_ROOTS = "webpki-roots";
}

#[cfg(not(any(feature = "aws-lc", feature = "fips", feature = "ring")))]
compile_error!("TLS needs a cryptography provider: enable the feature ring, aws-lc or fips");

// Cargo adds the default features, which include ring and compiled-in roots, to the requested ones.
#[cfg(all(feature = "fips", any(feature = "ring", feature = "webpki-roots")))]
compile_error!(
    "the feature fips excludes ring and webpki-roots, which the default features enable: add --no-default-features"
);

/// Whether startup uses the early-next order.
pub const EARLY_NEXT: bool = LATE_RUNTIME && RAW_CONTROL_PLANE;

/// Whether the trusted roots are compiled in.
pub const COMPILED_ROOTS: bool = WEBPKI_ROOTS && !FIPS;

/// Whether the binary is linked statically. The switch `static` is a compiler flag, not a Cargo feature.
pub const STATIC: bool = cfg!(target_feature = "crt-static");
