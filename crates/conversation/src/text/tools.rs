//! What people read about the tools of an agent.

use std::time::Duration;

use letta_client::ToolCall;
use serde::de::IgnoredAny;

use super::{
    Rendered, UNFINISHED,
    plain::{one_line, plain_notice_text, with_visible_controls, without_room_mention},
    render::sanitise,
    split::{MAX_PART_BYTES, json_bytes},
};

/// How long a name may be, in characters.
const MAX_NAME_CHARS: usize = 64;
/// How much of a call's arguments is shown, in characters, if the message has room for it.
const MAX_ARGUMENT_CHARS: usize = 4_000;
/// How many calls of one request are shown.
const MAX_CALLS: usize = 20;
/// Longer arguments are shown as they are.
const MAX_PRETTY_BYTES: usize = 64 * 1024;

/// How far a tool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolState<'a> {
    /// It runs.
    Running,
    /// It is done.
    Done {
        /// How long it took.
        after: Duration,
    },
    /// It failed.
    Failed {
        /// How long it took.
        after: Duration,
        /// What it said; the first line is shown.
        error: Option<&'a str>,
    },
    /// A person did not allow it.
    Denied,
    /// It waits for a person.
    Waiting,
}

/// A line about a tool. Neither its name nor its error can be more than words in it.
pub fn tool_note(name: &str, state: ToolState<'_>) -> Rendered {
    let name = name_of(name);
    let body = match state {
        ToolState::Running => format!("🔧 {name}{UNFINISHED}"),
        ToolState::Done { after } => format!("🔧 {name} · done in {}", seconds(after)),
        ToolState::Failed { after, error } => {
            let after = seconds(after);
            let error = error
                .and_then(|error| error.trim().lines().next())
                .map(plain_notice_text)
                .filter(|error| !error.is_empty());
            match error {
                Some(error) => format!("🔧 {name} · failed after {after}: {error}"),
                None => format!("🔧 {name} · failed after {after}"),
            }
        }
        ToolState::Denied => format!("🔧 {name} · not allowed"),
        ToolState::Waiting => format!("🔧 {name} · waits for permission"),
    };
    Rendered { body, html: None }
}

/// Asks people whether these calls may run, and says how to answer.
///
/// The arguments are shown exactly as the tool would get them, but for blanks between the parts of JSON: numbers are
/// not rounded, repeated keys stay, and characters that hide are written out. What does not fit is counted.
pub fn approval_request(agent: &str, calls: &[ToolCall]) -> Rendered {
    let mut max_chars = MAX_ARGUMENT_CHARS;
    loop {
        let request = request(agent, calls, max_chars);
        let bytes = json_bytes(&request.body) + request.html.as_deref().map_or(0, json_bytes);
        if bytes <= MAX_PART_BYTES || max_chars == 0 {
            return request;
        }
        max_chars /= 2;
    }
}

/// What a request to use tools becomes when it is decided.
pub fn approval_decided<'a>(decision: &str, tools: impl Iterator<Item = &'a str>) -> Rendered {
    let names: Vec<_> = tools.take(MAX_CALLS).map(name_of).collect();
    let body = format!("🔧 {} · {}", names.join(", "), plain_notice_text(decision));
    Rendered { body, html: None }
}

fn request(agent: &str, calls: &[ToolCall], max_chars: usize) -> Rendered {
    let agent = name_of(agent);
    let what = match calls.len() {
        1 => "a tool".to_owned(),
        count => format!("{count} tools"),
    };
    let mut body = format!("🔧 {agent} asks to use {what}:");
    let mut html = format!(
        "<p>🔧 <strong>{}</strong> asks to use {what}:</p>",
        escaped(&agent)
    );
    for call in calls.iter().take(MAX_CALLS) {
        let name = name_of(&call.name);
        let (shown, hidden) = bounded(&with_visible_controls(&pretty(&call.arguments)), max_chars);
        let shown = without_room_mention(&shown);
        let fence = "`".repeat(longest_run(&shown, '`').max(2) + 1);
        body.push_str(&format!("\n\n{name}\n{fence}json\n{shown}\n{fence}{hidden}"));
        html.push_str(&format!(
            "<p><strong>{}</strong></p><pre><code class=\"language-json\">{}\n</code></pre>",
            escaped(&name),
            escaped(&shown),
        ));
        if !hidden.is_empty() {
            html.push_str(&format!("<p>{}</p>", hidden.trim()));
        }
    }
    if let Some(others) = calls.len().checked_sub(MAX_CALLS).filter(|others| *others > 0) {
        body.push_str(&format!("\n\n… and {others} more calls that are not shown"));
        html.push_str(&format!("<p>… and {others} more calls that are not shown</p>"));
    }
    body.push_str("\n\nReact with ✅ or ❌, or write !approve or !deny and a reason.");
    html.push_str(
        "<p>React with ✅ or ❌, or write <code>!approve</code> or <code>!deny</code> and a reason.</p>",
    );
    Rendered {
        body,
        html: Some(sanitise(&html)),
    }
}

fn name_of(name: &str) -> String {
    match one_line(name, MAX_NAME_CHARS) {
        name if name.is_empty() => "(no name)".to_owned(),
        name => name,
    }
}

/// The beginning of a text, and how much more there is.
fn bounded(text: &str, max_chars: usize) -> (String, String) {
    let length = text.chars().count();
    if length <= max_chars {
        return (text.to_owned(), String::new());
    }
    let shown = text.chars().take(max_chars).collect();
    (shown, format!("\n… ({} more characters)", length - max_chars))
}

/// JSON with a line for each of its parts, changed in nothing but blanks; anything else as it is.
fn pretty(json: &str) -> String {
    if json.len() > MAX_PRETTY_BYTES || serde_json::from_str::<IgnoredAny>(json).is_err() {
        return json.to_owned();
    }
    let mut pretty = String::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escape = false;
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        if in_string {
            pretty.push(character);
            in_string = escape || character != '"';
            escape = !escape && character == '\\';
            continue;
        }
        let line = |pretty: &mut String, depth: usize| {
            pretty.push('\n');
            pretty.push_str(&"  ".repeat(depth));
        };
        match character {
            '{' | '[' => {
                pretty.push(character);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                match characters.next_if(|c| matches!(c, '}' | ']')) {
                    Some(end) => pretty.push(end),
                    None => {
                        depth += 1;
                        line(&mut pretty, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut pretty, depth);
                pretty.push(character);
            }
            ',' => {
                pretty.push(',');
                line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            blank if blank.is_ascii_whitespace() => {}
            _ => {
                in_string = character == '"';
                pretty.push(character);
            }
        }
    }
    pretty
}

fn longest_run(text: &str, of: char) -> usize {
    let runs = text.split(|c| c != of).map(str::len);
    runs.max().unwrap_or(0)
}

fn seconds(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    match tenths {
        0..600 => format!("{}.{} s", tenths / 10, tenths % 10),
        _ => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use letta_client::ToolCallId;
    use proptest::prelude::*;

    use super::*;

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall {
            id: ToolCallId::from("call-1".to_owned()),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        }
    }

    #[test]
    fn a_note_says_how_far_a_tool_is() {
        let after = Duration::from_millis(1_249);
        let error = Some("\nno route\nat line 1");
        for (state, body) in [
            (ToolState::Running, "🔧 web_search …"),
            (ToolState::Done { after }, "🔧 web_search · done in 1.2 s"),
            (
                ToolState::Done { after: after * 100 },
                "🔧 web_search · done in 2 min 4 s",
            ),
            (
                ToolState::Failed { after, error },
                "🔧 web_search · failed after 1.2 s: no route",
            ),
            (
                ToolState::Failed {
                    after,
                    error: Some(" "),
                },
                "🔧 web_search · failed after 1.2 s",
            ),
            (ToolState::Denied, "🔧 web_search · not allowed"),
            (ToolState::Waiting, "🔧 web_search · waits for permission"),
        ] {
            let note = tool_note("web_search", state);
            assert_eq!(
                note,
                Rendered {
                    body: body.to_owned(),
                    html: None
                }
            );
        }
    }

    #[test]
    fn a_hostile_name_or_error_is_one_short_line() {
        let hostile = "<b>x</b>\n@room\u{202e}\u{0}".repeat(100);
        let state = ToolState::Failed {
            after: Duration::ZERO,
            error: Some(&hostile),
        };
        let Rendered { body, html } = tool_note(&hostile, state);
        assert!(body.starts_with("🔧 <b>x</b> @\u{200b}room<b>x</b>"), "{body}");
        assert_eq!(html, None);
        assert!(!body.contains(['\n', '\u{202e}', '\u{0}']) && !body.contains("@room"));
        assert!(body.chars().count() < 340);
    }

    #[test]
    fn a_request_shows_what_the_tool_would_get() {
        let arguments = r#"{"path":"/a","path":"/b", "n":12345678901234567890.10,"l":[1,{}],"s":"\",{:<b>"}"#;
        let Rendered { body, html } = approval_request("Ann <i>", &[call("rm", arguments)]);
        let json = "{\n  \"path\": \"/a\",\n  \"path\": \"/b\",\n  \"n\": 12345678901234567890.10,\n  \"l\": [\n    1,\n    {}\n  ],\n  \"s\": \"\\\",{:<b>\"\n}";
        assert_eq!(
            body,
            format!(
                "🔧 Ann <i> asks to use a tool:\n\nrm\n```json\n{json}\n```\n\nReact with ✅ or ❌, or write !approve or !deny and a reason."
            )
        );
        let html = html.unwrap();
        assert!(html.contains("<strong>Ann &lt;i&gt;</strong>"), "{html}");
        assert!(
            html.contains("<pre><code class=\"language-json\">{\n  \"path\""),
            "{html}"
        );
        assert!(html.contains("&lt;b&gt;"), "{html}");
    }

    #[test]
    fn arguments_cannot_leave_their_block_nor_hide() {
        let arguments = "````\n</code></pre><script>@room\u{202e}";
        let Rendered { body, html } = approval_request("a", &[call("t", arguments)]);
        assert!(body.contains("\n`````json\n````\n"), "{body}");
        assert!(body.contains("@\u{200b}room\\u202e\n`````\n"), "{body}");
        let html = html.unwrap();
        assert!(html.contains("&lt;/code&gt;&lt;/pre&gt;&lt;script&gt;"), "{html}");
    }

    #[test]
    fn a_request_is_bounded_and_says_what_it_leaves_out() {
        let one = approval_request("a", &[call("t", &"x".repeat(5_000))]);
        assert!(one.body.contains("\n… (1000 more characters)\n"), "{}", one.body);
        assert!(one.html.unwrap().contains("<p>… (1000 more characters)</p>"));
        let calls = vec![call(&"&".repeat(500), &"&\n".repeat(50_000)); 30];
        let many = approval_request("a", &calls);
        assert!(many.body.contains("asks to use 30 tools") && many.body.contains("10 more calls"));
        assert!(json_bytes(&many.body) + json_bytes(&many.html.unwrap()) <= MAX_PART_BYTES);
    }

    proptest! {
        #[test]
        fn pretty_json_is_the_same_json(
            keys in prop::collection::vec("[a-z\"\\\\{}\\[\\]:, ]{0,8}", 0..6),
            number in any::<i64>(),
        ) {
            let value = serde_json::json!({ "keys": keys, "deep": { "n": number, "none": null, "empty": [] } });
            let pretty = pretty(&value.to_string());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&pretty).unwrap(), value.clone());
            prop_assert_eq!(pretty, serde_json::to_string_pretty(&value).unwrap());
        }
    }
}
