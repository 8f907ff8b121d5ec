//! The API key cache: resolves the key once, retries after a backoff if that failed, and resolves it again when it has expired.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use crate::{
    config::ApiKey,
    intake::key::{Error, Key, Resolver},
    os::error::chain,
};

/// The API key, or the state of resolving it. The owner runs the resolver, one request at a time.
#[derive(Debug)]
pub struct ApiKeyCache {
    key: Option<ApiKey>,
    /// None if the key is configured in plain text and never expires.
    resolver: Option<Resolver>,
    /// Age at which a key expires.
    reload: Option<Duration>,
    learned: Option<Instant>,
    is_resolving: bool,
    backoff: Backoff,
}

impl ApiKeyCache {
    /// `reload`: age at which a resolved key expires.
    pub fn new(key: Key, reload: Option<Duration>) -> Self {
        let (key, resolver) = match key {
            Key::Plain(key) => (Some(key), None),
            Key::Secret(resolver) => (None, Some(resolver)),
        };
        Self { key, resolver, reload, learned: None, is_resolving: false, backoff: Backoff::default() }
    }

    /// The key, if there is one. An expired key stays in use until a new one is resolved.
    pub fn key(&self) -> Option<&ApiKey> {
        self.key.as_ref()
    }

    /// The resolver to run, if the key is missing or expired and no backoff or request is pending. The caller must report the result to
    /// [`Self::record`].
    pub fn start_resolving(&mut self, now: Instant) -> Option<Resolver> {
        let resolver = self.resolver.as_ref()?;
        let old = || self.reload.zip(self.learned).is_some_and(|(reload, learned)| now - learned > reload);
        if self.is_resolving || !self.backoff.is_ready(now) || !(self.key.is_none() || old()) {
            return None;
        }
        self.is_resolving = true;
        Some(resolver.clone())
    }

    /// Records the result. If it has no new key, the old one stays in use.
    pub fn record(&mut self, now: Instant, answer: Result<ApiKey, Error>) {
        self.is_resolving = false;
        match answer {
            Ok(key) => {
                self.key = Some(key);
                self.learned = Some(now);
                self.backoff.succeed();
            }
            Err(error) => {
                // Logging every failure would fill the customer's logs, so only the first, second, fourth and so on are logged.
                if self.backoff.fail(now, None).is_power_of_two() {
                    tracing::error!("{}{}", chain(&error), error.advice());
                }
            }
        }
    }

    /// Whether sending has to wait for a pending request. An expired key does not make sending wait.
    pub fn is_awaited(&self) -> bool {
        self.key.is_none() && self.is_resolving
    }

    /// Whether the last request failed.
    pub fn is_failing(&self) -> bool {
        self.backoff.is_failing()
    }

    /// Ends the backoff now, because the sandbox is about to end.
    pub fn reset_backoff(&mut self) {
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Secret},
        intake::{
            Aws, HttpClient,
            key::{Datadog, Function},
            tls,
        },
    };

    const RELOAD: Duration = Duration::from_mins(1);

    fn key(text: &str) -> ApiKey {
        ApiKey::clean(text).unwrap()
    }

    fn secret(reload: Option<Duration>) -> ApiKeyCache {
        tls::install_provider();
        let http = HttpClient::build(&Config::default().http, &mut Vec::new()).unwrap();
        let aws = Aws::new(http.clone(), Config::default().aws);
        let function = Function { region: String::new(), name: String::new() };
        let datadog = Datadog { http, url: String::new() };
        ApiKeyCache::new(Key::Secret(Resolver::new(aws, datadog, Secret::Kms(String::new()), function)), reload)
    }

    #[test]
    fn configured_api_key_is_never_resolved() {
        let mut cache = ApiKeyCache::new(Key::Plain(key("k")), Some(RELOAD));
        assert_eq!(cache.key(), Some(&key("k")));
        assert!(cache.start_resolving(Instant::now() + RELOAD * 100).is_none() && !cache.is_awaited());
    }

    #[test]
    fn one_question_at_a_time_and_no_other_after_the_answer() {
        let (mut cache, now) = (secret(None), Instant::now());
        assert!(cache.start_resolving(now).is_some());
        assert!(cache.start_resolving(now).is_none() && cache.is_awaited());
        cache.record(now, Ok(key("k")));
        assert_eq!(cache.key(), Some(&key("k")));
        assert!(cache.start_resolving(now + RELOAD * 100).is_none() && !cache.is_awaited());
    }

    #[test]
    fn a_failure_is_followed_by_a_pause_and_another_question() {
        let (mut cache, now) = (secret(None), Instant::now());
        cache.start_resolving(now);
        cache.record(now, Err(Error::Format));
        assert!(cache.start_resolving(now).is_none());
        assert!(cache.start_resolving(now + Duration::from_secs(1)).is_some());
        assert!(cache.is_awaited() && cache.is_failing());
        cache.record(now, Err(Error::Format));
        cache.reset_backoff();
        assert!(cache.start_resolving(now).is_some());
        cache.record(now, Ok(key("k")));
        assert!(!cache.is_awaited());
    }

    #[test]
    fn an_old_key_is_used_until_there_is_another() {
        let (mut cache, now) = (secret(Some(RELOAD)), Instant::now());
        cache.start_resolving(now);
        cache.record(now, Ok(key("old")));
        assert!(cache.start_resolving(now + RELOAD).is_none());
        let later = now + RELOAD + Duration::from_secs(1);
        assert!(cache.start_resolving(later).is_some());
        assert!(!cache.is_awaited(), "the old one is good enough");
        cache.record(later, Err(Error::Format));
        assert_eq!(cache.key(), Some(&key("old")));
        assert!(!cache.is_awaited(), "nothing is held up");
        assert!(cache.start_resolving(later + Duration::from_secs(1)).is_some());
        cache.record(later, Ok(key("new")));
        assert_eq!(cache.key(), Some(&key("new")));
        assert!(cache.start_resolving(later + RELOAD).is_none());
    }
}
