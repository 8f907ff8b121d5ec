//! A decoder of calls for tests.

use super::Decoder;
use crate::{
    config::Config,
    intake::tls::sha256,
    platform::environment::Environment,
    process::{data_streams, propagation::Propagator, trigger},
};

/// A decoder with the default settings, whose ids are all 30.
pub fn decoder(capture_depth: Option<u32>) -> Decoder {
    let config = Config::default();
    let environment = Environment::read(|_| None);
    Decoder {
        capture_depth,
        triggers: trigger::Settings::new(&config, &environment, sha256),
        propagator: Propagator::new(config.propagation),
        streams: data_streams::Origin { service: "svc".to_owned(), env: String::new(), version: String::new(), sha256 },
        random: || 30,
    }
}
