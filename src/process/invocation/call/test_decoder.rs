//! A decoder of calls for tests.

use super::Decoder;
use crate::{
    config::Config,
    intake::tls::sha256,
    platform::environment::Environment,
    process::{propagation::Propagator, trigger},
};

/// A decoder with the default settings, whose ids are all 30.
pub fn decoder(capture_depth: Option<u32>) -> Decoder {
    let config = Config::default();
    let environment = Environment::read(|_| None);
    Decoder {
        capture_depth,
        triggers: trigger::Settings::new(&config, &environment, sha256),
        propagator: Propagator::new(config.propagation),
        random: || 30,
    }
}
