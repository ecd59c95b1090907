//! A scripted server on loopback: one answer per request.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::super::{HttpMatrix, HttpMatrixBuilder, RetryPolicy};

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Writes this and closes the connection.
    Raw(Vec<u8>),
    /// Reads the request and closes the connection without a word.
    Cut,
    /// Reads the request and never answers.
    Silence,
}

pub(super) fn answer(status: u16, headers: &str, body: &str) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    Answer::Raw([head.as_bytes(), body.as_bytes()].concat())
}

pub(super) fn json_answer(status: u16, body: &serde_json::Value) -> Answer {
    answer(status, "content-type: application/json\r\n", &body.to_string())
}

pub(super) struct Server {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Gives each request the next answer, and the last one to all that follow.
    pub(super) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(listener, answers, Arc::clone(&seen)));
        Self { url, seen, task }
    }

    pub(super) fn builder(&self) -> HttpMatrixBuilder {
        HttpMatrix::builder(self.url.parse().expect("a URL")).retry(
            RetryPolicy::default()
                .max_tries(3)
                .first_pause(Duration::from_millis(1)),
        )
    }

    pub(super) fn client(&self) -> HttpMatrix {
        self.builder().build().expect("a client")
    }

    /// The request lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter()
            .map(|request| request.lines().next().unwrap_or_default().to_owned())
            .collect()
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, answers: Vec<Answer>, seen: Arc<Mutex<Vec<String>>>) {
    let mut silent = Vec::new();
    for index in 0.. {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let request = read_request(&mut stream).await;
        seen.lock().expect("no panic").push(request);
        match answers.get(index).or(answers.last()).expect("an answer") {
            // The client may stop reading on purpose.
            Answer::Raw(bytes) => drop(stream.write_all(bytes).await),
            Answer::Cut => {}
            Answer::Silence => silent.push(stream),
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                return text.into_owned();
            }
        }
        if stream.read_buf(&mut bytes).await.expect("a request") == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}
