//! Whether the state can be written: for the log, and for whoever asks whether the service is ready.
//!
//! Everything that writes tries again by itself, and each part only knows that it waits. What they all wait for is
//! found out here and told once, with what to do about it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use store::{Clock, Store, StoreErrorKind};
use tokio::sync::watch;

use super::journal::duration;
use crate::{config::Config, failure};

/// What is written to find out: nobody needs it.
const LEASE: &str = "state";
const HOLDER: &str = "letta-matrix";

/// How often it is found out, while all is well and while it is not.
const EVERY: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(2);

/// Finds out whether the state can be written.
#[derive(Debug)]
pub(super) struct StateWatch {
    config: Arc<Config>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    trouble: watch::Sender<Option<String>>,
    /// What was told in the present outage: a state that many wait for is locked and out of reach by turns.
    told: BTreeSet<&'static str>,
}

impl StateWatch {
    pub(super) fn new(config: Arc<Config>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            config,
            store,
            clock,
            trouble: watch::Sender::new(None),
            told: BTreeSet::new(),
        }
    }

    /// Why the state cannot be written, in words for everybody; `None` while it can.
    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Goes on until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            self.find_out().await;
            let began = self.clock.now();
            while self.trouble.borrow().is_some() {
                tokio::time::sleep(AGAIN).await;
                self.find_out().await;
                if self.trouble.borrow().is_none() {
                    let lasted = self.clock.now().duration_since(began).unsigned_abs();
                    tracing::info!("the state can be written again after {}", duration(lasted));
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn find_out(&mut self) {
        let written = self
            .store
            .acquire_lease(LEASE, HOLDER, self.clock.now(), Duration::ZERO)
            .await;
        let Err(error) = written else {
            self.trouble.send_replace(None);
            self.told.clear();
            return;
        };
        let words = words(error.kind());
        self.trouble.send_replace(Some(words.to_owned()));
        if !self.told.insert(words) {
            return;
        }
        let failure = failure::of_store(&error, &self.config);
        tracing::warn!(
            "{}. {} Until then messages wait, and none is lost; the log tells when it works again",
            failure.reason(),
            failure.what_to_do().unwrap_or_default()
        );
    }
}

/// Without names: anybody may ask.
fn words(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Full => "the state cannot be written: its disk is full",
        StoreErrorKind::Busy => "the state cannot be written: another program keeps it locked",
        _ => "the state cannot be written",
    }
}
