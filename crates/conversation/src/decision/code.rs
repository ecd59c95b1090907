//! Which parts of a plain text are code.

use std::ops::Range;

/// The parts of a Markdown text between backticks, in order. A fence that is never closed reaches to the end.
pub(super) fn code_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some((start, length)) = next_run(text, at) {
        let inside = start + length;
        let mut close = inside;
        let end = loop {
            match next_run(text, close) {
                Some((found, same)) if same == length => break Some(found + same),
                Some((found, other)) => close = found + other,
                None => break None,
            }
        };
        let begins_line =
            text[..start].trim_end_matches(' ').ends_with('\n') || text[..start].trim().is_empty();
        at = match end {
            Some(end) => {
                ranges.push(start..end);
                end
            }
            None if length >= 3 && begins_line => {
                ranges.push(start..text.len());
                text.len()
            }
            None => inside,
        };
    }
    ranges
}

/// The next backticks in a row: where and how many.
fn next_run(text: &str, at: usize) -> Option<(usize, usize)> {
    let start = at + text[at..].find('`')?;
    let length = text[start..].bytes().take_while(|byte| *byte == b'`').count();
    Some((start, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stands_between_equally_many_backticks() {
        for (text, expected) in [
            ("a `b` c `d`", &["`b`", "`d`"][..]),
            ("``a ` b``", &["``a ` b``"]),
            ("```\na\n```", &["```\na\n```"]),
            ("x\n  ```\na", &["```\na"]),
            ("x ```a", &[]),
            ("a ` b", &[]),
        ] {
            let found: Vec<_> = code_ranges(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
