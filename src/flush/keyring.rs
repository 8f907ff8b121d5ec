//! The API key as long as the sandbox lives: asked for once, again after a pause if there was no answer, and again when it has got old.

use std::time::Duration;

use tokio::time::Instant;

use super::retry::BackOff;
use crate::{
    config::ApiKey,
    intake::key::{Error, Key, Resolver},
};

/// Knows the key, or when to ask for it. Its owner asks, one question at a time.
#[derive(Debug)]
pub struct Keyring {
    key: Option<ApiKey>,
    /// None: the key was given and stays.
    resolver: Option<Resolver>,
    /// When a key is old.
    reload: Option<Duration>,
    learned: Option<Instant>,
    asking: bool,
    back_off: BackOff,
}

impl Keyring {
    /// `reload`: how long a key that had to be asked for is used.
    pub fn new(key: Key, reload: Option<Duration>) -> Self {
        let (key, resolver) = match key {
            Key::Known(key) => (Some(key), None),
            Key::Secret(resolver) => (None, Some(resolver)),
        };
        Self { key, resolver, reload, learned: None, asking: false, back_off: BackOff::default() }
    }

    /// The key, if there is one. An old one is used until there is another.
    pub fn key(&self) -> Option<&ApiKey> {
        self.key.as_ref()
    }

    /// Whom to ask, if that makes sense now. The answer is owed then.
    pub fn ask(&mut self, now: Instant) -> Option<Resolver> {
        let resolver = self.resolver.as_ref()?;
        let old = || self.reload.zip(self.learned).is_some_and(|(reload, learned)| now - learned > reload);
        if self.asking || !self.back_off.is_over(now) || !(self.key.is_none() || old()) {
            return None;
        }
        self.asking = true;
        Some(resolver.clone())
    }

    /// Takes the answer. Without a new key the old one stays.
    pub fn answered(&mut self, now: Instant, answer: Result<ApiKey, Error>) {
        self.asking = false;
        match answer {
            Ok(key) => {
                self.key = Some(key);
                self.learned = Some(now);
                self.back_off.succeeded();
            }
            Err(error) => {
                // Every one would fill the customer's logs; the powers of two tell as much.
                if self.back_off.failed(now, None).is_power_of_two() {
                    log::error!("{error}");
                }
            }
        }
    }

    /// Whether there is no key although it has been asked for.
    pub fn is_failing(&self) -> bool {
        self.key.is_none() && self.back_off.is_failing()
    }

    /// The sandbox ends: there is no later.
    pub fn forget_pause(&mut self) {
        self.back_off.forget();
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

    fn secret(reload: Option<Duration>) -> Keyring {
        tls::install_provider();
        let http = HttpClient::build(&Config::default().http, &mut Vec::new()).unwrap();
        let aws = Aws::new(http.clone(), Config::default().aws);
        let function = Function { region: String::new(), name: String::new() };
        let datadog = Datadog { http, url: String::new() };
        Keyring::new(Key::Secret(Resolver::new(aws, datadog, Secret::Kms(String::new()), function)), reload)
    }

    #[test]
    fn a_key_that_was_given_is_never_asked_for() {
        let mut keyring = Keyring::new(Key::Known(key("k")), Some(RELOAD));
        assert_eq!(keyring.key(), Some(&key("k")));
        assert!(keyring.ask(Instant::now() + RELOAD * 100).is_none() && !keyring.is_failing());
    }

    #[test]
    fn one_question_at_a_time_and_no_other_after_the_answer() {
        let (mut keyring, now) = (secret(None), Instant::now());
        assert!(keyring.ask(now).is_some());
        assert!(keyring.ask(now).is_none());
        keyring.answered(now, Ok(key("k")));
        assert_eq!(keyring.key(), Some(&key("k")));
        assert!(keyring.ask(now + RELOAD * 100).is_none());
    }

    #[test]
    fn a_failure_is_followed_by_a_pause_and_another_question() {
        let (mut keyring, now) = (secret(None), Instant::now());
        keyring.ask(now);
        keyring.answered(now, Err(Error::Format));
        assert!(keyring.ask(now).is_none() && keyring.is_failing());
        assert!(keyring.ask(now + Duration::from_secs(1)).is_some());
        keyring.answered(now, Err(Error::Format));
        keyring.forget_pause();
        assert!(keyring.ask(now).is_some());
        keyring.answered(now, Ok(key("k")));
        assert!(!keyring.is_failing());
    }

    #[test]
    fn an_old_key_is_used_until_there_is_another() {
        let (mut keyring, now) = (secret(Some(RELOAD)), Instant::now());
        keyring.ask(now);
        keyring.answered(now, Ok(key("old")));
        assert!(keyring.ask(now + RELOAD).is_none());
        let later = now + RELOAD + Duration::from_secs(1);
        assert!(keyring.ask(later).is_some());
        keyring.answered(later, Err(Error::Format));
        assert_eq!(keyring.key(), Some(&key("old")));
        assert!(!keyring.is_failing(), "nothing is held up");
        assert!(keyring.ask(later + Duration::from_secs(1)).is_some());
        keyring.answered(later, Ok(key("new")));
        assert_eq!(keyring.key(), Some(&key("new")));
        assert!(keyring.ask(later + RELOAD).is_none());
    }
}
