//! A network between us and the server, that can fail.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Forwards connections to the server, until it is told otherwise.
pub(crate) struct Proxy {
    server: String,
    address: SocketAddr,
    silent: watch::Sender<bool>,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    pub(crate) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            server,
            address: listener.local_addr().unwrap(),
            silent: watch::Sender::new(false),
            running: Mutex::new(None),
        };
        proxy.forward(listener);
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    fn forward(&self, listener: TcpListener) {
        let (server, silent) = (self.server.clone(), self.silent.subscribe());
        let task = tokio::spawn(async move {
            // Dropped with the task, and all connections with it.
            let mut connections = tokio::task::JoinSet::new();
            let server = Arc::new(server);
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (server, mut silent) = (Arc::clone(&server), silent.clone());
                connections.spawn(async move {
                    let mut server = TcpStream::connect(server.as_str()).await.unwrap();
                    tokio::select! {
                        biased;
                        // The connection stays open, and nothing comes through any more.
                        () = async { drop(silent.wait_for(|silent| *silent).await) } => {
                            std::future::pending::<()>().await;
                        }
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                    }
                });
            }
        });
        *self.running.lock().unwrap() = Some(task);
    }

    /// Closes all connections and accepts no more.
    pub(crate) async fn cut(&self) {
        let task = self.running.lock().unwrap().take().unwrap();
        task.abort();
        task.await.unwrap_err();
    }

    /// Accepts connections again.
    pub(crate) async fn mend(&self) {
        self.forward(TcpListener::bind(self.address).await.unwrap());
    }

    /// From now on nothing comes through connections that are open or are opened.
    pub(crate) fn silence(&self) {
        self.silent.send_replace(true);
    }

    /// New connections work again. Those that fell silent stay so.
    pub(crate) fn speak(&self) {
        self.silent.send_replace(false);
    }
}
