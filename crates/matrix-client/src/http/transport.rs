//! Sends requests: authority, timeouts, retries, counting.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http::header;
use ruma::UserId;
use ruma::api::{
    AppserviceUserIdentity, IncomingResponse, OutgoingRequest, OutgoingRequestExt, SupportedVersions,
    auth_scheme::{AuthScheme, SendAccessToken},
    path_builder::PathBuilder,
};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tracing::{Instrument, Span};
use url::Url;

use super::{
    HttpMatrix,
    gate::{Gates, Key, TooLate, Turn, in_turn},
    reply::{Reply, authority, from_reqwest, outcome_unknown, redirected},
    retry::{Effect, RetryPolicy, may_send_again},
};
use crate::{Authority, MatrixError, MatrixErrorKind, Result, Session};

/// One call of the API.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
    pub(super) timeout: Option<Duration>,
    pub(super) max_body: Option<u64>,
    /// A 401 is an answer that the caller reads (a step of user-interactive authentication).
    pub(super) accepts_401: bool,
    /// What is acted on, where servers limit how often that is done to the same one, whoever does it.
    pub(super) subject: Option<String>,
    pub(super) span: Span,
}

/// A [`Call`] with its span. The span's name must be known at compile time.
macro_rules! call {
    ($name:literal, $effect:ident) => {
        $crate::http::transport::Call {
            name: $name,
            effect: $crate::http::retry::Effect::$effect,
            timeout: None,
            max_body: None,
            accepts_401: false,
            subject: None,
            span: tracing::debug_span!(
                concat!("matrix.", $name),
                status = tracing::field::Empty,
                tries = tracing::field::Empty,
                duration_ms = tracing::field::Empty
            ),
        }
    };
}
pub(super) use call;

impl Call {
    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(super) fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        self
    }

    pub(super) fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Completes an error of this call.
    pub(super) fn error(&self, error: MatrixError) -> MatrixError {
        let unknown = outcome_unknown(self.effect, &error);
        error.with_call(self.name).with_may_have_applied(unknown)
    }
}

/// By what right a request is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Right<'a> {
    /// Nobody's.
    None,
    /// A session's.
    Session(&'a Session),
    /// An application service's, for no particular user (registration, login).
    Appservice(&'a secrecy::SecretString),
}

impl<'a> Right<'a> {
    fn token(self) -> SendAccessToken<'a> {
        match self {
            Self::None => SendAccessToken::None,
            Self::Session(session) => SendAccessToken::Always(session.token().expose_secret()),
            Self::Appservice(token) => SendAccessToken::Appservice(token.expose_secret()),
        }
    }

    fn user(self) -> Option<&'a UserId> {
        match self {
            Self::Session(session) => Some(&session.user_id),
            Self::None | Self::Appservice(_) => None,
        }
    }

    fn identity(self) -> AppserviceUserIdentity<'a> {
        let mut identity = AppserviceUserIdentity::default();
        if let Self::Session(session) = self
            && matches!(session.authority, Authority::Appservice(_))
        {
            identity.user_id = Some(&session.user_id);
            identity.device_id = session.device_id.as_deref();
        }
        identity
    }
}

/// What ruma needs to choose among an endpoint's paths. We always want the stable one: servers that are asked which
/// versions they speak under-report, and it would cost a request.
pub(super) trait StablePath: PathBuilder {
    fn stable() -> Self::Input<'static>;
}

impl StablePath for ruma::api::path_builder::VersionHistory {
    fn stable() -> Cow<'static, SupportedVersions> {
        static STABLE: LazyLock<SupportedVersions> = LazyLock::new(|| {
            let versions: Vec<String> = (1..=16).map(|minor| format!("v1.{minor}")).collect();
            SupportedVersions::from_parts(&versions, &BTreeMap::new())
        });
        Cow::Borrowed(&STABLE)
    }
}

impl StablePath for ruma::api::path_builder::SinglePath {
    fn stable() {}
}

impl HttpMatrix {
    /// Sends one of ruma's requests and answers ruma's response.
    pub(super) async fn send<R>(
        &self,
        call: Call,
        right: Right<'_>,
        request: R,
    ) -> Result<R::IncomingResponse>
    where
        R: OutgoingRequest,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        R::PathBuilder: StablePath,
    {
        let request = self.build(&call, right, request)?;
        let reply = self.exchange(&call, right, request).await?;
        parse(&call, reply)
    }

    /// One of ruma's requests as an HTTP request.
    pub(super) fn build<R>(&self, call: &Call, right: Right<'_>, request: R) -> Result<http::Request<Bytes>>
    where
        R: OutgoingRequest,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
        R::PathBuilder: StablePath,
    {
        let base_url = self.0.base_url.as_str();
        let mut request: http::Request<Vec<u8>> = request
            .try_into_http_request(base_url, right.token(), R::PathBuilder::stable())
            .map_err(|error| call.error(unbuildable().with_source(error)))?;
        right
            .identity()
            .maybe_add_to_uri(request.uri_mut())
            .map_err(|error| call.error(unbuildable().with_source(error)))?;
        if let Some(value) = request.headers_mut().get_mut(header::AUTHORIZATION) {
            value.set_sensitive(true);
        }
        Ok(request.map(Bytes::from))
    }

    /// Sends a request, again where that is harmless and helps, until there is an answer that is no error.
    pub(super) async fn exchange(
        &self,
        call: &Call,
        right: Right<'_>,
        request: http::Request<Bytes>,
    ) -> Result<Reply> {
        let request = reqwest_request(request).map_err(|error| call.error(error))?;
        let key = Key::new(call.name, right.user(), call.subject.as_deref());
        let attempt = || async {
            let outcome = self.attempt(call, &request).await;
            let status = match &outcome {
                Ok(reply) => Some(reply.status),
                Err(error) => error.status(),
            };
            if let Some(status) = status {
                call.span.record("status", status);
            }
            if let Ok(reply) = &outcome {
                tracing::debug!(status, body_bytes = reply.body.len(), "answered");
            }
            outcome
        };
        persist(&self.0.retry, &self.0.gates, &key, call, attempt)
            .instrument(call.span.clone())
            .await
    }

    async fn attempt(&self, call: &Call, request: &reqwest::Request) -> Result<Reply> {
        // Bodies are bytes, which can always be cloned.
        let mut request = request.try_clone().ok_or_else(unbuildable)?;
        *request.timeout_mut() = Some(call.timeout.unwrap_or(self.0.limits.request_timeout));
        let url = request.url().clone();
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        let response = self
            .0
            .client
            .execute(request)
            .await
            .map_err(|error| from_reqwest(error, &authority(&url)))?;
        self.0.server_clock.note(response.headers());
        let status = response.status().as_u16();
        if (300..400).contains(&status) {
            return Err(redirected(&url, response.headers(), status));
        }
        if response.url().origin() != url.origin() {
            // A client that was handed in followed a redirect.
            let (from, to) = (authority(&url), authority(response.url()));
            return Err(MatrixError::new(MatrixErrorKind::Redirected { from, to }, "").with_status(status));
        }
        let reply = Reply::read(response, call.max_body.unwrap_or(self.0.limits.max_body_bytes)).await?;
        let readable = status < 400 || (status == 401 && call.accepts_401);
        if readable {
            Ok(reply)
        } else {
            Err(reply.to_error())
        }
    }
}

/// Makes attempts until one succeeds or another would do harm, would not help or would be too late. None is made while
/// the key's gate is closed.
async fn persist<T, F: Future<Output = Result<T>>>(
    policy: &RetryPolicy,
    gates: &Gates,
    key: &Key,
    call: &Call,
    mut attempt: impl FnMut() -> F,
) -> Result<T> {
    let started = Instant::now();
    let deadline = policy.deadline(started);
    let mut pauses = policy.pauses();
    let mut tries = 0_u32;
    let mut turn = None;
    loop {
        if let Some(deadline) = deadline {
            let entered = match turn.take() {
                Some(turn) => wait_again(turn, deadline).await,
                None => gates.enter(key, deadline).await,
            };
            turn = entered.map_err(|too_late| call.error(held_back(too_late)))?;
        }
        tries += 1;
        let outcome = in_turn(&mut turn, attempt()).await;
        call.span.record("tries", tries);
        call.span.record("duration_ms", millis(started.elapsed()));
        let error = match outcome {
            Ok(answer) => return Ok(answer),
            Err(error) => call.error(error),
        };
        let wait = if may_send_again(call.effect, &error) {
            policy.wait(&error, pauses.next(), started.elapsed())
        } else {
            None
        };
        let told = error.retry_after();
        if let Some(told) = told {
            gates.close(key, wait.unwrap_or(told));
        }
        let Some(wait) = wait else {
            tracing::debug!(%error, "failed");
            return Err(error);
        };
        tracing::debug!(%error, wait_ms = millis(wait), "will be sent again");
        // Who was told to wait does so at the gate, first in the line if it was.
        if told.is_none() {
            turn = None;
            tokio::time::sleep(wait).await;
        }
    }
}

async fn wait_again(turn: Turn<'_>, deadline: Instant) -> Result<Option<Turn<'_>>, TooLate> {
    turn.wait(deadline).await?;
    Ok(Some(turn))
}

/// The error of a request that was not sent because the server asked for a pause that is not over.
fn held_back(TooLate(wait): TooLate) -> MatrixError {
    let retry_after = (!wait.is_zero()).then_some(wait);
    MatrixError::new(
        MatrixErrorKind::LimitExceeded { retry_after },
        "not sent, because the server has just refused the same",
    )
}

/// An answer in ruma's form.
pub(super) fn parse<R: IncomingResponse>(call: &Call, reply: Reply) -> Result<R> {
    let _in_span = call.span.enter();
    reply.parse().map_err(|error| call.error(error))
}

fn unbuildable() -> MatrixError {
    MatrixError::new(MatrixErrorKind::InvalidRequest, "")
}

/// Refuses what an address cannot express: segments `.` and `..` would be resolved away, and the request would go to
/// another endpoint.
fn reqwest_request(request: http::Request<Bytes>) -> Result<reqwest::Request> {
    let is_relative = |segment: &str| matches!(segment, "." | "..");
    if request.uri().path().split('/').any(is_relative) {
        return Err(MatrixError::new(
            MatrixErrorKind::InvalidRequest,
            "an identifier cannot stand in an address",
        ));
    }
    reqwest::Request::try_from(request).map_err(|error| unbuildable().with_source(error))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Base of endpoints that ruma does not know.
pub(super) fn endpoint(base: &Url, segments: &[&str]) -> Result<Url> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| unbuildable())?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

#[cfg(all(test, feature = "fake"))]
mod tests;
