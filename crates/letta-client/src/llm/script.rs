//! Replies that a test or a configuration plans ahead of the requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::completion::{Cut, Failure, ProviderErrorKind};

/// A reply that is used instead of what the markers would say.
///
/// As JSON it is one flat object; every field may be left out:
///
/// ```json
/// {"when": "weather", "times": 2, "say": "Sunny.", "think": "Look outside.", "slow": 0.5, "trickle": 2}
/// {"tool_calls": [{"name": "look_up", "arguments": {"q": "weather"}}]}
/// {"fail": 429, "message": "Too many requests", "retry_after": 3}
/// {"context_length": true}
/// {"not_json": "<html>Bad gateway</html>"}
/// {"disconnect": true}
/// {"say": "one two three", "cut_after": 2, "cut": "silent"}
/// ```
///
/// An object with none of `say`, `tool_calls`, `fail`, `context_length`, `not_json`, `disconnect` leaves the answer
/// as it would be and only changes its delays (`slow`, `trickle`, in seconds) or cuts its stream (`cut_after`, in
/// chunks; `cut` is `broken` unless it says `silent`). Clients of providers often retry on 429 and 5xx by themselves: a failure that must reach the user needs
/// `times` accordingly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct ScriptedReply {
    pub(super) when: Option<String>,
    pub(super) times: u32,
    pub(super) reply: Reply,
    pub(super) think: Option<String>,
    pub(super) slow: Option<Duration>,
    pub(super) trickle: Option<Duration>,
    pub(super) cut_after: Option<usize>,
    pub(super) cut: Cut,
}

/// What a scripted reply says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// What the markers and the configured behaviour say.
    AsUsual,
    Answer {
        text: Option<String>,
        calls: Vec<ScriptedCall>,
    },
    Fail(Failure),
    /// Fails with the context length of the model that is asked.
    ContextLength,
}

/// A tool call in a [`ScriptedReply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedCall {
    /// The tool's name.
    pub name: String,
    /// The arguments.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// A scripted reply that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a scripted reply {problem}")]
pub struct InvalidScript {
    problem: &'static str,
}

impl ScriptedReply {
    fn new(reply: Reply) -> Self {
        Self {
            when: None,
            times: 1,
            reply,
            think: None,
            slow: None,
            trickle: None,
            cut_after: None,
            cut: Cut::Broken,
        }
    }

    /// The usual answer: for changing only its delays or cutting its stream.
    #[must_use]
    pub fn as_usual() -> Self {
        Self::new(Reply::AsUsual)
    }

    /// Answers `text`.
    pub fn say(text: impl Into<String>) -> Self {
        Self::new(Reply::Answer {
            text: Some(text.into()),
            calls: Vec::new(),
        })
    }

    /// Calls the tool `name`.
    pub fn call(name: impl Into<String>, arguments: Map<String, Value>) -> Self {
        let call = ScriptedCall {
            name: name.into(),
            arguments,
        };
        Self::new(Reply::Answer {
            text: None,
            calls: vec![call],
        })
    }

    /// Calls several tools at once.
    pub fn calls(calls: impl IntoIterator<Item = ScriptedCall>) -> Self {
        Self::new(Reply::Answer {
            text: None,
            calls: calls.into_iter().collect(),
        })
    }

    /// Fails.
    #[must_use]
    pub fn fail(failure: Failure) -> Self {
        Self::new(Reply::Fail(failure))
    }

    /// Fails with the context length of the model that is asked.
    #[must_use]
    pub fn fail_context_length() -> Self {
        Self::new(Reply::ContextLength)
    }

    /// Only for requests whose last user message contains `text`. Others pass the reply by and leave it waiting.
    #[must_use]
    pub fn when(mut self, text: impl Into<String>) -> Self {
        self.when = Some(text.into());
        self
    }

    /// For so many requests instead of one; 0 counts as 1.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times.max(1);
        self
    }

    /// Reasons `text` before answering.
    #[must_use]
    pub fn think(mut self, text: impl Into<String>) -> Self {
        self.think = Some(text.into());
        self
    }

    /// Waits so long before the first byte.
    #[must_use]
    pub fn slow(mut self, delay: Duration) -> Self {
        self.slow = Some(delay);
        self
    }

    /// Spreads a streamed answer over so long.
    #[must_use]
    pub fn trickle(mut self, spread: Duration) -> Self {
        self.trickle = Some(spread);
        self
    }

    /// Cuts a streamed answer after so many chunks.
    #[must_use]
    pub fn cut_after(mut self, chunks: usize, how: Cut) -> Self {
        (self.cut_after, self.cut) = (Some(chunks), how);
        self
    }

    pub(super) fn is_for(&self, last_user_text: &str) -> bool {
        self.when
            .as_ref()
            .is_none_or(|text| last_user_text.contains(text))
    }
}

/// [`ScriptedReply`] as JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    say: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ScriptedCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trickle: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_after: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<ProviderErrorKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    context_length: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_json: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disconnect: bool,
}

impl TryFrom<Wire> for ScriptedReply {
    type Error = InvalidScript;

    fn try_from(wire: Wire) -> Result<Self, InvalidScript> {
        let invalid = |problem| Err(InvalidScript { problem });
        let answers = wire.say.is_some() || !wire.tool_calls.is_empty();
        let failures = [
            wire.fail.is_some(),
            wire.context_length,
            wire.not_json.is_some(),
            wire.disconnect,
        ];
        match failures.into_iter().filter(|failure| *failure).count() {
            0 => {}
            1 if answers => return invalid("either answers or fails, not both"),
            1 if wire.think.is_some() || wire.cut_after.is_some() || wire.trickle.is_some() => {
                return invalid("that fails has no answer to think about, cut or spread");
            }
            1 => {}
            _ => return invalid("fails in one way only"),
        }
        if wire.fail.is_none()
            && (wire.kind.is_some() || wire.message.is_some() || wire.retry_after.is_some())
        {
            return invalid("has `kind`, `message` and `retry_after` only together with `fail`");
        }
        if wire.cut.is_some() && wire.cut_after.is_none() {
            return invalid("says how a stream is cut (`cut`) only together with when (`cut_after`)");
        }
        if wire.times == Some(0) {
            return invalid("must be meant for at least one request (`times`)");
        }
        let reply = if let Some(status) = wire.fail {
            if !(400..600).contains(&status) {
                return invalid("fails with a status from 400 to 599");
            }
            Reply::Fail(Failure::Status {
                status,
                kind: wire
                    .kind
                    .unwrap_or_else(|| ProviderErrorKind::from_status(status)),
                message: wire.message.unwrap_or_else(|| Failure::status(status).message()),
                retry_after: seconds(wire.retry_after)?,
            })
        } else if wire.context_length {
            Reply::ContextLength
        } else if let Some(body) = wire.not_json {
            Reply::Fail(Failure::NotJson { body })
        } else if wire.disconnect {
            Reply::Fail(Failure::Disconnect)
        } else if answers {
            Reply::Answer {
                text: wire.say,
                calls: wire.tool_calls,
            }
        } else {
            Reply::AsUsual
        };
        Ok(Self {
            when: wire.when,
            times: wire.times.unwrap_or(1),
            reply,
            think: wire.think,
            slow: seconds(wire.slow)?,
            trickle: seconds(wire.trickle)?,
            cut_after: wire.cut_after,
            cut: wire.cut.unwrap_or(Cut::Broken),
        })
    }
}

fn seconds(seconds: Option<f64>) -> Result<Option<Duration>, InvalidScript> {
    seconds
        .map(Duration::try_from_secs_f64)
        .transpose()
        .map_err(|_| InvalidScript {
            problem: "has times in seconds, from 0",
        })
}

impl From<ScriptedReply> for Wire {
    fn from(scripted: ScriptedReply) -> Self {
        let mut wire = Self {
            when: scripted.when,
            times: Some(scripted.times),
            think: scripted.think,
            slow: scripted.slow.map(|delay| delay.as_secs_f64()),
            trickle: scripted.trickle.map(|delay| delay.as_secs_f64()),
            cut_after: scripted.cut_after,
            cut: scripted.cut_after.map(|_| scripted.cut),
            ..Self::default()
        };
        match scripted.reply {
            Reply::AsUsual => {}
            Reply::Answer { text, calls } => (wire.say, wire.tool_calls) = (text, calls),
            Reply::ContextLength | Reply::Fail(Failure::ContextLengthExceeded { .. }) => {
                wire.context_length = true;
            }
            Reply::Fail(Failure::NotJson { body }) => wire.not_json = Some(body),
            Reply::Fail(Failure::Disconnect) => wire.disconnect = true,
            Reply::Fail(Failure::Status {
                status,
                kind,
                message,
                retry_after,
            }) => {
                wire.fail = Some(status);
                wire.kind = Some(kind);
                wire.message = Some(message);
                wire.retry_after = retry_after.map(|delay| delay.as_secs_f64());
            }
        }
        wire
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_survives_json() {
        for shape in [
            json!({"when": "weather", "times": 2, "say": "Sunny.", "think": "Look.", "slow": 0.5, "trickle": 2.0}),
            json!({"times": 1, "tool_calls": [{"name": "look_up", "arguments": {"q": 1}}]}),
            json!({"times": 1, "fail": 429, "kind": "rate_limited", "message": "slow down", "retry_after": 3.0}),
            json!({"times": 1, "context_length": true}),
            json!({"times": 1, "not_json": "<html>"}),
            json!({"times": 1, "disconnect": true}),
            json!({"times": 3, "cut_after": 2, "cut": "silent"}),
        ] {
            let reply: ScriptedReply = serde_json::from_value(shape.clone()).unwrap();
            assert_eq!(serde_json::to_value(reply).unwrap(), shape);
        }
    }

    #[test]
    fn contradictions_are_refused_with_a_reason() {
        for (shape, reason) in [
            (json!({"say": "x", "fail": 500}), "either answers or fails"),
            (json!({"fail": 500, "disconnect": true}), "one way only"),
            (json!({"fail": 200}), "400 to 599"),
            (json!({"message": "x"}), "together with `fail`"),
            (json!({"cut": "silent"}), "only together with when"),
            (json!({"times": 0}), "at least one request"),
            (json!({"slow": -1}), "in seconds"),
            (json!({"fail": 500, "trickle": 1}), "no answer to"),
            (json!({"sya": "x"}), "unknown field `sya`"),
        ] {
            let error = serde_json::from_value::<ScriptedReply>(shape.clone())
                .unwrap_err()
                .to_string();
            assert!(error.contains(reason), "{shape}: {error}");
        }
    }
}
