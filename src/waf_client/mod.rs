//! The client of the WAF worker: starts, supervises and queries it.
//!
//! The worker is a process of its own beside the agent (`crates/waf`), because the agent may be a static program, which can load no library, and because a library that parses
//! what attackers send must not be able to end the extension. It may die, hang or answer nonsense: a request is then not evaluated, and nothing else changes.
//!
//! One of two variants is compiled, selected by the switch `appsec`.

#[cfg(not(feature = "appsec"))]
mod disabled;
#[cfg(feature = "appsec")]
mod enabled;

#[cfg(not(feature = "appsec"))]
pub use disabled::Waf;
#[cfg(feature = "appsec")]
pub use enabled::Waf;
