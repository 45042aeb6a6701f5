//! Which logs are followed: what the operator names and what nginx's configuration names, whichever of them changes.

use std::sync::{Arc, Mutex, PoisonError};

use super::survey::patterns;
use crate::config::Config;
use crate::inputs::log::follow::Follower;

/// Tells the follower its patterns.
#[derive(Debug)]
pub(super) struct Logs {
    follower: Arc<Follower>,
    named: Mutex<Named>,
}

#[derive(Debug)]
struct Named {
    config: Config,
    discovered: Vec<String>,
}

impl Logs {
    /// The follower was started with the patterns of these.
    pub(super) fn new(follower: Arc<Follower>, config: Config, discovered: Vec<String>) -> Self {
        Self { follower, named: Mutex::new(Named { config, discovered }) }
    }

    /// The configuration was read again.
    pub(super) fn configured(&self, config: &Config) {
        self.change(|named| named.config = config.clone());
    }

    /// nginx's configuration names these now.
    pub(super) fn discovered(&self, logs: &[String]) {
        self.change(|named| named.discovered = logs.to_vec());
    }

    fn change(&self, change: impl FnOnce(&mut Named)) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let before = patterns(&named.config, &named.discovered);
        change(&mut named);
        let now = patterns(&named.config, &named.discovered);
        if now != before {
            self.follower.update(now);
        }
    }
}
