//! One request and its answer: authentication, limits, retries, redirects.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION},
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::{Instant, timeout};
use url::Url;

use super::{
    call::Call,
    failure::{self, Answer},
    retry::{self, RetryPolicy},
    server_clock::ServerClock,
    wire,
};
use crate::{LettaError, LettaErrorKind, Result};

/// How much of an error page is read.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// The version of the API that is spoken. Letta's servers take it from this header of the official clients; without
/// it they treat an unknown user agent as one of the time before version 1: no streaming, other answers.
const API_GENERATION: (&str, &str) = ("x-stainless-package-version", "1.0.0");

/// Limits of time and size.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
    pub(super) first_event: Duration,
    pub(super) answer_bytes: usize,
    pub(super) event_bytes: usize,
}

/// Sends requests to one server.
pub(super) struct Transport {
    client: Client,
    base: Url,
    token: Option<SecretString>,
    limits: Limits,
    retry: RetryPolicy,
    requests: AtomicU64,
    server_clock: ServerClock,
    /// When the server last said that it can not keep events; asked again after a while.
    no_background_since: Mutex<Option<Instant>>,
}

impl Transport {
    pub(super) fn new(
        base: Url,
        token: Option<SecretString>,
        user_agent: &str,
        limits: Limits,
        retry: RetryPolicy,
    ) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(API_GENERATION.0, HeaderValue::from_static(API_GENERATION.1));
        let mut builder = Client::builder()
            .user_agent(user_agent)
            .default_headers(headers)
            .connect_timeout(limits.connect)
            // Followed by hand: a redirect must never take the token, or a message, elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            // Shorter than the five seconds after which Letta's server closes an idle connection. A message sent
            // into a closing connection would have an unknown outcome.
            .pool_idle_timeout(Duration::from_secs(4))
            // Streams have no idle limit (a tool may work for hours), so a dead peer is noticed here.
            .tcp_keepalive(Duration::from_secs(30))
            .tcp_keepalive_interval(Duration::from_secs(10))
            .tcp_keepalive_retries(3);
        if base.scheme() == "http" {
            // No need for the system's certificates, which a small container may lack.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| {
            LettaError::new(LettaErrorKind::Connect, "could not set up the HTTP client").with_source(error)
        })?;
        Ok(Self {
            client,
            base,
            token,
            limits,
            retry,
            requests: AtomicU64::new(0),
            server_clock: ServerClock::default(),
            no_background_since: Mutex::new(None),
        })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn server_clock(&self) -> &ServerClock {
        &self.server_clock
    }

    /// Whether the server said within the last ten minutes that it can not keep events.
    pub(super) fn lacks_background(&self) -> bool {
        self.no_background_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|since| since.elapsed() < Duration::from_secs(600))
    }

    pub(super) fn note_no_background(&self) {
        *self
            .no_background_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Sends a request and reads its JSON answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T> {
        self.with_retries(call, || async {
            let started = Instant::now();
            let body = timeout(self.limits.answer, async {
                let response = self.send(call, "application/json").await?;
                let content_type = content_type(&response);
                let body = self.read_body(call, response).await?;
                Ok((content_type, body))
            })
            .await
            .unwrap_or_else(|_| Err(self.too_slow(call)))?;
            let (content_type, body) = body;
            tracing::trace!(
                action = call.action,
                body_bytes = body.len(),
                duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                "answer read"
            );
            wire::decode(&body).map_err(|error| failure::undecodable(call, &content_type, &body, error))
        })
        .await
    }

    /// Deletes something. When a first try may have done it without saying so, finding nothing means that it did.
    pub(super) async fn delete(&self, call: &Call<'_>) -> Result<()> {
        let may_be_done = AtomicBool::new(false);
        self.with_retries(call, || async {
            let outcome = timeout(self.limits.answer, async {
                let response = self.send(call, "application/json").await?;
                let content_type = content_type(&response);
                let body = self.read_body(call, response).await?;
                if body.is_empty() {
                    return Ok(());
                }
                wire::decode::<IgnoredAny>(&body)
                    .map(drop)
                    .map_err(|error| failure::undecodable(call, &content_type, &body, error))
            })
            .await
            .unwrap_or_else(|_| Err(self.too_slow(call)));
            match outcome {
                Ok(()) => Ok(()),
                Err(error)
                    if error.kind() == &LettaErrorKind::NotFound && may_be_done.load(Ordering::Relaxed) =>
                {
                    Ok(())
                }
                Err(error) => {
                    may_be_done.fetch_or(error.may_have_applied(), Ordering::Relaxed);
                    Err(error)
                }
            }
        })
        .await
    }

    /// Reads the JSON answer of a request that was opened as a stream.
    pub(super) async fn read_json<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        response: Response,
    ) -> Result<T> {
        let content_type = content_type(&response);
        let body = timeout(self.limits.answer, self.read_body(call, response))
            .await
            .unwrap_or_else(|_| Err(self.too_slow(call)))?;
        wire::decode(&body).map_err(|error| failure::undecodable(call, &content_type, &body, error))
    }

    /// Sends a request whose answer is a stream; returns with its headers.
    pub(super) async fn open(&self, call: &Call<'_>) -> Result<Response> {
        self.with_retries(call, || async {
            timeout(self.limits.answer, self.send(call, "text/event-stream"))
                .await
                .unwrap_or_else(|_| Err(self.too_slow(call)))
        })
        .await
    }

    async fn with_retries<T, F: Future<Output = Result<T>>>(
        &self,
        call: &Call<'_>,
        attempt: impl FnMut() -> F,
    ) -> Result<T> {
        let started = Instant::now();
        attempt
            .retry(
                ExponentialBuilder::default()
                    .with_jitter()
                    .with_min_delay(self.retry.min_delay)
                    .with_max_delay(self.retry.max_delay)
                    .with_max_times(self.retry.max_retries),
            )
            .when(|error| retry::allowed(error, call.repeat))
            .adjust(|error, planned| {
                let wait = planned?.max(error.retry_after().unwrap_or_default());
                (started.elapsed() + wait <= self.retry.max_total).then_some(wait)
            })
            .notify(|error, wait| {
                tracing::debug!(
                    action = call.action,
                    %error,
                    wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    "asking Letta again"
                );
            })
            .await
    }

    /// One request on the wire, or two when the server only wants a slash added. Answers with a success status.
    async fn send(&self, call: &Call<'_>, accept: &'static str) -> Result<Response> {
        let mut url = self.url(call)?;
        for hop in 0..2 {
            let response = self.send_once(call, &url, accept).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if !status.is_redirection() {
                return Err(self.read_failure(call, response).await);
            }
            match slash_redirect(&url, &response) {
                Some(target) if hop == 0 => url = target,
                _ => return Err(failure::redirected(call, &url, &response)),
            }
        }
        Err(LettaError::new(
            LettaErrorKind::NotLetta,
            format!("could not {}: the server redirects in circles", call.action),
        ))
    }

    async fn send_once(&self, call: &Call<'_>, url: &Url, accept: &'static str) -> Result<Response> {
        let mut request = self
            .client
            .request(call.method.clone(), url.clone())
            .header(ACCEPT, accept);
        if let Some(token) = &self.token {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| {
                    LettaError::new(
                        LettaErrorKind::Unauthorized,
                        "the token for Letta has a character that no token can have (a line break?)",
                    )
                })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let outcome = request.send().await;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match outcome {
            Ok(response) => {
                self.server_clock.note(response.headers());
                tracing::debug!(
                    action = call.action,
                    status = response.status().as_u16(),
                    duration_ms,
                    "Letta answered"
                );
                Ok(response)
            }
            Err(error) => {
                tracing::debug!(action = call.action, duration_ms, "Letta did not answer");
                Err(failure::unsent_or_interrupted(call, &self.base, error))
            }
        }
    }

    async fn read_body(&self, call: &Call<'_>, mut response: Response) -> Result<Vec<u8>> {
        let limit = self.limits.answer_bytes;
        let too_large = || {
            LettaError::new(
                LettaErrorKind::TooLarge,
                format!(
                    "could not {}: the answer is longer than {limit} bytes",
                    call.action
                ),
            )
            .with_may_have_applied(call.writes())
        };
        let announced = announced_length(&response);
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(announced.map_or(0, |length| length as usize));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(too_large()),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => return Err(failure::unsent_or_interrupted(call, &self.base, error)),
            }
        }
    }

    /// Turns an answer with an error status into an error. Never fails itself: what can not be read is left out.
    async fn read_failure(&self, call: &Call<'_>, mut response: Response) -> LettaError {
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        let mut complete = false;
        while body.len() < MAX_ERROR_BODY {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = MAX_ERROR_BODY - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                Ok(None) => {
                    complete = true;
                    break;
                }
                Err(_) => break,
            }
        }
        failure::from_answer(
            call,
            &Answer {
                status,
                headers: &headers,
                body: &body,
                complete,
                had_token: self.token.is_some(),
            },
        )
    }

    fn too_slow(&self, call: &Call<'_>) -> LettaError {
        LettaError::new(
            LettaErrorKind::Timeout,
            format!(
                "could not {}: {} did not answer within {:?}",
                call.action,
                failure::origin(&self.base),
                self.limits.answer
            ),
        )
        .with_may_have_applied(call.writes())
    }

    fn url(&self, call: &Call<'_>) -> Result<Url> {
        let mut url = self.base.clone();
        // The `url` crate drops "." and "..", and an empty one is nothing: each would address something else.
        if call
            .path
            .iter()
            .any(|segment| matches!(*segment, "" | "." | ".."))
        {
            return Err(LettaError::new(
                LettaErrorKind::InvalidRequest,
                format!(
                    "could not {}: an identifier can not be empty or dots",
                    call.action
                ),
            ));
        }
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().push("v1").extend(&call.path);
                if call.slash {
                    segments.push("");
                }
            }
            Err(()) => {
                return Err(LettaError::new(
                    LettaErrorKind::InvalidRequest,
                    "the address of the Letta server can not have a path",
                ));
            }
        }
        if !call.query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in &call.query {
                pairs.append_pair(name, value);
            }
        }
        Ok(url)
    }
}

/// Where to go when the server answers with the same address plus or minus a trailing slash, and nothing else.
fn slash_redirect(from: &Url, response: &Response) -> Option<Url> {
    let keeps_method = matches!(
        response.status(),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let target = from.join(location).ok()?;
    let same = keeps_method
        && target.origin() == from.origin()
        && target.path() != from.path()
        && target.path().trim_end_matches('/') == from.path().trim_end_matches('/')
        && target.query() == from.query();
    same.then_some(target)
}

pub(super) fn content_type(response: &Response) -> String {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("none")
        .to_owned()
}

fn announced_length(response: &Response) -> Option<u64> {
    response
        .headers()
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
