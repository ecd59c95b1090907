//! Misbehaviour of the network, planned with `FakeLetta::plan_wire`.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use letta_client::fake::WireFault;

use super::reply;
use super::server::LettaServer;
use crate::body::{Step, cut_after, in_steps, repeated};
use crate::connections::HangUp;

/// What a proxy sends when it has nothing better.
const PAGE: &str = "<html>\n<head><title>Bad Gateway</title></head>\n<body><center><h1>Bad Gateway</h1></center></body>\n\
                    </html>\n";

pub(super) async fn misbehave(State(server): State<LettaServer>, request: Request, next: Next) -> Response {
    match server
        .letta()
        .take_wire_fault(request.method().as_str(), request.uri().path())
    {
        None => next.run(request).await,
        Some(fault) => happen(fault, request, next).await,
    }
}

async fn happen(fault: WireFault, request: Request, next: Next) -> Response {
    match fault {
        WireFault::Html { status } => reply::page(status, PAGE),
        WireFault::Json { status, body } => reply::with_status(status, axum::Json(body)),
        WireFault::HalfBody => half(next.run(request).await).await,
        WireFault::Redirect { status, to } => reply::redirect(status, &to),
        WireFault::HugeBody { status, bytes } => {
            let mut response = reply::page(status, repeated("<p>Bad Gateway</p>\n", bytes));
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(bytes));
            response
        }
        WireFault::Stall(delay) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        WireFault::CutAfter { bytes } => {
            let (parts, body) = next.run(request).await.into_parts();
            Response::from_parts(parts, cut_after(body, bytes))
        }
        // Also for kinds of fault that are not known here: as abrupt as a fault can be.
        _ => HangUp.into_response(),
    }
}

/// The status, the headers with the whole length, and half of the body.
async fn half(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = to_bytes(body, usize::MAX).await else {
        return HangUp.into_response();
    };
    parts
        .headers
        .insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half: Bytes = whole.slice(..whole.len() / 2);
    let body: Body = in_steps(vec![Step::Send(half), Step::Cut]);
    Response::from_parts(parts, body)
}
