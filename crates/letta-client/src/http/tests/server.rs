//! A server that does as it is told, one connection after the other.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::http::{HttpLetta, HttpLettaBuilder, RetryPolicy};

/// What happens on one connection after the request was read.
pub(super) enum Act {
    /// These bytes, then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes, piece by piece, then the connection is closed.
    Pieces(Vec<Vec<u8>>),
    /// These bytes, then silence.
    ThenSilence(Vec<u8>),
    /// Closed without a word.
    Close,
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Method and path.
    pub(super) line: String,
    /// Header lines in lower case.
    pub(super) headers: Vec<String>,
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(super) struct Scripted {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    pub(super) async fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let acts: Vec<_> = acts.into_iter().collect();
        let task = tokio::spawn(serve(listener, acts, Arc::clone(&seen)));
        Self { url, seen, task }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// A client without patience and without repetitions.
    pub(super) fn client(&self) -> HttpLetta {
        self.builder().build().unwrap()
    }

    pub(super) fn builder(&self) -> HttpLettaBuilder {
        HttpLetta::builder(&self.url)
            .token("not-a-real-token".into())
            .answer_timeout(Duration::from_secs(10))
            .first_event_timeout(Duration::from_millis(200))
            .retry(RetryPolicy::none())
    }

    /// A client that repeats, without waiting long.
    pub(super) fn patient(&self) -> HttpLetta {
        self.builder()
            .retry(RetryPolicy {
                max_retries: 2,
                min_delay: Duration::from_millis(1),
                max_delay: Duration::from_millis(2),
                max_total: Duration::from_secs(5),
            })
            .build()
            .unwrap()
    }
}

async fn serve(listener: TcpListener, acts: Vec<Act>, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut silent = Vec::new();
    for act in acts {
        let Ok((mut stream, _)) = listener.accept().await else {
            return;
        };
        let Some(request) = read_request(&mut stream).await else {
            continue;
        };
        seen.lock().unwrap().push(request);
        match act {
            Act::Bytes(bytes) => drop(stream.write_all(&bytes).await),
            Act::Pieces(pieces) => {
                for piece in pieces {
                    drop(stream.write_all(&piece).await);
                    drop(stream.flush().await);
                    tokio::task::yield_now().await;
                }
            }
            Act::ThenSilence(bytes) => {
                drop(stream.write_all(&bytes).await);
                silent.push(stream);
            }
            Act::Close => {}
        }
    }
    // Whoever still waits goes on waiting; whoever comes now is turned away.
    drop(listener);
    std::future::pending::<()>().await;
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<_> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            format!("{}: {value}", name.to_ascii_lowercase())
        })
        .collect();
    let length = headers
        .iter()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = bytes[head_end + 4..].to_vec();
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen {
        line,
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// An answer with these headers (lines) and this body.
pub(super) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(super) fn json(status: &str, body: &Value) -> Act {
    Act::Bytes(answer(status, "content-type: application/json", body.to_string()))
}

pub(super) fn ok(body: &Value) -> Act {
    json("200 OK", body)
}

/// The headers of a stream without a length: it ends when the connection does.
pub(super) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n";

/// The same, with a length that only the last chunk ends.
pub(super) const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                                  transfer-encoding: chunked\r\nconnection: close\r\n\r\n";

pub(super) fn stream(events: &str) -> Act {
    Act::Bytes(format!("{STREAM}{events}").into_bytes())
}

pub(super) fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}
