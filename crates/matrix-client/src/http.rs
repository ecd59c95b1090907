//! [`HttpMatrix`]: the API over HTTP, with ruma's typed endpoints and reqwest.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::{MatrixError, MatrixErrorKind, Result};

mod admin;
mod client;
mod convert;
mod gate;
mod register;
mod reply;
mod request;
mod retry;
mod server_clock;
mod transport;

pub use retry::RetryPolicy;

/// A homeserver, over HTTP.
///
/// Cheap to clone: clones share the connections, the counter and what the server said about its limits. Endpoints are asked for in their stable form
/// (`/_matrix/client/v3`, `/v1`) without asking the server first which versions it speaks.
///
/// - Redirects are never followed: the token would go along. They are the error
///   [`Redirected`](MatrixErrorKind::Redirected), which names both hosts.
/// - A call is sent again only when that is harmless, and held back while the server asks its like to wait; see
///   [`RetryPolicy`].
/// - Of an error's body 64 KiB are read, of an answer [`max_body_bytes`](HttpMatrixBuilder::max_body_bytes), of a
///   download [`max_media_bytes`](HttpMatrixBuilder::max_media_bytes).
/// - Each call is a span `matrix.<call>` with the fields `status`, `tries` and `duration_ms`. Tokens and bodies are
///   never logged.
///
/// ```no_run
/// # async fn example() -> Result<(), matrix_client::MatrixError> {
/// use matrix_client::{HttpMatrix, MatrixApi};
///
/// let homeserver = "https://matrix.example.org".parse().expect("a URL");
/// let matrix = HttpMatrix::new(homeserver)?;
/// println!("{:?}", matrix.versions().await?.versions);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HttpMatrix(Arc<Inner>);

struct Inner {
    client: reqwest::Client,
    base_url: Url,
    limits: Limits,
    retry: RetryPolicy,
    gates: gate::Gates,
    requests: AtomicU64,
    server_clock: server_clock::ServerClock,
}

#[derive(Clone, Debug)]
struct Limits {
    request_timeout: Duration,
    create_room_timeout: Duration,
    media_timeout: Duration,
    long_poll_margin: Duration,
    max_body_bytes: u64,
    max_media_bytes: u64,
}

/// Of an error's body no more than this is read: enough for any error, and a page of megabytes does not hurt.
const MAX_ERROR_BYTES: u64 = 64 * 1024;

const DEFAULT_LIMITS: Limits = Limits {
    request_timeout: Duration::from_secs(60),
    create_room_timeout: Duration::from_secs(120),
    media_timeout: Duration::from_secs(300),
    long_poll_margin: Duration::from_secs(30),
    max_body_bytes: 64 * 1024 * 1024,
    max_media_bytes: 100 * 1024 * 1024,
};

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl HttpMatrix {
    /// A client of the server at `base_url`, with default settings. The URL may have a path; `/_matrix/…` is added to it.
    ///
    /// # Errors
    /// `InvalidRequest` if the URL is not `http` or `https`, or holds a user name, a password, a query or a fragment.
    pub fn new(base_url: Url) -> Result<Self> {
        Self::builder(base_url).build()
    }

    /// A client of the server at `base_url`, to be configured.
    pub fn builder(base_url: Url) -> HttpMatrixBuilder {
        HttpMatrixBuilder {
            base_url,
            client: None,
            limits: DEFAULT_LIMITS,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            user_agent: USER_AGENT.to_owned(),
            retry: RetryPolicy::default(),
        }
    }

    /// The address of the server.
    pub fn base_url(&self) -> &Url {
        &self.0.base_url
    }

    /// How many HTTP requests were sent so far by this client and its clones, repeated ones included.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// The time that the server has now: the `Date` of its last answer, moved on by what has passed since. `None` before
    /// the first answer. True to a second or two: the header has whole seconds, and the answer was on its way.
    pub fn server_time(&self) -> Option<Timestamp> {
        self.0.server_clock.now()
    }

    /// How far the server's clock is ahead of ours, which shows `now`; negative when it is behind. `None` before the
    /// first answer. Means nothing below two seconds, see [`server_time`](Self::server_time).
    pub fn clock_skew(&self, now: Timestamp) -> Option<SignedDuration> {
        Some(self.server_time()?.duration_since(now))
    }
}

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

impl fmt::Debug for HttpMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpMatrix")
            .field("base_url", &self.0.base_url.as_str())
            .finish_non_exhaustive()
    }
}

/// Makes an [`HttpMatrix`].
#[derive(Clone, Debug)]
#[must_use]
pub struct HttpMatrixBuilder {
    base_url: Url,
    client: Option<reqwest::Client>,
    limits: Limits,
    connect_timeout: Duration,
    user_agent: String,
    retry: RetryPolicy,
}

impl HttpMatrixBuilder {
    /// Uses this client, and its connections, instead of one of its own. It must not follow redirects; connect timeout
    /// and user agent are then its own affair.
    pub fn client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }

    /// How long connecting may take. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an ordinary request may take, from connecting to the last byte of the answer. Default: 60 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.limits.request_timeout = timeout;
        self
    }

    /// How long making a room may take: servers need seconds for it under load. Default: 120 s.
    pub fn create_room_timeout(mut self, timeout: Duration) -> Self {
        self.limits.create_room_timeout = timeout;
        self
    }

    /// How long an upload or a download may take. Default: 300 s.
    pub fn media_timeout(mut self, timeout: Duration) -> Self {
        self.limits.media_timeout = timeout;
        self
    }

    /// How much longer than its own timeout a sync may take. Default: 30 s.
    pub fn long_poll_margin(mut self, margin: Duration) -> Self {
        self.limits.long_poll_margin = margin;
        self
    }

    /// The largest answer that is read. Default: 64 MiB, which an initial sync of very many rooms may exceed.
    pub fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.limits.max_body_bytes = bytes;
        self
    }

    /// The largest file that is downloaded. Default: 100 MiB.
    pub fn max_media_bytes(mut self, bytes: u64) -> Self {
        self.limits.max_media_bytes = bytes;
        self
    }

    /// What the client calls itself. Default: `matrix-client/<version>`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// When and how often a call is sent again.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The client. Does not connect yet.
    ///
    /// # Errors
    /// `InvalidRequest` if the URL is not `http` or `https`, or holds a user name, a password, a query or a fragment,
    /// or if the user agent cannot be sent.
    pub fn build(self) -> Result<HttpMatrix> {
        check_base_url(&self.base_url)?;
        let client = match self.client {
            Some(client) => client,
            None => reqwest::Client::builder()
                .connect_timeout(self.connect_timeout)
                .user_agent(self.user_agent)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(|error| {
                    MatrixError::new(
                        MatrixErrorKind::InvalidRequest,
                        "the HTTP client cannot be set up",
                    )
                    .with_source(error)
                })?,
        };
        Ok(HttpMatrix(Arc::new(Inner {
            client,
            base_url: self.base_url,
            limits: self.limits,
            retry: self.retry,
            gates: gate::Gates::default(),
            requests: AtomicU64::new(0),
            server_clock: server_clock::ServerClock::default(),
        })))
    }
}

fn check_base_url(url: &Url) -> Result<()> {
    let invalid = |what: &str| Err(MatrixError::new(MatrixErrorKind::InvalidRequest, what));
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return invalid("the homeserver's URL must begin with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid("the homeserver's URL must not hold a user name or a password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return invalid("the homeserver's URL must not have a query or a fragment");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
