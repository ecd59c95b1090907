//! Accepts connections and serves a router on them; unlike axum's own loop it can hang up on a client and ends when
//! it is told to.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long requests in flight may take to finish once the server is told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// How long to wait when no more connections can be accepted for now, for example because too many files are open.
const PAUSE: Duration = Duration::from_millis(50);

/// A response that means: close the connection without one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HangUp;

impl HangUp {
    pub(crate) fn is_meant_by(response: &Response) -> bool {
        response.extensions().get::<Self>().is_some()
    }
}

impl IntoResponse for HangUp {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

/// A response that means: leave the client without one until it gives up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeverAnswer;

impl IntoResponse for NeverAnswer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Debug, Error)]
#[error("hung up on the client, as planned")]
struct HungUp;

/// Serves `router` until `shutdown` is ready and the requests in flight are done.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let stop = CancellationToken::new();
    let mut connections = Connections::default();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.tasks.spawn(connection(stream, router.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "could not accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(ended) = connections.tasks.join_next() => connections.note(ended),
        }
    }
    drop(listener);
    stop.cancel();
    connections.finish().await
}

/// The connections' tasks, and the first panic among those that ended.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    panic: Option<Box<dyn Any + Send>>,
}

impl Connections {
    fn note(&mut self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            tracing::error!("a request handler panicked");
            self.panic.get_or_insert(panic);
        }
    }

    async fn finish(mut self) -> io::Result<()> {
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                self.note(ended);
            }
        };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            self.tasks.shutdown().await;
        }
        match self.panic {
            Some(panic) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "the client was gone at once"
        );
        return;
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let response: Result<Response, Infallible> = router.oneshot(request.map(Body::new)).await;
            match response {
                Ok(response) if HangUp::is_meant_by(&response) => Err(HungUp),
                Ok(response) if response.extensions().get::<NeverAnswer>().is_some() => {
                    std::future::pending().await
                }
                Ok(response) => Ok(response),
                Err(never) => match never {},
            }
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a connection ended early"
        );
    }
}
