//! Whether a cell delivers what the reference delivers.

use super::blocks::Starts;

/// What a cell's starts say about what they delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// None has a digest: it is not ours, or was never started.
    Unknown,
    /// All agree.
    Always(String),
    /// They disagree, or only some have a digest.
    Differently,
}

impl Delivered {
    pub fn of(starts: Option<&Starts<'_>>) -> Self {
        let mut digests = starts.into_iter().flat_map(|starts| starts.good.values()).map(|start| start.digest.as_ref());
        let Some(first) = digests.next() else { return Self::Unknown };
        match (first, digests.all(|digest| digest == first)) {
            (_, false) => Self::Differently,
            (None, true) => Self::Unknown,
            (Some(digest), true) => Self::Always(digest.clone()),
        }
    }

    pub fn digest(self) -> Option<String> {
        match self {
            Self::Always(digest) => Some(digest),
            Self::Unknown | Self::Differently => None,
        }
    }

    /// Whether this must not be compared with `reference`. Programs that are not ours have no digest and may be.
    pub fn mismatches(&self, reference: &Self, is_ours: bool) -> bool {
        match (self, reference) {
            (Self::Differently, _) | (_, Self::Differently) => true,
            (Self::Always(one), Self::Always(other)) => one != other,
            (Self::Unknown, Self::Always(_)) => is_ours,
            (_, Self::Unknown) => false,
        }
    }
}
