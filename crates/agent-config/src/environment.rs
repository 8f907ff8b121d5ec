//! Selects the environment variables that set a key.

use std::ffi::OsStr;

use super::keys::{Scope, all};

/// A variable that sets a key.
pub(super) struct Variable<V> {
    /// Index into the table of keys.
    pub(super) key: usize,
    pub(super) prefix: Prefix,
    pub(super) value: V,
}

/// Prefix of a variable, in order of precedence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Prefix {
    Dd,
    Datadog,
    None,
}

impl Prefix {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Dd => "DD_",
            Self::Datadog => "DATADOG_",
            Self::None => "",
        }
    }
}

/// The variables that set a key, found in one pass. For all others, only the first bytes of the name are compared.
pub(super) fn relevant<V>(environment: impl IntoIterator<Item = (impl AsRef<OsStr>, V)>) -> Vec<Variable<V>> {
    let find = |name: &OsStr| {
        let (prefix, rest) = split(name)?;
        let scope = if prefix == Prefix::None { Scope::Shared } else { Scope::Datadog };
        let key = all().position(|key| key.scope == scope && key.name.eq_ignore_ascii_case(rest))?;
        Some((key, prefix))
    };
    environment
        .into_iter()
        .filter_map(|(name, value)| find(name.as_ref()).map(|(key, prefix)| Variable { key, prefix, value }))
        .collect()
}

/// A name without its prefix; `None` for a name that no key can have.
pub(super) fn split(name: &OsStr) -> Option<(Prefix, &str)> {
    let name = name.to_str()?;
    for prefix in [Prefix::Dd, Prefix::Datadog] {
        let length = prefix.text().len();
        if let (Some(start), Some(rest)) = (name.get(..length), name.get(length..))
            && start.eq_ignore_ascii_case(prefix.text())
        {
            return Some((prefix, rest));
        }
    }
    Some((Prefix::None, name))
}
