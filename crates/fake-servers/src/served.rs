//! A fake that is being served: its address, and its end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use crate::connections;

/// A fake served on a loopback address, by a task of its own.
///
/// [`Served::stop`] lets the requests in flight finish, joins the task and passes on a panic of a handler. Dropping
/// it cuts every connection at once, as a crash would.
#[derive(Debug)]
#[must_use = "dropping it stops the server"]
pub struct Served {
    address: SocketAddr,
    base_url: Url,
    shutdown: DropGuard,
    task: AbortOnDrop,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<io::Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Served {
    /// Serves `router` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn spawn(router: Router) -> io::Result<Self> {
        Self::spawn_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), router).await
    }

    /// Serves `router` at `address`: to come back where a fake that was stopped had been.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn spawn_at(address: SocketAddr, router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let base_url = Url::parse(&format!("http://{address}/")).map_err(io::Error::other)?;
        let shutdown = CancellationToken::new();
        let stopped = shutdown.clone().cancelled_owned();
        let task = tokio::spawn(connections::serve(listener, router, stopped));
        Ok(Self {
            address,
            base_url,
            shutdown: shutdown.drop_guard(),
            task: AbortOnDrop(task),
        })
    }

    /// Where it is served, for example `http://127.0.0.1:40123/`.
    pub fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets the requests in flight finish (for at most a second) and joins the task.
    ///
    /// # Errors
    /// When the listener had failed.
    ///
    /// # Panics
    /// When a handler had panicked: with its panic.
    pub async fn stop(mut self) -> io::Result<()> {
        drop(self.shutdown);
        match (&mut self.task.0).await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(io::Error::other(error)),
            },
        }
    }
}
