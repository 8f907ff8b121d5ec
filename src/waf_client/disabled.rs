//! No WAF: settings that ask for one warn.

use std::{convert::Infallible, time::Duration};

use crate::{
    config::AppSec,
    process::appsec::{Addresses, Value, Versions},
};

/// A WAF that there is none of.
#[derive(Debug, Clone)]
pub struct Waf(Infallible);

impl Waf {
    /// None; warns if settings ask for it.
    pub fn start(settings: &AppSec) -> Option<Self> {
        if settings.enabled {
            tracing::warn!(
                "APPSEC | this build has no WAF, so requests are not evaluated for attacks; add the feature appsec"
            );
        }
        None
    }

    #[expect(clippy::unused_async, reason = "the other variant waits")]
    pub async fn until_ready(&self) {
        match self.0 {}
    }

    pub fn new_context(&self) -> u32 {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "the other variant waits")]
    pub async fn evaluate(&self, _: u32, _: Duration, _: Addresses) -> Option<Value> {
        match self.0 {}
    }

    pub fn close(&self, _: u32) {
        match self.0 {}
    }

    pub fn versions(&self) -> Versions {
        match self.0 {}
    }
}
