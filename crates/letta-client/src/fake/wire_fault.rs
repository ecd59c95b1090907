//! Misbehaviour that exists only on the wire: the served fake asks for it, the in-memory one never meets it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a served fake does instead of answering properly.
///
/// As JSON: `"half_body"`, `"close"`, `{"html": {"status": 502}}`, `{"redirect": {"status": 302, "to": "http://…"}}`,
/// `{"stall": 1.5}` (seconds), and so on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WireFault {
    /// A status and an HTML page, as a proxy in front of the server would send.
    Html {
        /// The HTTP status.
        status: u16,
    },
    /// A status and a JSON body of the test's own.
    Json {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Value,
    },
    /// The right status and headers, and half of the body.
    HalfBody,
    /// A redirection to this address.
    Redirect {
        /// The HTTP status, e.g. 302.
        status: u16,
        /// The `Location`.
        to: String,
    },
    /// A body of so many bytes.
    HugeBody {
        /// The HTTP status.
        status: u16,
        /// Length of the body.
        bytes: usize,
    },
    /// The connection is closed without an answer.
    Close,
    /// The answer begins after this time.
    Stall(#[serde(with = "seconds")] Duration),
    /// The connection is closed after so many bytes of the body, or of the stream.
    CutAfter {
        /// Bytes sent before.
        bytes: usize,
    },
}

/// A duration as a number of seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A wire fault that waits for its request.
#[derive(Debug, Clone)]
pub(super) struct PlannedWireFault {
    method: String,
    path: String,
    /// How often it strikes; `None` is always.
    times: Option<u32>,
    struck: u32,
    fault: WireFault,
}

impl PlannedWireFault {
    pub(super) fn new(method: &str, path: &str, times: Option<u32>, fault: WireFault) -> Self {
        Self {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            times,
            struck: 0,
            fault,
        }
    }

    /// Takes the fault if it is for this request and not spent.
    pub(super) fn strike(&mut self, method: &str, path: &str) -> Option<WireFault> {
        let path_matches = match self.path.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == self.path,
        };
        let spent = self.times.is_some_and(|times| self.struck >= times);
        if spent || !path_matches || !self.method.eq_ignore_ascii_case(method) {
            return None;
        }
        self.struck += 1;
        Some(self.fault.clone())
    }

    pub(super) fn is_used(&self) -> bool {
        self.times.map_or(self.struck > 0, |times| self.struck >= times)
    }
}

impl fmt::Display for PlannedWireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {:?} (struck {})",
            self.method, self.path, self.fault, self.struck
        )
    }
}
