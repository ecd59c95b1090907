//! Cutting what is inside quotes and list items.

use std::borrow::Cow;

use super::{
    Cut, Fits, MAX_CONTAINERS,
    blocks::{Block, Kind, Line, open_fence},
    cut,
};

/// Inside the first item of a list. What is left of the item goes on as text of its own, without the item's
/// indentation; the other items go on with their numbers.
pub(super) fn item(
    text: &str,
    window: &str,
    block: &Block,
    max_bytes: usize,
    fits: &Fits<'_>,
    containers: usize,
) -> Option<Cut> {
    let Kind::List { first_number, items } = &block.kind else {
        return None;
    };
    let start = *items.first()?;
    let marker = Marker::of(Line::at(text, start).text)?;
    if containers >= MAX_CONTAINERS {
        return None;
    }
    // Beyond the window only indentation tells what is in the item.
    let known_end = items.get(1).copied().unwrap_or(block.end);
    let end = if known_end < window.len() {
        known_end
    } else {
        item_end(text, start, marker.columns)
    };
    let inner = without_indentation(&text[start + marker.bytes..end], marker.columns);
    let before = &text[..start + marker.bytes];
    let wrap = |inner: &str| format!("{before}{}", indented(inner.trim_end(), marker.columns));

    let Cut { head, tail } = cut(&inner, max_bytes, &|inner| fits(&wrap(inner)), containers + 1);
    let mut rest = tail.trim_end().to_owned();
    if let Some(fence) = open_fence(&rest) {
        rest = format!("{rest}\n{fence}");
    }
    let others = match items.len() {
        1 if known_end < window.len() => text[end..].to_owned(),
        _ => numbered(&text[end..], *first_number, 1),
    };
    Some(Cut {
        head: wrap(&head),
        tail: format!("{rest}\n\n{others}"),
    })
}

/// Inside a quote, which goes on as a quote.
pub(super) fn quote(
    text: &str,
    window: &str,
    block: &Block,
    max_bytes: usize,
    fits: &Fits<'_>,
    containers: usize,
) -> Option<Cut> {
    if containers >= MAX_CONTAINERS {
        return None;
    }
    let known_end = if block.end < window.len() { block.end } else { 0 };
    let mut inner = String::new();
    let mut end = block.start;
    while end < text.len() {
        let line = Line::at(text, end);
        match unquoted(line.text) {
            Some(content) => inner.push_str(content),
            None if end < known_end && !line.text.trim().is_empty() => inner.push_str(line.text),
            None => break,
        }
        inner.push('\n');
        end = line.end;
    }
    let quoted = |inner: &str| {
        let lines = inner.trim_end().split('\n');
        lines
            .map(|line| format!("> {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let before = &text[..block.start];
    let wrap = |inner: &str| format!("{before}{}", quoted(inner));

    let Cut { head, tail } = cut(&inner, max_bytes, &|inner| fits(&wrap(inner)), containers + 1);
    let rest = match tail.trim().is_empty() {
        true => String::new(),
        false => quoted(super::trim_blank_lines(&tail)),
    };
    Some(Cut {
        head: wrap(&head),
        tail: format!("{rest}\n\n{}", &text[end..]),
    })
}

/// The text, which begins with the item of this index, such that the item keeps its number when it becomes the
/// first of a list.
pub(super) fn numbered(text: &str, first_number: Option<u64>, index: usize) -> String {
    let renumbered = || {
        let expected = first_number? + u64::try_from(index).ok()?;
        let marker = Marker::of(Line::at(text, 0).text)?;
        if marker.number? == expected {
            return None;
        }
        let (old, new) = (marker.digits, expected.to_string());
        let end = item_end(text, 0, marker.columns);
        let (item, others) = text.split_at(end);
        let (indentation, after) = (&item[..marker.indentation], &item[marker.indentation + old..]);
        // A longer number moves what belongs to the item; after a shorter one there are more blanks.
        let item = if new.len() >= old {
            indented(after, new.len() - old)
        } else {
            let (delimiter, content) = after.split_at(1);
            format!("{delimiter}{}{content}", " ".repeat(old - new.len())).into()
        };
        Some(format!("{indentation}{new}{item}{others}"))
    };
    renumbered().unwrap_or_else(|| text.to_owned())
}

/// What begins a list item.
struct Marker {
    /// Bytes before the bullet or the number.
    indentation: usize,
    /// How many digits the number has.
    digits: usize,
    number: Option<u64>,
    /// Bytes before the content.
    bytes: usize,
    /// How far the item's other lines are indented.
    columns: usize,
}

impl Marker {
    fn of(line: &str) -> Option<Self> {
        let indentation = line.len() - line.trim_start_matches(' ').len();
        let rest = &line[indentation..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let delimiter = rest[digits..].chars().next()?;
        let is_marker = match digits {
            0 => matches!(delimiter, '-' | '+' | '*'),
            _ => matches!(delimiter, '.' | ')'),
        };
        if !is_marker || indentation > 3 {
            return None;
        }
        let marker = indentation + digits + 1;
        let after = &line[marker..];
        let mut columns = marker;
        let mut bytes = marker;
        for blank in after.chars().take_while(|c| matches!(c, ' ' | '\t')) {
            columns += if blank == '\t' { 4 - columns % 4 } else { 1 };
            bytes += 1;
        }
        // More than four blanks begin code, and an item may begin with an empty line.
        if columns > marker + 4 || after.trim().is_empty() {
            if after.starts_with('\t') {
                return None;
            }
            columns = marker + 1;
            bytes = (marker + 1).min(line.len());
        }
        Some(Self {
            indentation,
            digits,
            number: rest[..digits].parse().ok(),
            bytes,
            columns,
        })
    }
}

/// Where the item that begins at `start` ends: before the first line that is indented less.
fn item_end(text: &str, start: usize, columns: usize) -> usize {
    let mut end = Line::at(text, start).end;
    while end < text.len() {
        let line = Line::at(text, end);
        if !line.text.trim().is_empty() && indentation(line.text) < columns {
            break;
        }
        end = line.end;
    }
    end
}

fn indentation(line: &str) -> usize {
    let blanks = line.chars().take_while(|c| matches!(c, ' ' | '\t'));
    blanks.fold(0, |column, blank| {
        column + if blank == '\t' { 4 - column % 4 } else { 1 }
    })
}

/// The text with up to so many columns of blanks less at the beginning of every line but the first.
fn without_indentation(text: &str, columns: usize) -> String {
    let mut lines = text.split('\n');
    let mut result = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        result.push('\n');
        let mut column = 0;
        let mut rest = line;
        while column < columns {
            let Some(blank) = rest.chars().next().filter(|c| matches!(c, ' ' | '\t')) else {
                break;
            };
            column += if blank == '\t' { 4 - column % 4 } else { 1 };
            rest = &rest[1..];
        }
        result.push_str(&" ".repeat(column.saturating_sub(columns)));
        result.push_str(rest);
    }
    result
}

/// The text with so many blanks before every line but the first and empty ones.
fn indented(text: &str, columns: usize) -> Cow<'_, str> {
    if columns == 0 {
        return Cow::Borrowed(text);
    }
    let blanks = " ".repeat(columns);
    let mut lines = text.split('\n');
    let mut result = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        result.push('\n');
        if !line.trim().is_empty() {
            result.push_str(&blanks);
        }
        result.push_str(line);
    }
    result.into()
}

/// The line of a quote without what makes it one.
fn unquoted(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(' ');
    let content = text.strip_prefix('>').filter(|_| line.len() - text.len() < 4)?;
    Some(content.strip_prefix(' ').unwrap_or(content))
}
