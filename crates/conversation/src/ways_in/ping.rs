//! Asking the homeserver for what it has queued.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt;
use matrix_client::{Appservice, MatrixApi, MatrixError, MatrixErrorKind, Session};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::Backoff;

/// How often it is asked while all is well. Covers outages that nobody saw: the homeserver itself waits up to eight and
/// a half minutes before it tries again.
const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Sees to it that the homeserver delivers at once what it has queued for the application service: at the start, after
/// an outage, and every ten minutes.
///
/// What is wrong is logged once, and once more when it is over.
#[derive(Debug)]
pub struct PingKeeper {
    matrix: Arc<dyn MatrixApi>,
    session: Session,
    appservice_id: String,
    backoff: Backoff,
    nudges: Arc<Notify>,
}

/// Asks for a ping, see [`PingKeeper::nudge`].
#[derive(Debug, Clone)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Pings now: the homeserver was away and is there again. Several at once make one ping.
    pub fn nudge(&self) {
        self.0.notify_one();
    }
}

impl PingKeeper {
    /// A keeper for this application service. Without success it is tried again with these waits.
    pub fn new(matrix: Arc<dyn MatrixApi>, appservice: &Appservice, backoff: Backoff) -> Self {
        Self {
            matrix,
            session: appservice.sender_session(),
            appservice_id: appservice.id.clone(),
            backoff,
            nudges: Arc::default(),
        }
    }

    /// A handle that asks for a ping.
    #[must_use]
    pub fn nudge(&self) -> Nudge {
        Nudge(Arc::clone(&self.nudges))
    }

    /// Pings until `stop` is ready. The endpoint should be served by now.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&self) {
        let mut outage: Option<Outage> = None;
        loop {
            let answer = self
                .matrix
                .ping_appservice(&self.session, &self.appservice_id, None)
                .await;
            let wait = match answer {
                Ok(duration) => {
                    if let Some(outage) = outage.take() {
                        let lasted = outage.since.elapsed();
                        tracing::info!(?lasted, "the homeserver reaches the bridge again");
                    }
                    tracing::debug!(?duration, "the homeserver reaches the bridge");
                    INTERVAL
                }
                Err(error) => {
                    let trouble = Trouble::of(&error);
                    let outage = outage.get_or_insert_with(Outage::begin);
                    match trouble {
                        // Whoever syncs tells that the homeserver is away.
                        Trouble::Silent => tracing::debug!(%error, "{trouble}"),
                        _ if outage.is_news(trouble) => tracing::warn!(%error, "{trouble}"),
                        _ => {}
                    }
                    outage.failures = outage.failures.saturating_add(1);
                    match trouble {
                        Trouble::NoUrl | Trouble::Unsupported => INTERVAL,
                        Trouble::Unreachable | Trouble::Refused | Trouble::Silent => {
                            self.backoff.wait(outage.failures, error.retry_after())
                        }
                    }
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.nudges.notified() => {}
            }
            // The ping that comes now is for all who asked until now.
            let _ = self.nudges.notified().now_or_never();
        }
    }
}

struct Outage {
    since: Instant,
    failures: u32,
    told: Vec<Trouble>,
}

impl Outage {
    fn begin() -> Self {
        Self {
            since: Instant::now(),
            failures: 0,
            told: Vec::new(),
        }
    }

    /// Whether it was not told yet.
    fn is_news(&mut self, trouble: Trouble) -> bool {
        let is_news = !self.told.contains(&trouble);
        if is_news {
            self.told.push(trouble);
        }
        is_news
    }
}

/// What is wrong, in terms of what is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Unreachable,
    NoUrl,
    Unsupported,
    Refused,
    Silent,
}

impl Trouble {
    fn of(error: &MatrixError) -> Self {
        match error.kind() {
            _ if error.errcode() == Some("M_URL_NOT_SET") => Self::NoUrl,
            MatrixErrorKind::AppservicePing { .. } => Self::Unreachable,
            MatrixErrorKind::Unrecognized | MatrixErrorKind::NotFound => Self::Unsupported,
            MatrixErrorKind::Forbidden
            | MatrixErrorKind::Unauthorized { .. }
            | MatrixErrorKind::MissingToken => Self::Refused,
            _ => Self::Silent,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => {
                "the homeserver cannot reach the bridge, and no message comes in: `url` in the registration file must \
                 lead from the homeserver to the address that the bridge listens on (LETTA_MATRIX_LISTEN)"
            }
            Self::NoUrl => {
                "the homeserver pushes no messages: `url` in the registration file is null. It must lead to the address \
                 that the bridge listens on (LETTA_MATRIX_LISTEN)"
            }
            Self::Unsupported => {
                "the homeserver cannot be asked for what it has queued (it knows no ping). After an outage it may take \
                 minutes before it tries again by itself"
            }
            Self::Refused => {
                "the homeserver refuses to ping: `id` and `as_token` of its registration file must be ours \
                 (MATRIX_AS_TOKEN)"
            }
            Self::Silent => "the homeserver cannot be asked for what it has queued",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_that_is_wrong_is_told_once() {
        let mut outage = Outage::begin();
        let troubles = [
            Trouble::Silent,
            Trouble::Unreachable,
            Trouble::Silent,
            Trouble::Unreachable,
        ];
        assert_eq!(
            troubles.map(|trouble| outage.is_news(trouble)),
            [true, true, false, false]
        );
    }

    #[test]
    fn what_is_wrong_names_the_setting() {
        let unreachable = MatrixError::from_matrix(502, "M_CONNECTION_FAILED", "refused");
        for (error, part) in [
            (unreachable, "LETTA_MATRIX_LISTEN"),
            (MatrixError::from_matrix(502, "M_BAD_STATUS", "404"), "`url`"),
            (
                MatrixError::from_matrix(400, "M_URL_NOT_SET", "no url"),
                "is null",
            ),
            (
                MatrixError::from_matrix(403, "M_FORBIDDEN", "no"),
                "MATRIX_AS_TOKEN",
            ),
            (
                MatrixError::from_matrix(401, "M_UNKNOWN_TOKEN", "no"),
                "MATRIX_AS_TOKEN",
            ),
            (
                MatrixError::from_matrix(404, "M_UNRECOGNIZED", "no"),
                "knows no ping",
            ),
            (
                MatrixError::new(MatrixErrorKind::Connect, "refused"),
                "cannot be asked",
            ),
        ] {
            let trouble = Trouble::of(&error).to_string();
            assert!(trouble.contains(part), "{part:?} is missing in {trouble:?}");
        }
    }
}
