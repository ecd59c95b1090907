//! How an [`HttpLetta`] is described.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use url::Url;

use super::{
    HttpLetta, RetryPolicy,
    transport::{Limits, Transport},
};
use crate::{LettaError, LettaErrorKind, Result};

/// Describes an [`HttpLetta`]. Every limit has a default that fits a server in the same house and one far away.
#[derive(Debug, Clone)]
#[must_use]
pub struct HttpLettaBuilder {
    base_url: String,
    token: Option<SecretString>,
    user_agent: String,
    limits: Limits,
    retry: RetryPolicy,
}

impl HttpLettaBuilder {
    pub(super) fn new(base_url: String) -> Self {
        Self {
            base_url,
            token: None,
            user_agent: concat!("letta-client-rs/", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: Limits {
                connect: Duration::from_secs(10),
                answer: Duration::from_secs(60),
                first_event: Duration::from_secs(45),
                answer_bytes: 64 * 1024 * 1024,
                event_bytes: 16 * 1024 * 1024,
            },
            retry: RetryPolicy::default(),
        }
    }

    /// The token (of a self-hosted server: its password), sent as `Authorization: Bearer` and to nobody else.
    pub fn token(self, token: SecretString) -> Self {
        self.maybe_token(Some(token))
    }

    /// The token, or none for a server that asks for none.
    pub fn maybe_token(mut self, token: Option<SecretString>) -> Self {
        self.token = token;
        self
    }

    /// How this client names itself.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// How long making a connection may take; 10 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.limits.connect = limit;
        self
    }

    /// How long a whole answer may take, and of a stream its headers; 60 seconds. A stream that has begun has no
    /// limit: a tool may work for a long time, and the server sends pings meanwhile.
    pub fn answer_timeout(mut self, limit: Duration) -> Self {
        self.limits.answer = limit;
        self
    }

    /// How long a stream that is joined again may stay silent at first; 45 seconds. Letta pings every 20 seconds.
    pub fn first_event_timeout(mut self, limit: Duration) -> Self {
        self.limits.first_event = limit;
        self
    }

    /// What is repeated, and how often.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The longest JSON answer that is read; 64 MiB. (A thousand agents with everything included are 19 MB.)
    pub fn max_answer_bytes(mut self, limit: usize) -> Self {
        self.limits.answer_bytes = limit;
        self
    }

    /// The longest event of a stream that is read; 16 MiB.
    pub fn max_event_bytes(mut self, limit: usize) -> Self {
        self.limits.event_bytes = limit;
        self
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidRequest` when the address is not an `http` or `https` address, or carries a user name or a
    /// password; `Connect` when the system's certificates can not be loaded.
    pub fn build(self) -> Result<HttpLetta> {
        let base = base_url(&self.base_url)?;
        let transport = Transport::new(base, self.token, &self.user_agent, self.limits, self.retry)?;
        Ok(HttpLetta {
            transport: Arc::new(transport),
        })
    }
}

/// The address as requests extend it: no query, no trailing slash, no `/v1`.
fn base_url(text: &str) -> Result<Url> {
    let invalid = |why: &str| {
        LettaError::new(
            LettaErrorKind::InvalidRequest,
            format!("the address of the Letta server {why}"),
        )
    };
    let mut url = Url::parse(text.trim()).map_err(|error| {
        let hint = if text.contains("://") {
            "can not be read"
        } else {
            "can not be read: it starts with http:// or https://"
        };
        invalid(hint).with_source(error)
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(
            "can not be used: it starts with http:// or https://, as in http://127.0.0.1:8283",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "has a user name or password in it: Letta takes a token, which is configured apart",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(
            "has a `?` or `#` in it, which is no part of an address of a server",
        ));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_and_v1_at_the_end_make_no_difference() {
        for (text, expected) in [
            ("http://127.0.0.1:8283", "http://127.0.0.1:8283/"),
            ("http://127.0.0.1:8283/", "http://127.0.0.1:8283/"),
            (" http://127.0.0.1:8283/v1/ ", "http://127.0.0.1:8283/"),
            ("https://example.org/letta/", "https://example.org/letta"),
            ("https://example.org/letta/v1", "https://example.org/letta"),
        ] {
            assert_eq!(base_url(text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "http://"),
            ("127.0.0.1:8283", "http://"),
            ("letta.example.org", "http://"),
            ("ftp://example.org", "http://"),
            ("http://", "can not be read"),
            ("http://me:not-a-real-secret@example.org", "token"),
            ("http://example.org/?key=not-a-real-secret", "`?`"),
        ] {
            let error = base_url(text).unwrap_err();
            assert_eq!(error.kind(), &LettaErrorKind::InvalidRequest, "{text}");
            assert!(error.message().contains(reason), "{text}: {error}");
            assert!(!format!("{error:?}").contains("not-a-real-secret"), "{error:?}");
        }
    }
}
