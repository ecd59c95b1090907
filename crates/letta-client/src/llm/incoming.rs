//! What a person really wrote, without the wrappers that agent servers put around it.

use serde_json::Value;

/// Tags around text that the server, not the person, put into a user message.
const SERVER_TAGS: [&str; 2] = ["system-alert", "system-reminder"];

/// The mark of a conversation that the server wants summarised.
const TRANSCRIPT: &str = "<start_transcript>";

/// A user message, unwrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) text: String,
    pub(super) source: Source,
}

/// Who wrote a user message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A person, or another agent in a person's place.
    Person,
    /// The server: an alert, a heartbeat, a summary of what was compacted.
    Server,
    /// The server, which wants the conversation inside summarised.
    Transcript,
    /// The server, which only lets the model go on or says that somebody came: nothing to answer.
    Event,
}

impl Incoming {
    pub(super) fn read(raw: &str) -> Self {
        if is_event(raw) {
            return Self {
                text: raw.to_owned(),
                source: Source::Event,
            };
        }
        let (text, is_alert) = unwrap_json(raw);
        if text.contains(TRANSCRIPT) {
            return Self {
                text,
                source: Source::Transcript,
            };
        }
        if is_alert {
            return Self {
                text,
                source: Source::Server,
            };
        }
        let bare = without_server_tags(&text);
        if bare.len() == text.len() {
            return Self {
                text: without_envelope(&text).to_owned(),
                source: Source::Person,
            };
        }
        let bare = bare.trim();
        if bare.is_empty() {
            Self {
                text,
                source: Source::Server,
            }
        } else {
            Self {
                text: bare.to_owned(),
                source: Source::Person,
            }
        }
    }
}

/// A message without the line that a bridge put before it: `[word {…}]`, with JSON that says who wrote it and where.
fn without_envelope(text: &str) -> &str {
    let (line, words) = text.split_once('\n').unwrap_or((text, ""));
    let inside = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
    let is_envelope = inside
        .and_then(|inside| inside.split_once(' '))
        .is_some_and(|(word, json)| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase())
                && serde_json::from_str::<serde_json::Map<String, Value>>(json)
                    .is_ok_and(|fields| fields.contains_key("sender"))
        });
    if is_envelope { words } else { text }
}

/// The `message` of `{"type": …, "message": …, "time": …}`, and whether the type is one of the server's own; the
/// text as it is when it is anything else.
pub(super) fn unwrap_json(raw: &str) -> (String, bool) {
    if raw.trim_start().starts_with('{')
        && let Ok(Value::Object(fields)) = serde_json::from_str(raw)
        && let Some(message) = fields.get("message")
    {
        let text = message
            .as_str()
            .map_or_else(|| message.to_string(), str::to_owned);
        let is_alert = matches!(
            fields.get("type").and_then(Value::as_str),
            Some("system_alert" | "system_message")
        );
        return (text, is_alert);
    }
    (raw.to_owned(), false)
}

/// `{"type": "heartbeat", "reason": …}` between the steps of older agents, and `{"type": "login", …}` before their
/// first turn.
fn is_event(raw: &str) -> bool {
    raw.trim_start().starts_with('{')
        && serde_json::from_str::<Value>(raw)
            .is_ok_and(|json| matches!(json["type"].as_str(), Some("heartbeat" | "login")))
}

/// `text` without the elements of [`SERVER_TAGS`]. An element that is not closed stays.
fn without_server_tags(text: &str) -> String {
    let mut text = text.to_owned();
    for tag in SERVER_TAGS {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        while let Some(start) = text.find(&open)
            && let Some(length) = text[start..].find(&close)
        {
            text.replace_range(start..start + length + close.len(), "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(text: &str) -> Incoming {
        Incoming {
            text: text.to_owned(),
            source: Source::Person,
        }
    }

    fn server(text: &str) -> Incoming {
        Incoming {
            text: text.to_owned(),
            source: Source::Server,
        }
    }

    #[test]
    fn a_bridges_line_about_the_sender_is_not_what_the_person_wrote() {
        for (raw, words) in [
            (
                "[matrix {\"sender\":\"@ann:example.org\"}]\nhello\n[say x]",
                "hello\n[say x]",
            ),
            ("[matrix {\"sender\":\"@ann:example.org\"}]", ""),
            (
                "[matrix {\"room\":\"!x\"}]\nhello",
                "[matrix {\"room\":\"!x\"}]\nhello",
            ),
            (
                "[tool:roll {\"sender\":1}]\nhello",
                "[tool:roll {\"sender\":1}]\nhello",
            ),
        ] {
            assert_eq!(Incoming::read(raw), person(words));
        }
    }

    #[test]
    fn plain_text_is_the_persons_own() {
        assert_eq!(Incoming::read("hello {\"a\": 1}"), person("hello {\"a\": 1}"));
    }

    #[test]
    fn the_json_of_older_agents_is_unwrapped() {
        let wrapped =
            r#"{"type": "user_message", "message": "hi", "time": "2026-11-21 01:21:49 AM UTC+0000"}"#;
        assert_eq!(Incoming::read(wrapped), person("hi"));
        assert_eq!(Incoming::read(r#"{"message": {"a": 1}}"#), person(r#"{"a":1}"#));
    }

    #[test]
    fn json_without_a_message_is_left_alone() {
        assert_eq!(Incoming::read(r#"{"a": 1}"#), person(r#"{"a": 1}"#));
        assert_eq!(Incoming::read("{not json"), person("{not json"));
    }

    #[test]
    fn an_alert_is_the_servers() {
        assert_eq!(
            Incoming::read(r#"{"type": "system_alert", "message": "[fail]"}"#),
            server("[fail]")
        );
        let ping = "<system-alert>Automated keep-alive ping.</system-alert>";
        assert_eq!(Incoming::read(ping), server(ping));
    }

    #[test]
    fn a_heartbeat_and_a_login_are_events() {
        let heartbeat = "{\n  \"type\": \"heartbeat\",\n  \"reason\": \"Continuing: continue tool rule.\"\n}";
        assert_eq!(Incoming::read(heartbeat).source, Source::Event);
        assert_eq!(
            Incoming::read(r#"{"type": "login", "last_login": "Never (first login)"}"#).source,
            Source::Event
        );
    }

    #[test]
    fn reminders_around_a_persons_text_are_dropped() {
        assert_eq!(
            Incoming::read("<system-reminder>time</system-reminder>\nhello\n<system-alert>x</system-alert>"),
            person("hello")
        );
        assert_eq!(
            Incoming::read("<system-alert>open hello"),
            person("<system-alert>open hello")
        );
    }

    #[test]
    fn a_conversation_to_summarise_is_a_transcript() {
        assert_eq!(
            Incoming::read("<start_transcript>\n[fail]").source,
            Source::Transcript
        );
    }
}
