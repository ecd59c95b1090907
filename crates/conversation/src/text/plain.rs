//! Making untrusted text harmless.

use std::fmt::Write;

/// How long a name or an error in a notice may be, in characters.
const MAX_NOTICE_CHARS: usize = 200;

/// Untrusted text as part of one line: without control characters, line breaks and characters that turn the
/// direction of writing or show nothing, at most 200 characters (an ellipsis ends what was longer), and
/// unable to notify a room.
pub fn plain_notice_text(text: &str) -> String {
    one_line(text, MAX_NOTICE_CHARS)
}

/// Untrusted text as part of one line of Markdown: like [`plain_notice_text`], at most so many characters, and without
/// characters that mean something in Markdown.
pub fn plain_line(text: &str, max_chars: usize) -> String {
    one_line(text, max_chars).replace(['`', '*', '_', '[', ']', '<', '>', '#', '\\', '~', '|'], " ")
}

/// [`plain_notice_text`] with another bound.
pub(super) fn one_line(text: &str, max_chars: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut space = false;
    for character in text.chars() {
        if character.is_whitespace() || is_line_break(character) {
            space = length > 0;
            continue;
        }
        if is_invisible(character) {
            continue;
        }
        let needed = 1 + usize::from(space);
        if length + needed > max_chars.saturating_sub(1) {
            line.push('…');
            break;
        }
        if std::mem::take(&mut space) {
            line.push(' ');
        }
        line.push(character);
        length += needed;
    }
    without_room_mention(&line)
}

/// The text with a zero width space in every `@room`: older clients and servers notify everybody in a room when
/// they find that word, whatever `m.mentions` says.
pub(super) fn without_room_mention(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at + 1);
        harmless.push_str(before);
        if after
            .get(..4)
            .is_some_and(|word| word.eq_ignore_ascii_case("room"))
        {
            harmless.push('\u{200b}');
        }
        rest = after;
    }
    harmless.push_str(rest);
    harmless
}

/// The text with control characters and characters of direction written as `\u202e`, for what must be seen as it is.
pub(super) fn with_visible_controls(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if is_invisible(character) && !matches!(character, '\n' | '\t') {
            // Writing to a string cannot fail.
            let _ = write!(visible, "\\u{:04x}", u32::from(character));
        } else {
            visible.push(character);
        }
    }
    visible
}

/// Text with several lines without what no text needs: control characters but tab and line feed, and overrides of
/// the direction of writing, which would reach past the message.
pub(super) fn clean(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .filter_map(|character| match character {
            '\r' => Some('\n'),
            '\n' | '\t' => Some(character),
            '\u{202d}' | '\u{202e}' => None,
            _ if character.is_control() => None,
            _ => Some(character),
        })
        .collect()
}

/// Whether somebody could take this for the end of a line.
pub(super) fn is_line_break(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Whether the character shows nothing of itself: controls, direction, joiners, fillers, selectors, tags. The
/// joiner of emoji is among them; a name without it shows its emoji one by one.
pub(super) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_has_neither_breaks_nor_tricks() {
        for (hostile, line) in [
            ("  a\r\n\n b\u{2028}c\u{85}d ", "a b c d"),
            ("safe\u{202e}txt.exe\u{202c}", "safetxt.exe"),
            ("\u{2066}x\u{2069}\u{200b}\u{feff}\u{0}\u{1b}[31m", "x[31m"),
            ("wake @Room now @roomy", "wake @\u{200b}Room now @\u{200b}roomy"),
            ("שלום 日本 é", "שלום 日本 é"),
            ("", ""),
        ] {
            assert_eq!(plain_notice_text(hostile), line, "{hostile:?}");
        }
    }

    #[test]
    fn what_is_shown_as_it_is_shows_what_would_hide() {
        assert_eq!(with_visible_controls("a\u{202e}b\n\u{1}"), "a\\u202eb\n\\u0001");
        assert_eq!(clean("a\r\nb\rc\u{202e}\u{0}\td"), "a\nb\nc\td");
    }

    proptest! {
        #[test]
        fn a_line_is_bounded_and_clean_whatever_comes_in(text in "\\PC{0,300}|(?s:.){0,300}") {
            let line = plain_notice_text(&text.replace('@', ""));
            prop_assert!(line.chars().count() <= MAX_NOTICE_CHARS);
            prop_assert!(!line.chars().any(|c| is_invisible(c) || is_line_break(c)), "{line:?}");
        }
    }
}
