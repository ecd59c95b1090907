//! Long answers in several messages.

/// How large the text of one message may be, in bytes of JSON. An event may have 65,535 bytes with all that belongs
/// to it; clients are slow with far less.
pub(crate) const MAX_PART_BYTES: usize = 32 * 1024;

/// Cuts a text into parts of at most `max` bytes of JSON: at an empty line, else at the end of a line, else at a
/// space, else anywhere between two characters. White space at a cut is dropped.
pub(crate) fn split(text: &str, max: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let fitting = fitting_prefix(rest, max);
        let cut = if fitting.len() == rest.len() {
            rest.len()
        } else {
            good_cut(fitting)
        };
        let (part, others) = rest.split_at(cut);
        parts.push(part.trim_end());
        rest = others.trim_start();
    }
    parts
}

/// The longest beginning that takes at most `max` bytes of JSON; never nothing.
fn fitting_prefix(text: &str, max: usize) -> &str {
    let mut bytes = 0;
    for (at, character) in text.char_indices() {
        bytes += json_bytes(character);
        if bytes > max && at > 0 {
            return &text[..at];
        }
    }
    text
}

/// Where to cut a text that does not end with its last character. Not in its first half: parts are to be few.
fn good_cut(text: &str) -> usize {
    let half = text.len() / 2;
    ["\n\n", "\n", " "]
        .iter()
        .filter_map(|separator| text.rfind(separator))
        .find(|cut| *cut > half)
        .unwrap_or(text.len())
}

fn json_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_text_stays_whole() {
        assert_eq!(split("  one\n\ntwo ", 100), ["one\n\ntwo"]);
        assert_eq!(split(" \n", 100), Vec::<&str>::new());
    }

    #[test]
    fn a_long_text_is_cut_where_it_hurts_least() {
        assert_eq!(
            split("aaaa bbbb\n\ncccc dddd\neeee", 16),
            ["aaaa bbbb", "cccc dddd\neeee"]
        );
        assert_eq!(split("aaaa bbbb\ncccc dddd", 14), ["aaaa bbbb", "cccc dddd"]);
        assert_eq!(split("aaaa bbbb cccc", 11), ["aaaa bbbb", "cccc"]);
        assert_eq!(split("ääääää", 5), ["ää", "ää", "ää"]);
    }

    #[test]
    fn one_character_larger_than_a_part_still_goes_out() {
        assert_eq!(split("🦀🦀", 1), ["🦀", "🦀"]);
    }

    proptest! {
        #[test]
        fn parts_fit_and_lose_nothing_but_white_space(text in "([a-z]{1,9}|[ \n]{1,3}|ä|🦀|\"|\u{1}){0,60}", max in 6usize..80) {
            let parts = split(&text, max);
            for part in &parts {
                let json = serde_json::to_string(part).unwrap();
                prop_assert!(!part.is_empty() && json.len() - 2 <= max, "{json}");
            }
            let without_space = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(without_space(&parts.concat()), without_space(&text));
        }
    }
}
