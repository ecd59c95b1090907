//! A server that answers every request with the same bytes: what no fake would answer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A page of a web server that knows nothing of us.
pub const HTML: &str =
    "<!DOCTYPE html><html><head><title>Welcome to nginx!</title></head><body>It works</body></html>";

/// The server. Dropping it ends it.
#[derive(Debug)]
pub struct RawServer {
    pub url: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RawServer {
    /// Answers with these bytes and closes the connection.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answer, requests) = (Arc::new(answer.into()), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(answer_one(stream, Arc::clone(&answer)));
            }
        });
        Self { url, requests, task }
    }

    /// How many connections were made.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn answer_one(mut stream: TcpStream, answer: Arc<Vec<u8>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    // Whoever hangs up early has read enough.
    if stream.write_all(&answer).await.is_ok() {
        let _ = stream.shutdown().await;
        // Until the other side hangs up too: closing earlier could cut off what was sent.
        let _ = stream.read_to_end(&mut head).await;
    }
}

/// An answer with a body.
pub fn answer(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// An answer in JSON.
pub fn json(status: &str, body: &str) -> Vec<u8> {
    answer(status, "application/json", body)
}

/// A redirect.
pub fn redirect(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// Half an answer: it promises more than comes.
pub fn cut(content_type: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 100000\r\n\r\n{body}")
        .into_bytes()
}

/// An address at which nothing listens.
pub async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
