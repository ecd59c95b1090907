//! Accepts connections and serves a router on them. Other than axum's own loop it bounds their number and the time a
//! request's head may take.

use std::{convert::Infallible, future::Future, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tower::ServiceExt;

/// How many connections there may be. Others wait in the system's queue.
const CONNECTIONS: usize = 256;

/// How long the head of a request may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(15);

/// How long requests in flight may take to end when the server is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// How long to wait when no connection can be accepted for now, for example because too many files are open.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stopped` is ready. Requests in flight then have two seconds.
pub async fn serve(listener: TcpListener, router: Router, stopped: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut is_accepting = true;
    let mut stopped = pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(ended) = connections.join_next() => note(ended),
            (permit, accepted) = accept(&listener, &permits) => match accepted {
                Ok(stream) => {
                    is_accepting = true;
                    connections.spawn(connection(stream, router.clone(), graceful.watcher(), permit));
                }
                Err(error) => {
                    // It may go on like this for long: once is enough.
                    if std::mem::replace(&mut is_accepting, false) {
                        tracing::warn!(%error, "no connection can be accepted at the moment");
                    }
                    sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let all = async {
        graceful.shutdown().await;
        while let Some(ended) = connections.join_next().await {
            note(ended);
        }
    };
    if timeout(GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, std::io::Result<TcpStream>) {
    // The semaphore is never closed.
    let permit = permits.clone().acquire_owned().await.ok();
    let accepted = listener.accept().await.map(|(stream, _)| stream);
    (permit, accepted)
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a request was dropped by a mistake in the program");
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    watcher: Watcher,
    _permit: Option<OwnedSemaphorePermit>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let response: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
