//! Finds the markers in a user message.

use std::time::Duration;

use serde_json::{Map, Value};

/// The longest delay that a marker may ask for.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the markers of one message ask for; see the table in [the module](super).
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Markers {
    pub(super) calls: Vec<MarkedCall>,
    pub(super) loops: Vec<MarkedCall>,
    pub(super) fail: Option<u16>,
    pub(super) fail_once: Option<String>,
    pub(super) context_length: bool,
    pub(super) drop_stream: bool,
    pub(super) cut_stream: bool,
    pub(super) bad_json: bool,
    pub(super) slow: Option<Duration>,
    pub(super) trickle: Option<Duration>,
    pub(super) think: Option<String>,
    pub(super) say: Option<String>,
    pub(super) long: Option<usize>,
    pub(super) empty: bool,
    pub(super) context: bool,
}

/// A tool call that a marker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MarkedCall {
    pub(super) name: String,
    /// The text of a JSON object, as it was written.
    pub(super) arguments: String,
}

impl Markers {
    pub(super) fn read(text: &str) -> Self {
        Self {
            calls: calls("tool", text),
            loops: calls("loop", text),
            fail: argument("fail", text).map(|status| {
                status
                    .parse()
                    .ok()
                    .filter(|status| (400..600).contains(status))
                    .unwrap_or(500)
            }),
            fail_once: argument("failonce", text).map(str::to_owned),
            context_length: argument("ctx", text).is_some(),
            drop_stream: argument("dropstream", text).is_some(),
            cut_stream: argument("cutstream", text).is_some(),
            bad_json: argument("badjson", text).is_some(),
            slow: argument("slow", text).map(|seconds| duration(seconds, 1)),
            trickle: argument("trickle", text).map(|seconds| duration(seconds, 5)),
            think: argument("think", text).map(str::to_owned),
            say: argument("say", text).map(str::to_owned),
            long: argument("long", text).map(|words| words.parse().unwrap_or(200)),
            empty: argument("empty", text).is_some(),
            context: argument("context", text).is_some(),
        }
    }
}

/// The trimmed text between `[name` and the next `]`; empty for `[name]`.
fn argument<'a>(name: &str, text: &'a str) -> Option<&'a str> {
    let opening = format!("[{name}");
    text.match_indices(&opening).find_map(|(at, _)| {
        let rest = &text[at + opening.len()..];
        let inside = &rest[..rest.find(']')?];
        (inside.is_empty() || inside.starts_with(char::is_whitespace)).then(|| inside.trim())
    })
}

/// Every `[kind:NAME {json}]`. Arguments that are missing or not a JSON object are `{}`.
fn calls(kind: &str, text: &str) -> Vec<MarkedCall> {
    let opening = format!("[{kind}:");
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(&opening) {
        rest = &rest[at + opening.len()..];
        let length = rest.find(|c: char| !is_name_character(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(length);
        rest = after;
        if name.is_empty() {
            continue;
        }
        let body = after.trim_start();
        let mut objects = serde_json::Deserializer::from_str(body).into_iter::<Map<String, Value>>();
        let mut arguments = "{}";
        if let Some(Ok(_)) = objects.next() {
            (arguments, rest) = body.split_at(objects.byte_offset());
        }
        found.push(MarkedCall {
            name: name.to_owned(),
            arguments: arguments.trim().to_owned(),
        });
    }
    found
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn duration(seconds: &str, otherwise: u64) -> Duration {
    seconds
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(Duration::from_secs(otherwise))
        .min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(name: &str, arguments: &str) -> MarkedCall {
        MarkedCall {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        }
    }

    #[test]
    fn text_without_markers_has_none() {
        assert_eq!(
            Markers::read("[a] list [failure] of [things: 3] and [[slowly]"),
            Markers::default()
        );
    }

    #[test]
    fn calls_keep_their_arguments_as_written() {
        let markers = Markers::read(r#"please [tool:look_up {"q": "a ] } b", "n": [1]}] [tool:roll] now"#);
        assert_eq!(
            markers.calls,
            [
                call("look_up", r#"{"q": "a ] } b", "n": [1]}"#),
                call("roll", "{}")
            ]
        );
    }

    #[test]
    fn arguments_that_are_no_object_are_empty() {
        assert_eq!(Markers::read("[tool:a {oops}]").calls, [call("a", "{}")]);
        assert_eq!(Markers::read("[tool:a [1]]").calls, [call("a", "{}")]);
        assert_eq!(Markers::read("[tool: a]").calls, []);
    }

    #[test]
    fn a_loop_is_not_a_call() {
        let markers = Markers::read(r#"[loop:spin {"n":1}]"#);
        assert_eq!(
            (markers.calls, markers.loops),
            (vec![], vec![call("spin", r#"{"n":1}"#)])
        );
    }

    #[test]
    fn a_status_is_read_and_nonsense_is_500() {
        assert_eq!(Markers::read("[fail]").fail, Some(500));
        assert_eq!(Markers::read("[fail 429] x").fail, Some(429));
        assert_eq!(Markers::read("[fail 200]").fail, Some(500));
        assert_eq!(Markers::read("[fail soon]").fail, Some(500));
        assert_eq!(Markers::read("[failonce a]").fail, None);
    }

    #[test]
    fn delays_have_defaults_and_a_limit() {
        assert_eq!(Markers::read("[slow]").slow, Some(Duration::from_secs(1)));
        assert_eq!(
            Markers::read("[slow 0.25]").slow,
            Some(Duration::from_millis(250))
        );
        assert_eq!(Markers::read("[slow -1]").slow, Some(Duration::from_secs(1)));
        assert_eq!(Markers::read("[slow 1e300]").slow, Some(Duration::from_secs(1)));
        assert_eq!(Markers::read("[slow 9999999]").slow, Some(LONGEST_DELAY));
        assert_eq!(Markers::read("[trickle]").trickle, Some(Duration::from_secs(5)));
    }

    #[test]
    fn words_inside_brackets_are_kept() {
        let markers = Markers::read("[think it over] [say Hello, world!] [long 3]");
        assert_eq!(markers.think.as_deref(), Some("it over"));
        assert_eq!(markers.say.as_deref(), Some("Hello, world!"));
        assert_eq!(markers.long, Some(3));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in r#"([\[\]{}":, a-z0-9é]|\[tool:|\[fail |\[say |\{"a":)*"#) {
            let markers = Markers::read(&text);
            for found in markers.calls.iter().chain(&markers.loops) {
                prop_assert!(serde_json::from_str::<Map<String, Value>>(&found.arguments).is_ok());
            }
        }

        #[test]
        fn any_json_object_survives_as_arguments(key in "[a-z]{1,5}", value in any::<String>()) {
            let arguments = serde_json::json!({ key: value }).to_string();
            let markers = Markers::read(&format!("x [tool:t {arguments}] y"));
            prop_assert_eq!(markers.calls, vec![call("t", &arguments)]);
        }
    }
}
