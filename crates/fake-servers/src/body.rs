//! Response bodies that take their time or break off.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

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
                Step::Cut => {
                    tokio::time::sleep(BEFORE_CUT).await;
                    let cut = io::Error::new(io::ErrorKind::ConnectionAborted, "cut off, as planned");
                    return Some((Err(cut), steps));
                }
            }
        }
    }))
}
