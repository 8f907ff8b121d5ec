//! What there is to switch: `optimizations.toml`.
