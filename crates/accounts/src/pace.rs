//! What holds logins back.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::AccountError;
use matrix_client::{MatrixError, MatrixErrorKind};
use ruma::UserId;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

/// How many logins of different users are under way at once. Checking a password is dear on purpose.
const LOGINS_AT_ONCE: usize = 4;

/// How many logins of a user may fail before there are pauses.
const FREE_TRIES: u32 = 2;

/// The first pause. Each following one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest time that one user's rate limit keeps the others waiting.
const LONGEST_SHARED_PAUSE: Duration = Duration::from_secs(60);

/// The longest time that the homeserver is given. What asks for more is broken.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// Why the last attempt to get a session failed.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    Matrix(MatrixError),
    Foreign,
}

impl Cause {
    pub(crate) fn into_error(self, user: &UserId) -> AccountError {
        match self {
            Self::Matrix(error) => AccountError::Matrix(error),
            Self::Foreign => AccountError::Foreign {
                user: user.to_owned(),
            },
        }
    }
}

/// The failed attempts of one user since the last success.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    logins: u32,
    not_before: Instant,
    cause: Cause,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            logins: 0,
            not_before: Instant::now(),
            cause: Cause::Matrix(cut_off()),
        }
    }
}

impl Trouble {
    /// Counts a login that begins now. Until it is known how it ended it counts as cut off: who gives up waiting for
    /// logins again and again must not cause ever more of them.
    pub(crate) fn begin_login(&mut self, longest: Duration) {
        self.logins += 1;
        self.fail(Cause::Matrix(cut_off()), longest);
    }

    /// How the attempt ended. The first logins may be tried again at once, later ones after growing pauses; what the
    /// homeserver asks for is waited in any case.
    pub(crate) fn fail(&mut self, cause: Cause, longest: Duration) {
        let grown = match self.logins.checked_sub(FREE_TRIES + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(20)).min(longest),
        };
        let asked = match &cause {
            Cause::Matrix(error) => error.retry_after().unwrap_or_default().min(LONGEST_ASKED),
            Cause::Foreign => Duration::ZERO,
        };
        self.not_before = Instant::now() + grown.max(asked);
        self.cause = cause;
    }

    /// Why the last attempt failed.
    pub(crate) fn cause(&self) -> Cause {
        match &self.cause {
            Cause::Matrix(error) if error.retry_after().is_some() => {
                let left = self.not_before.saturating_duration_since(Instant::now());
                let kind = MatrixErrorKind::LimitExceeded {
                    retry_after: Some(left),
                };
                let same = MatrixError::new(kind, error.message());
                Cause::Matrix(match error.call() {
                    Some(call) => same.with_call(call),
                    None => same,
                })
            }
            cause => cause.clone(),
        }
    }

    /// Whether it is too early for another login.
    pub(crate) fn is_pausing(&self) -> bool {
        Instant::now() < self.not_before
    }
}

/// What all logins go through.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Semaphore,
    closed_until: Mutex<Option<Instant>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(LOGINS_AT_ONCE),
            closed_until: Mutex::default(),
        }
    }
}

impl Gate {
    /// Waits for a turn. Fails while the homeserver wants no logins: it limits them by address, and does not tell that
    /// from a limit of a single account.
    pub(crate) async fn enter(&self) -> Result<SemaphorePermit<'_>, MatrixError> {
        let permit = self.permits.acquire().await;
        let now = Instant::now();
        if let Some(until) = *self.closed_until()
            && now < until
        {
            return Err(limited(until - now));
        }
        permit.map_err(|_| cut_off())
    }

    /// Lets nobody through for as long as the homeserver asks, a minute at most.
    pub(crate) fn close(&self, error: &MatrixError) {
        if let Some(wait) = error.retry_after() {
            let until = Instant::now() + wait.min(LONGEST_SHARED_PAUSE);
            let mut closed_until = self.closed_until();
            *closed_until = closed_until.max(Some(until));
        }
    }

    fn closed_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.closed_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn limited(left: Duration) -> MatrixError {
    let kind = MatrixErrorKind::LimitExceeded {
        retry_after: Some(left),
    };
    MatrixError::new(kind, "the homeserver limits logins").with_call("login")
}

fn cut_off() -> MatrixError {
    MatrixError::new(MatrixErrorKind::Interrupted, "the login was given up")
        .with_call("login")
        .with_may_have_applied(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(300);

    fn server_error() -> Cause {
        Cause::Matrix(MatrixError::new(MatrixErrorKind::Server, ""))
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_begin_with_the_third_failed_login_and_grow_to_the_longest() {
        let mut trouble = Trouble::default();
        let pauses: Vec<u64> = (0..12)
            .map(|_| {
                trouble.begin_login(LONGEST);
                trouble.fail(server_error(), LONGEST);
                (trouble.not_before - Instant::now()).as_secs()
            })
            .collect();
        assert_eq!(pauses, [0, 0, 5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_nobody_waits_for_counts_as_failed() {
        let mut trouble = Trouble::default();
        for _ in 0..2 {
            trouble.begin_login(LONGEST);
            assert!(!trouble.is_pausing());
        }
        trouble.begin_login(LONGEST);
        assert!(trouble.is_pausing());
    }

    #[tokio::test(start_paused = true)]
    async fn the_homeserver_is_given_the_time_it_asks_for() {
        let mut trouble = Trouble::default();
        trouble.begin_login(LONGEST);
        trouble.fail(Cause::Matrix(limited(Duration::from_secs(333))), LONGEST);
        tokio::time::advance(Duration::from_secs(332)).await;
        assert!(trouble.is_pausing());
        let Cause::Matrix(error) = trouble.cause() else {
            panic!("an error of the homeserver")
        };
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!trouble.is_pausing());
        trouble.fail(Cause::Matrix(limited(Duration::MAX)), LONGEST);
        tokio::time::advance(LONGEST_ASKED).await;
        assert!(!trouble.is_pausing());
    }

    #[tokio::test(start_paused = true)]
    async fn one_limit_holds_all_logins_back_for_a_minute_at_most() {
        let gate = Gate::default();
        gate.close(&limited(Duration::from_secs(333)));
        gate.close(&limited(Duration::from_secs(5)));
        let error = gate.enter().await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(gate.enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn few_logins_are_under_way_at_once() {
        let gate = Gate::default();
        let mut under_way = Vec::new();
        for _ in 0..LOGINS_AT_ONCE {
            under_way.push(gate.enter().await.unwrap());
        }
        let waiting = tokio::time::timeout(Duration::from_secs(1), gate.enter());
        assert!(waiting.await.is_err());
        under_way.pop();
        assert!(gate.enter().await.is_ok());
    }
}
