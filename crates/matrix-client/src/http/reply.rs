//! From what reqwest yields to answers and errors of ours.

use std::{error::Error as StdError, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use ruma::api::{
    IncomingResponse, IncomingResponseExt, error::DeserializationError, error::FromHttpResponseError,
};
use serde_json::Value;
use url::Url;

use super::{MAX_ERROR_BYTES, retry::Effect};
use crate::{MatrixError, MatrixErrorKind, Result, error::excerpt};

/// An answer whose body was read.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    /// Reads an answer, up to `max_body` bytes of success or the beginning of an error.
    pub(super) async fn read(mut response: reqwest::Response, max_body: u64) -> Result<Self> {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let success = status < 400;
        let limit = if success { max_body } else { MAX_ERROR_BYTES };
        let too_large =
            || MatrixError::new(MatrixErrorKind::BodyTooLarge { limit: max_body }, "").with_status(status);
        if success && response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    body.extend_from_slice(&chunk);
                    if body.len() as u64 > limit {
                        if success {
                            return Err(too_large());
                        }
                        body.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                        break;
                    }
                }
                Ok(None) => break,
                // The status alone says enough about an error whose page breaks off.
                Err(_) if !success => break,
                Err(error) => return Err(from_reqwest(error, "").with_status(status)),
            }
        }
        Ok(Self {
            status,
            headers,
            body: body.freeze(),
        })
    }

    /// Status and headers alone.
    pub(super) fn without_body(self) -> Self {
        Self {
            body: Bytes::new(),
            ..self
        }
    }

    /// The body as JSON, if it is some.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The error that this answer is.
    pub(super) fn to_error(&self) -> MatrixError {
        let error = match self.json() {
            Some(body @ Value::Object(_)) if body.get("errcode").is_some() || body.get("flows").is_some() => {
                MatrixError::from_matrix_body(self.status, &body)
            }
            // Proxies answer 429 and 413 with pages of their own; there the status says what it is.
            _ if matches!(self.status, 413 | 429) => MatrixError::from_matrix_body(self.status, &Value::Null),
            _ => self.not_matrix(),
        };
        error.with_retry_after(retry_after(&self.headers))
    }

    fn not_matrix(&self) -> MatrixError {
        let kind = MatrixErrorKind::NotMatrix {
            content_type: self.content_type().map(excerpt),
            excerpt: excerpt(&String::from_utf8_lossy(&self.body)),
        };
        MatrixError::new(kind, "").with_status(self.status)
    }

    fn content_type(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE)?.to_str().ok()
    }

    /// The answer in ruma's form. Drops the body's headers into it where the endpoint has some.
    pub(super) fn parse<R: IncomingResponse>(self) -> Result<R> {
        let mut response = http::Response::new(self.body.as_ref());
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        *response.headers_mut() = self.headers.clone();
        R::try_from_http_response(response).map_err(|error| match error {
            FromHttpResponseError::Deserialization(error) => self.not_understood(&error),
            _ => self.to_error(),
        })
    }

    /// The decoder's words become the message; as a source they would only be repeated.
    fn not_understood(&self, error: &DeserializationError) -> MatrixError {
        let claims_json = self
            .content_type()
            .is_none_or(|content_type| content_type.contains("json"));
        let syntax = serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).err();
        if syntax.is_some() && !claims_json {
            return self.not_matrix();
        }
        let message = match &syntax {
            Some(syntax) if syntax.is_eof() => "the JSON breaks off".to_owned(),
            Some(syntax) => format!("not JSON at line {} column {}", syntax.line(), syntax.column()),
            None => error.to_string(),
        };
        let path = field_of(error).unwrap_or_default();
        MatrixError::new(MatrixErrorKind::Decode { path }, message).with_status(self.status)
    }
}

/// ruma's errors name a missing field, but not where it is missing.
fn field_of(error: &DeserializationError) -> Option<String> {
    let DeserializationError::Json(error) = error else {
        return None;
    };
    let text = error.to_string();
    let (_, rest) = text.split_once("missing field `")?;
    rest.split_once('`').map(|(field, _)| field.to_owned())
}

/// `Retry-After` in seconds. Its other form, a date, would need a clock that agrees with the server's.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// The error of a request that got no complete answer. `host` is what a connection was wanted to.
pub(super) fn from_reqwest(error: reqwest::Error, host: &str) -> MatrixError {
    let error = error.without_url();
    let (kind, message) = if error.is_connect() {
        let why = why_no_connection(&error);
        let kind = if why == TLS_FAILED {
            MatrixErrorKind::Tls
        } else {
            MatrixErrorKind::Connect
        };
        (kind, format!("{host}: {why}"))
    } else if error.is_timeout() {
        (MatrixErrorKind::Timeout, host.to_owned())
    } else if error.is_builder() {
        (MatrixErrorKind::InvalidRequest, String::new())
    } else {
        (MatrixErrorKind::Interrupted, host.to_owned())
    };
    MatrixError::new(kind, message).with_source(error)
}

const TLS_FAILED: &str = "the certificate or the encryption is not accepted";

fn why_no_connection(error: &reqwest::Error) -> &'static str {
    use std::io::ErrorKind;
    if error.is_timeout() {
        return "no connection in time";
    }
    if error.is_dns() {
        return "the host name is not known";
    }
    let mut cause = error.source();
    while let Some(source) = cause {
        let io = source.downcast_ref::<std::io::Error>();
        match io.map(std::io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => return "the connection is refused",
            Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => {
                return "the host is unreachable";
            }
            Some(ErrorKind::InvalidData) => return TLS_FAILED,
            _ => {}
        }
        // An I/O error passes over what it wraps when asked for its source.
        cause = match io.and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => source.source(),
        };
    }
    "it could not be made"
}

/// The error that a redirect is.
pub(super) fn redirected(from: &Url, headers: &HeaderMap, status: u16) -> MatrixError {
    let location = headers
        .get(header::LOCATION)
        .and_then(|location| location.to_str().ok());
    let to = location.and_then(|location| from.join(location).ok());
    let to = to.as_ref().map_or_else(|| "nowhere".to_owned(), authority);
    MatrixError::new(
        MatrixErrorKind::Redirected {
            from: authority(from),
            to,
        },
        "use the address it points to",
    )
    .with_status(status)
}

/// Scheme, host and port: what a person would write into a setting.
pub(super) fn authority(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether the server may have done it although no success was reported.
pub(super) fn outcome_unknown(effect: Effect, error: &MatrixError) -> bool {
    if effect == Effect::Read {
        return false;
    }
    match error.kind() {
        MatrixErrorKind::Timeout
        | MatrixErrorKind::Interrupted
        | MatrixErrorKind::Server
        | MatrixErrorKind::Decode { .. }
        | MatrixErrorKind::BodyTooLarge { .. } => true,
        // A page with a refusal (4xx) did nothing; one with success or a failure may hide anything.
        MatrixErrorKind::NotMatrix { .. } => {
            error.status().is_none_or(|status| !(400..500).contains(&status))
        }
        MatrixErrorKind::AppservicePing { .. } => true,
        _ => false,
    }
}
