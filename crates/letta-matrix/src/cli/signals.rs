//! Being told to stop.

/// Ready when the program is told to stop, with the exit code that tells so: 130 for Ctrl-C, 143 for a request to
/// terminate. Never ready when the system does not let us listen: then signals end the program at once.
pub(super) async fn stop() -> u8 {
    tokio::select! {
        () = interrupt() => 130,
        () = terminate() => 143,
    }
}

async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(unix)]
async fn terminate() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminate() {
    std::future::pending().await
}
