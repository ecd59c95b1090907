//! Misbehaviour that exists only on the wire.

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use matrix_client::fake::{FakeMatrix, WireFault};

use crate::{
    body::{Step, in_steps},
    connections::HangUp,
};

/// Lets a planned wire fault strike. Faults that cut an answer let the request have its effect first.
pub(super) async fn misbehave(State(matrix): State<FakeMatrix>, request: Request, next: Next) -> Response {
    let fault = matrix.take_wire_fault(request.method().as_str(), request.uri().path());
    let Some(fault) = fault else {
        return next.run(request).await;
    };
    match fault {
        WireFault::Html { status } => {
            let page = "<!DOCTYPE html><html><head><title>Error</title></head><body>nginx</body></html>";
            (code(status), Html(page)).into_response()
        }
        WireFault::Json { status, body } => (code(status), Json(body)).into_response(),
        WireFault::Redirect { status, to } => {
            let location = HeaderValue::try_from(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
            (code(status), [(header::LOCATION, location)]).into_response()
        }
        WireFault::HugeBody { status, bytes } => {
            let body = Bytes::from(vec![b' '; bytes]);
            let headers = [(header::CONTENT_TYPE, "application/json")];
            (code(status), headers, body).into_response()
        }
        WireFault::Close => HangUp.into_response(),
        WireFault::Stall(delay) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        WireFault::HalfBody => cut(next.run(request).await, |length| length / 2, false).await,
        WireFault::CutAfter { bytes } => cut(next.run(request).await, |_| bytes, true).await,
        // Faults of later versions of the other crate: better no answer than a right one.
        _ => HangUp.into_response(),
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Sends the beginning of a body: as if that was all, or breaking the connection off.
async fn cut(response: Response, keep: impl FnOnce(usize) -> usize, break_off: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return HangUp.into_response();
    };
    let kept = bytes.slice(..keep(bytes.len()).min(bytes.len()));
    if break_off {
        return Response::from_parts(parts, in_steps(vec![Step::Send(kept), Step::Cut]));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(kept))
}
