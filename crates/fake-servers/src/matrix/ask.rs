//! What a request brings, and how an answer or a refusal becomes a response.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{FromRequest, Request as HttpRequest},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::StreamExt;
use matrix_client::{
    MatrixErrorKind,
    fake::{Answer, Credentials, Failure, FakeMatrix, Homeserver, Object, Refusal, Request, Requester},
};
use serde_json::{Value, json};

use crate::connections::HangUp;

/// The largest body of a request that is no upload.
const MOST_BODY: u64 = 200 * 65_536;
/// A client that waits longer than this for an answer that never comes is on its own.
const FOREVER: Duration = Duration::from_secs(3_600);

/// What the handlers answer.
pub(super) type Reply = Result<Response, Problem>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Problem(Box<Failure>);

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(refusal.into()))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Some(refusal) = self.0.refusal() {
            return refused(refusal);
        }
        match self.0.kind() {
            MatrixErrorKind::Redirected { to, .. } => {
                let location = if to.contains("://") {
                    to.clone()
                } else {
                    format!("http://{to}/")
                };
                (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
            }
            MatrixErrorKind::NotMatrix { .. } => {
                let page = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>";
                (StatusCode::BAD_GATEWAY, axum::response::Html(page)).into_response()
            }
            MatrixErrorKind::Decode { .. } => Json(json!({ "unexpected": true })).into_response(),
            MatrixErrorKind::BodyTooLarge { limit } => {
                let size = usize::try_from(*limit).unwrap_or(usize::MAX / 2) + 1;
                vec![b' '; size].into_response()
            }
            MatrixErrorKind::Timeout => Body::from_stream(futures_util::stream::once(async {
                tokio::time::sleep(FOREVER).await;
                Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::TimedOut))
            }))
            .into_response(),
            _ => HangUp.into_response(),
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(Value::Object(refusal.body.clone()))).into_response();
    let wait = refusal.body.get("retry_after_ms").and_then(Value::as_u64);
    if let Some(wait) = wait {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    response
}

/// A JSON answer.
pub(super) fn reply(answer: impl Into<Value>) -> Reply {
    Ok(Json(answer.into()).into_response())
}

/// An answer of an endpoint that has nothing to say.
pub(super) fn done() -> Reply {
    reply(json!({}))
}

/// A request, read.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) matrix: FakeMatrix,
    pub(super) credentials: Credentials,
    pub(super) headers: HeaderMap,
    query: BTreeMap<String, String>,
    body: Bytes,
}

impl FromRequest<FakeMatrix> for Ask {
    type Rejection = Response;

    async fn from_request(request: HttpRequest, matrix: &FakeMatrix) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let mut query = BTreeMap::new();
        let pairs = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        for (key, value) in pairs.into_owned() {
            // Of several the first counts.
            query.entry(key).or_insert(value);
        }
        let is_upload = parts.uri.path().starts_with("/_matrix/media/");
        let most = if is_upload {
            upload_limit(matrix)
        } else {
            MOST_BODY
        };
        // Synapse resets the connection of whoever sends more, without an answer.
        let body = read(body, most).await.ok_or_else(|| HangUp.into_response())?;
        // A header that is no bearer token is like an empty token.
        let bearer = parts.headers.get(header::AUTHORIZATION).map(|value| {
            let value = value.to_str().unwrap_or_default();
            value.strip_prefix("Bearer ").unwrap_or_default().to_owned()
        });
        let credentials = Credentials {
            token: bearer.or_else(|| query.get("access_token").cloned()),
            user_id: query.get("user_id").cloned(),
            device_id: query.get("device_id").cloned(),
        };
        Ok(Self {
            matrix: matrix.clone(),
            credentials,
            headers: parts.headers,
            query,
            body,
        })
    }
}

fn upload_limit(matrix: &FakeMatrix) -> u64 {
    matrix.max_upload_bytes()
}

async fn read(body: Body, most: u64) -> Option<Bytes> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(part) = stream.next().await {
        bytes.extend_from_slice(&part.ok()?);
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
            return None;
        }
    }
    Some(bytes.into())
}

impl Ask {
    /// A parameter of the query.
    pub(super) fn query(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str)
    }

    /// A parameter of the query that must be a number.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.query(key) else {
            return Ok(None);
        };
        let refuse = |what: &str| {
            let words = format!("Query parameter {key} must be {what}.");
            Refusal::new(400, "M_INVALID_PARAM", words)
        };
        let number: i64 = text.parse().map_err(|_| {
            let words = format!("Query parameter {key} must be an integer");
            Refusal::new(400, "M_INVALID_PARAM", words)
        })?;
        Ok(Some(
            u64::try_from(number).map_err(|_| refuse("a positive integer"))?,
        ))
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.query(key) == Some("true")
    }

    /// The body as it came.
    pub(super) fn bytes(&self) -> Bytes {
        self.body.clone()
    }

    /// The body, which must be a JSON object.
    pub(super) fn object(&self) -> Answer<Object> {
        let value: Value = serde_json::from_slice(&self.body)
            .map_err(|_| Refusal::new(400, "M_NOT_JSON", "Content not JSON."))?;
        match value {
            Value::Object(object) => Ok(object),
            _ => Err(Refusal::new(400, "M_BAD_JSON", "Content must be a JSON object.")),
        }
    }

    /// The body, which may be missing.
    pub(super) fn object_or_nothing(&self) -> Answer<Object> {
        if self.body.is_empty() {
            Ok(Object::new())
        } else {
            self.object()
        }
    }

    /// A call with a session, whose name and arguments go into the journal.
    pub(super) async fn call<T>(
        &self,
        method: &'static str,
        room_id: Option<&str>,
        arguments: Value,
        effect: impl FnOnce(&mut Homeserver, &Requester) -> Answer<T>,
    ) -> Result<T, Problem> {
        let request = self.request(method, room_id, arguments);
        let result = self.matrix.run(request, |server| {
            let who = server.authenticate(&self.credentials)?;
            effect(server, &who)
        });
        Ok(result.await?)
    }

    /// A call of a server administrator.
    pub(super) async fn admin_call<T>(
        &self,
        method: &'static str,
        room_id: Option<&str>,
        arguments: Value,
        effect: impl FnOnce(&mut Homeserver, &Requester) -> Answer<T>,
    ) -> Result<T, Problem> {
        let request = self.request(method, room_id, arguments);
        let result = self.matrix.run(request, |server| {
            let who = server.authenticate_admin(&self.credentials)?;
            effect(server, &who)
        });
        Ok(result.await?)
    }

    /// A call that needs no session.
    pub(super) async fn open_call<T>(
        &self,
        method: &'static str,
        arguments: Value,
        effect: impl FnOnce(&mut Homeserver) -> Answer<T>,
    ) -> Result<T, Problem> {
        Ok(self
            .matrix
            .run(self.request(method, None, arguments), effect)
            .await?)
    }

    fn request(&self, method: &'static str, room_id: Option<&str>, arguments: Value) -> Request {
        let request = Request::new(method, arguments).by(self.credentials.clone());
        match room_id {
            Some(room_id) => request.about(room_id),
            None => request,
        }
    }
}

/// A field that must be there and be a string.
pub(super) fn required<'a>(body: &'a Object, key: &str) -> Answer<&'a str> {
    let text = body.get(key).and_then(Value::as_str);
    text.ok_or_else(|| Refusal::new(400, "M_MISSING_PARAM", format!("Missing params: ['{key}']")))
}

/// A field that is a string.
pub(super) fn text<'a>(body: &'a Object, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}

/// The same endpoint under both names that old and new clients use.
pub(super) fn in_r0_and_v3(path: &str) -> [String; 2] {
    [
        format!("/_matrix/client/r0{path}"),
        format!("/_matrix/client/v3{path}"),
    ]
}

/// Routes that exist under `r0` and `v3`.
pub(super) struct Routes(pub(super) axum::Router<FakeMatrix>);

impl Routes {
    pub(super) fn new() -> Self {
        Self(axum::Router::new())
    }

    pub(super) fn both(mut self, path: &str, methods: axum::routing::MethodRouter<FakeMatrix>) -> Self {
        let [old, new] = in_r0_and_v3(path);
        self.0 = self.0.route(&old, methods.clone()).route(&new, methods);
        self
    }

    pub(super) fn exact(mut self, path: &str, methods: axum::routing::MethodRouter<FakeMatrix>) -> Self {
        self.0 = self.0.route(path, methods);
        self
    }
}
