//! Who asks, and what with: the parts of a request that every handler needs.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use http::HeaderMap;
use http::request::Parts;
use letta_client::fake::rest::Rest;
use secrecy::SecretString;
use serde_json::Value;

use super::query::Query;
use super::reply;
use super::server::LettaServer;

/// The fake with the request's token, and the request's query.
pub(super) struct Caller {
    pub(super) rest: Rest,
    pub(super) query: Query,
    /// Whether the client is of version 1 or later; the server answers older ones differently.
    pub(super) is_current: bool,
    pub(super) wraps_lists: bool,
}

impl FromRequestParts<LettaServer> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, server: &LettaServer) -> Result<Self, Self::Rejection> {
        Ok(Self {
            rest: server.letta().presenting(token(&parts.headers)).rest(),
            query: Query::read(parts.uri.query()),
            is_current: is_current(&parts.headers),
            wraps_lists: server.wraps_lists(),
        })
    }
}

/// The token of `Authorization: Bearer …`, or of the older `X-BARE-PASSWORD: password …`.
fn token(headers: &HeaderMap) -> Option<SecretString> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let token = bearer.or_else(|| text("x-bare-password").and_then(|value| value.strip_prefix("password ")));
    token.map(SecretString::from)
}

/// The server's own rule: the makers' generated clients name their version, others say it in their user agent, and
/// those that say nothing count as current.
fn is_current(headers: &HeaderMap) -> bool {
    if headers
        .get("x-stainless-package-version")
        .is_some_and(|version| !version.is_empty())
    {
        return true;
    }
    let Some(agent) = headers
        .get("user-agent")
        .and_then(|value| value.to_str().ok())
        .filter(|agent| !agent.is_empty())
    else {
        return true;
    };
    let version = agent
        .strip_prefix("@letta-ai/letta-client/")
        .or_else(|| agent.strip_prefix("letta-client/"));
    version.is_some_and(|version| {
        let numbers = version.split(['-', 'a', 'b']).next().unwrap_or_default();
        numbers.split_once('.').is_some_and(|(major, _)| major == "1")
    })
}

/// The body of a request as JSON; `None` when it is empty.
pub(super) struct JsonBody(Option<Value>);

impl JsonBody {
    /// The body of an endpoint that does without one.
    pub(super) fn optional(self) -> Value {
        self.0.unwrap_or_else(|| Value::Object(serde_json::Map::new()))
    }

    pub(super) fn required(self) -> Result<Value, Box<Response>> {
        self.0.ok_or_else(|| {
            let error = "{'type': 'missing', 'loc': ('body',), 'msg': 'Field required', 'input': None}";
            Box::new(reply::unprocessable(error))
        })
    }

    /// The body, if there is one.
    pub(super) fn given(self) -> Option<Value> {
        self.0
    }
}

impl FromRequest<LettaServer> for JsonBody {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, server: &LettaServer) -> Result<Self, Response> {
        let bytes = Bytes::from_request(request, server)
            .await
            .map_err(|rejection| reply::detail(rejection.status().as_u16(), &rejection.body_text()))?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        serde_json::from_slice(&bytes).map(|body| Self(Some(body))).map_err(|error| {
            let place = error.column().saturating_sub(1);
            let error = in_pythons_words(&error.to_string());
            reply::unprocessable(&format!(
                "{{'type': 'json_invalid', 'loc': ('body', {place}), 'msg': 'JSON decode error', 'input': {{}}, 'ctx': \
                 {{'error': '{error}'}}}}"
            ))
        })
    }
}

/// What Python's parser says where ours says this.
fn in_pythons_words(error: &str) -> &'static str {
    let said = |words: &str| error.starts_with(words);
    if said("key must be a string") || said("EOF while parsing an object") || said("trailing comma") {
        "Expecting property name enclosed in double quotes"
    } else if said("expected `:`") {
        "Expecting \\':\\' delimiter"
    } else if said("expected `,`") {
        "Expecting \\',\\' delimiter"
    } else if said("EOF while parsing a string") {
        "Unterminated string starting at"
    } else if said("trailing characters") {
        "Extra data"
    } else {
        "Expecting value"
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_token_is_found_in_either_header() {
        let found = |pairs| token(&headers(pairs)).map(|token| token.expose_secret().to_owned());
        assert_eq!(
            found(&[("authorization", "Bearer fake-token")]).as_deref(),
            Some("fake-token")
        );
        assert_eq!(
            found(&[("x-bare-password", "password fake-token")]).as_deref(),
            Some("fake-token")
        );
        assert_eq!(found(&[("authorization", "Basic abc")]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_client_is_current_by_the_servers_own_rule() {
        for (pairs, current) in [
            (&[][..], true),
            (&[("user-agent", "")], true),
            (&[("user-agent", "curl/8.5.0")], false),
            (&[("user-agent", "something")], false),
            (&[("user-agent", "letta-client/1.12.1")], true),
            (&[("user-agent", "letta-client/1.0.0a5")], true),
            (&[("user-agent", "letta-client/0.9.9")], false),
            (&[("user-agent", "@letta-ai/letta-client/1.0.0-alpha.2")], true),
            (
                &[
                    ("user-agent", "curl/8.5.0"),
                    ("x-stainless-package-version", "1.12.1"),
                ],
                true,
            ),
        ] {
            assert_eq!(is_current(&headers(pairs)), current, "{pairs:?}");
        }
    }
}
