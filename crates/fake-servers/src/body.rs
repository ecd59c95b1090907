//! Response bodies that take their time or break off.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

/// How long what was sent has to leave before a planned cut.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// One step of sending a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Waits.
    Wait(Duration),
    /// Sends these bytes.
    Send(Bytes),
    /// Breaks the connection off.
    Cut,
}

/// A body that is sent step by step.
pub(crate) fn in_steps(steps: Vec<Step>) -> Body {
    Body::from_stream(stream::unfold(steps.into_iter(), |mut steps| async move {
        loop {
            match steps.next()? {
                Step::Wait(delay) => tokio::time::sleep(delay).await,
                Step::Send(bytes) => return Some((Ok(bytes), steps)),
                Step::Cut => return Some((Err(cut().await), steps)),
            }
        }
    }))
}

/// A body that is cut where its source fails.
pub(crate) fn until_failure<E>(source: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Body
where
    E: Send + 'static,
{
    Body::from_stream(source.then(|item| async move {
        match item {
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(cut().await),
        }
    }))
}

/// The first `bytes` of a body; then the connection is cut.
pub(crate) fn cut_after(body: Body, bytes: usize) -> Body {
    let start = (body.into_data_stream().boxed(), bytes);
    Body::from_stream(stream::unfold(start, |(mut source, left)| async move {
        let next = if left == 0 { None } else { source.next().await };
        match next {
            Some(Ok(mut chunk)) => {
                chunk.truncate(left);
                let left = left - chunk.len();
                Some((Ok(chunk), (source, left)))
            }
            Some(Err(_)) | None => Some((Err(cut().await), (source, 0))),
        }
    }))
}

/// `filler` over and over, `bytes` long, without holding it in memory.
pub(crate) fn repeated(filler: &'static str, bytes: usize) -> Body {
    const CHUNK: usize = 64 * 1024;
    let chunk = Bytes::from(filler.repeat(CHUNK.div_ceil(filler.len())));
    Body::from_stream(
        stream::iter(Lengths {
            left: bytes,
            most: chunk.len(),
        })
        .map(move |length| Ok::<_, io::Error>(chunk.slice(..length))),
    )
}

/// The lengths of the pieces of something long.
struct Lengths {
    left: usize,
    most: usize,
}

impl Iterator for Lengths {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let length = self.left.min(self.most);
        self.left -= length;
        (length > 0).then_some(length)
    }
}

async fn cut() -> io::Error {
    tokio::time::sleep(BEFORE_CUT).await;
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut off, as planned")
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn a_repeated_body_has_the_length_asked_for() {
        for bytes in [0, 1, 70_000, 10_000_000] {
            assert_eq!(
                to_bytes(repeated("<p>", bytes), usize::MAX)
                    .await
                    .map(|body| body.len())
                    .ok(),
                Some(bytes)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_body_sends_what_it_may_and_fails() {
        let mut received = cut_after(repeated("x", 100_000), 70_000).into_data_stream();
        let mut length = 0;
        let ended = loop {
            match received.next().await {
                Some(Ok(chunk)) => length += chunk.len(),
                other => break other,
            }
        };
        assert_eq!((length, ended.is_some_and(|end| end.is_err())), (70_000, true));
    }
}
