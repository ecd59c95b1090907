//! How a call goes through the server: faults, journal, effect.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use serde_json::Value;

use super::{
    FakeMatrix, Homeserver, Shared,
    failure::Failure,
    faults::{Asked, Verdict, is_write},
    journal::{Call, Outcome},
    refusal::Answer,
    requester::Credentials,
};
use crate::MatrixErrorKind;

/// A request as the journal and the faults see it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method of [`MatrixApi`](crate::MatrixApi) or [`SynapseAdminApi`](crate::SynapseAdminApi) that it is, or a
    /// name of its own.
    pub method: &'static str,
    /// Who asks.
    pub credentials: Credentials,
    /// The room it is about.
    pub room_id: Option<String>,
    /// What is asked, without passwords and tokens.
    pub arguments: Value,
}

impl Request {
    /// A request that needs no session.
    pub fn new(method: &'static str, arguments: Value) -> Self {
        Self {
            method,
            credentials: Credentials::default(),
            room_id: None,
            arguments,
        }
    }

    /// With a session.
    #[must_use]
    pub fn by(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// About a room.
    #[must_use]
    pub fn about(mut self, room_id: impl Into<String>) -> Self {
        self.room_id = Some(room_id.into());
        self
    }
}

/// A call that has begun.
pub(super) struct Begun {
    number: usize,
    after: Option<Failure>,
    /// Whether a room is only to be begun.
    pub(super) half_made: bool,
    cuts: u64,
}

impl FakeMatrix {
    /// Lets a request have its effect, unless a planned fault or an outage prevents it.
    ///
    /// # Errors
    /// The server's refusal, or what the fault plan has for this call.
    pub async fn run<T>(
        &self,
        request: Request,
        effect: impl FnOnce(&mut Homeserver) -> Answer<T>,
    ) -> Result<T, Failure> {
        let write = is_write(request.method);
        let begun = self.begin(request).await?;
        let answer = self.apply(effect);
        self.end(begun, write, answer).await
    }

    /// Records the call and lets planned faults strike that come before the effect.
    pub(super) async fn begin(&self, request: Request) -> Result<Begun, Failure> {
        let news = *self.shared.news.borrow();
        let (number, verdict) = self.record(&request);
        if news.down {
            self.journal().finish(number, Outcome::FailedBefore);
            return Err(Failure::silence(MatrixErrorKind::Connect));
        }
        for gate in &verdict.gates {
            gate.pass().await;
        }
        if verdict.delay > Duration::ZERO {
            tokio::time::sleep(verdict.delay).await;
        }
        let now = *self.shared.news.borrow();
        if let Some(failure) = verdict.before {
            self.journal().finish(number, Outcome::FailedBefore);
            return Err(failure);
        }
        if now.cuts != news.cuts {
            // The server went away while the request was under way; it never got to it.
            self.journal().finish(number, Outcome::FailedBefore);
            let failure = Failure::silence(MatrixErrorKind::Interrupted);
            return Err(failure.with_may_have_applied(is_write(request.method)));
        }
        Ok(Begun {
            number,
            after: verdict.after,
            half_made: verdict.half_made,
            cuts: news.cuts,
        })
    }

    fn record(&self, request: &Request) -> (usize, Verdict) {
        let (user, at) = {
            let server = self.server();
            (server.user_of(&request.credentials), server.clock.elapsed())
        };
        let arguments = request.arguments.to_string();
        let asked = Asked {
            method: request.method,
            user: user.as_deref(),
            room: request.room_id.as_deref(),
            arguments: &arguments,
        };
        let verdict = self.plan_lock().take(&asked);
        let number = self.journal().record(Call {
            method: request.method,
            user: user.and_then(|user| user.try_into().ok()),
            room: request.room_id.as_deref().and_then(|room| room.try_into().ok()),
            arguments: request.arguments.clone(),
            at,
            outcome: Outcome::Pending,
        });
        (number, verdict)
    }

    /// Lends the server out and tells everyone what is new.
    pub(super) fn apply<T>(&self, effect: impl FnOnce(&mut Homeserver) -> T) -> T {
        let (answer, due) = {
            let mut server = self.server();
            let profiles = server.propagate_due_profiles();
            let typing = server.end_typing();
            let answer = effect(&mut server);
            let next = server
                .profile_changes
                .iter()
                .map(|(time, _)| *time)
                .min()
                .or(profiles);
            (answer, [next, typing].into_iter().flatten().min())
        };
        self.announce();
        if due.is_some() {
            self.schedule();
        }
        answer
    }

    /// Reports the outcome and lets planned faults strike that come after the effect.
    pub(super) async fn end<T>(&self, begun: Begun, write: bool, answer: Answer<T>) -> Result<T, Failure> {
        let result = match (answer, begun.after) {
            (Ok(_), Some(failure)) => {
                self.journal().finish(begun.number, Outcome::FailedAfter);
                return Err(failure);
            }
            (Ok(value), None) => {
                self.journal().finish(begun.number, Outcome::Answered);
                Ok(value)
            }
            (Err(refusal), _) => {
                self.journal()
                    .finish(begun.number, Outcome::Refused(refusal.status));
                let unknown = write && refusal.status >= 500;
                Err(Failure::from(refusal).with_may_have_applied(unknown))
            }
        };
        if let Err(failure) = &result
            && failure.pause() > Duration::ZERO
        {
            tokio::time::sleep(failure.pause()).await;
        }
        result
    }

    /// Whether connections were cut since the call began.
    pub(super) fn was_cut(&self, begun: &Begun) -> bool {
        self.shared.news.borrow().cuts != begun.cuts
    }

    /// Does in the background what is due later: typing notices that end, member events that follow profiles.
    fn schedule(&self) {
        use std::sync::atomic::Ordering;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.shared.scheduled.swap(true, Ordering::SeqCst) {
            return;
        }
        let shared = Arc::downgrade(&self.shared);
        let mut news = self.shared.news.subscribe();
        runtime.spawn(async move {
            let _reset = ResetSchedule(Weak::clone(&shared));
            loop {
                news.borrow_and_update();
                let Some(wait) = do_what_is_due(&shared) else {
                    return;
                };
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    changed = news.changed() => if changed.is_err() { return },
                }
            }
        });
    }
}

/// Answers how long nothing is due, or nothing if nothing is to come.
fn do_what_is_due(shared: &Weak<Shared>) -> Option<Duration> {
    let shared = shared.upgrade()?;
    let (next, now) = {
        let mut server = shared.server();
        let next = [server.propagate_due_profiles(), server.end_typing()]
            .into_iter()
            .flatten()
            .min();
        (next, server.now_ms())
    };
    shared.announce();
    Some(Duration::from_millis(next?.saturating_sub(now).max(1)))
}

/// Also when the runtime goes away: the next one starts its own task.
struct ResetSchedule(Weak<Shared>);

impl Drop for ResetSchedule {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.scheduled.store(false, std::sync::atomic::Ordering::SeqCst);
        }
    }
}
