//! Long answers in several messages.

mod blocks;
mod container;

use blocks::{Block, Kind, Line};

use super::render::{Rendered, render, trim_blank_lines};

/// What an event may have in all, as the specification says.
const MAX_EVENT_BYTES: usize = 65_535;
/// What is left for everything around the text: ids, hashes and signatures, references to earlier events, mentions.
const RESERVED_BYTES: usize = 4 * 1024;
/// What the two copies in an edit add to the text: keys, types, the `* ` before the fallback's text.
const EDIT_BYTES: usize = 512;

/// How large the content of one part may be, for [`split`]: its body and its HTML, each as a JSON string.
///
/// An edit carries the text twice (once as the new content, once as the fallback), so a text may take half of an
/// event, less what comes around it. Every part is small enough to be written by an edit.
pub const MAX_PART_BYTES: usize = (MAX_EVENT_BYTES - RESERVED_BYTES - EDIT_BYTES) / 2;

/// How many containers (quotes, list items) are taken apart, one in another. What is deeper is cut as plain text.
const MAX_CONTAINERS: usize = 8;
/// A repeated beginning of a code block or a table that is longer is not repeated.
const MAX_REPEATED_BYTES: usize = 1024;

/// How finely one looks for the largest part that fits: rendering costs more than some unused bytes.
const PLACES_TRIED: usize = 64;
/// How many places of one kind are tried to cut words: what is cut in the middle of something may be larger than
/// what is cut later, but seldom twice.
const WORD_PLACES_TRIED: usize = 2;
/// How much one reads around a place in words to know what is there.
const LOOK_AROUND_BYTES: usize = 64;

/// Cuts a long answer into parts of at most `max_bytes` (body and HTML, each as a JSON string), each a Markdown
/// text of its own.
///
/// It cuts between blocks where it can, best before a heading, else between list items. A code block that has to be
/// cut goes on as a code block of the same language, a table under the same head, a numbered list with the next
/// number. Text is cut at the end of a line, else of a sentence, else of a word, else anywhere. Nothing is lost but
/// white space. A part is larger than `max_bytes` only when one character with what must be around it is.
pub fn split(markdown: &str, max_bytes: usize) -> Vec<String> {
    let fits = |part: &str| fits(part, max_bytes);
    let mut parts = Vec::new();
    let markdown = markdown.replace("\r\n", "\n").replace('\r', "\n");
    let mut rest = trim_blank_lines(&markdown).to_owned();
    while !rest.is_empty() {
        if fits(&rest) {
            parts.push(rest);
            break;
        }
        let Cut { head, tail } = cut(&rest, max_bytes, &fits, 0);
        let head = trim_blank_lines(&head);
        if !head.is_empty() {
            parts.push(head.to_owned());
        }
        rest = trim_blank_lines(&tail).to_owned();
    }
    parts
}

#[cfg(test)]
thread_local! {
    /// How often a text was rendered to learn whether it fits.
    static RENDERINGS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Whether a part is small enough.
fn fits(part: &str, max_bytes: usize) -> bool {
    // The text alone takes its bytes at least: the usual case needs no rendering.
    if part.len() > max_bytes {
        return false;
    }
    #[cfg(test)]
    RENDERINGS.with(|count| count.set(count.get() + 1));
    let Rendered { body, html } = render(part);
    json_bytes(&body) + html.map_or(0, |html| json_bytes(&html)) <= max_bytes
}

/// What the text takes as a JSON string, with its quotes.
pub(super) fn json_bytes(text: &str) -> usize {
    let characters = text.chars().map(|character| match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    });
    2 + characters.sum::<usize>()
}

/// A text in two.
struct Cut {
    head: String,
    /// Shorter than the text by at least one character that is no repetition.
    tail: String,
}

impl Cut {
    fn at(text: &str, offset: usize) -> Self {
        let (head, tail) = text.split_at(offset);
        Self {
            head: head.to_owned(),
            tail: tail.to_owned(),
        }
    }
}

/// Whether what is to come first is small enough, with all that is around it.
type Fits<'a> = dyn Fn(&str) -> bool + 'a;

/// Cuts a text that does not fit, having rendered a number of candidates that does not grow with the text. Reads no
/// further than a part can reach, but for what has to change in a container's later lines.
fn cut(text: &str, max_bytes: usize, fits: &Fits<'_>, containers: usize) -> Cut {
    let window = &text[..text.floor_char_boundary(max_bytes.max(4))];
    let blocks = blocks::blocks(window);
    let limit = limit(window, fits);
    let starts: Vec<usize> = blocks.iter().skip(1).map(|block| block.start).collect();
    let boundary = last_fitting(&starts, limit, |at| fits(&window[..at]));
    let index = boundary.map_or(0, |at| starts.partition_point(|start| *start <= at));
    let heading = blocks[..=index.min(blocks.len() - 1)].iter().skip(1).rev();
    let mut headings = heading.filter(|block| block.kind == Kind::Heading);
    if let Some(heading) = headings.find(|heading| heading.start * 2 >= limit) {
        return Cut::at(text, heading.start);
    }
    let block = &blocks[index];
    // Cutting a block serves only when what is before it leaves much room, and for anything but text only when it
    // has to be cut anyway.
    if let Some(at) = boundary {
        let breakable = block.kind == Kind::Text || !fits_alone(&text[at..], max_bytes, fits);
        if at * 2 >= limit || !breakable {
            return between_items(text, block, limit, fits).unwrap_or_else(|| {
                // A heading stays with what it is the heading of.
                let headings = blocks[1..index].iter().rev();
                let headings = headings.take_while(|block| block.kind == Kind::Heading);
                Cut::at(text, headings.last().map_or(at, |heading| heading.start))
            });
        }
    }
    let inside = match &block.kind {
        Kind::Code => code(text, window, block, limit, fits),
        Kind::Table => table(text, window, block, limit, fits),
        Kind::List { .. } => between_items(text, block, limit, fits)
            .or_else(|| container::item(text, window, block, max_bytes, fits, containers)),
        Kind::Quote => container::quote(text, window, block, max_bytes, fits, containers),
        Kind::Heading | Kind::Text => None,
    };
    match (inside, boundary) {
        (Some(cut), _) => cut,
        (None, Some(at)) if block.kind != Kind::Text => Cut::at(text, at),
        (None, _) => words(text, window, block, limit, fits),
    }
}

/// Whether the first block of a text would fit into a part.
fn fits_alone(text: &str, max_bytes: usize, fits: &Fits<'_>) -> bool {
    let window = &text[..text.floor_char_boundary(max_bytes.max(4))];
    let end = blocks::blocks(window).first().map_or(0, |block| block.end);
    (end < window.len() || window.len() == text.len()) && fits(&window[..end])
}

/// Before the last list item that can begin a part, when it is not the list's first.
fn between_items(text: &str, block: &Block, limit: usize, fits: &Fits<'_>) -> Option<Cut> {
    let Kind::List { first_number, items } = &block.kind else {
        return None;
    };
    let starts = items.get(1..)?;
    let at = last_fitting(starts, limit, |at| fits(&text[..at]))?;
    let index = items.iter().position(|item| *item == at)?;
    Some(Cut {
        head: text[..at].to_owned(),
        tail: container::numbered(&text[at..], *first_number, index),
    })
}

/// Between two lines of code, closing and opening the block.
fn code(text: &str, window: &str, block: &Block, limit: usize, fits: &Fits<'_>) -> Option<Cut> {
    let open = Line::at(text, block.start);
    let Some(fence) = blocks::fence(open.text) else {
        // Code by indentation. Its lines need no frame, but one that begins with blanks must keep them.
        let lines: Vec<usize> = line_starts(window, block.start, block.end);
        let at = last_fitting(&lines, limit, |at| fits(&window[..at]))?;
        return Some(Cut::at(text, at));
    };
    if open.end >= block.end {
        return None;
    }
    let opening = match open.text.len() > MAX_REPEATED_BYTES {
        true => fence,
        false => open.text.trim_end(),
    };
    let head = |at: usize| {
        let code = &text[..at];
        let end = if code.ends_with('\n') { "" } else { "\n" };
        format!("{code}{end}{fence}")
    };
    let mut lines = line_starts(window, open.end, block.end);
    // The line that closes the block must not be alone in a part, nor the one that opens it.
    let last = Line::at(window, lines.last().copied().unwrap_or(open.end));
    if blocks::closes(last.text, fence) {
        lines.pop();
    }
    let at = last_fitting(&lines, limit, |at| fits(&head(at))).or_else(|| {
        if !text[..block.start].trim().is_empty() {
            return None;
        }
        // A line that is larger than a part.
        let within: Vec<usize> = char_ends(&window[open.end..block.end])
            .into_iter()
            .map(|at| at + open.end)
            .take_while(|at| lines.first().is_none_or(|line| at < line))
            .collect();
        last_fitting(&within, limit, |at| fits(&head(at))).or(within.first().copied())
    })?;
    Some(Cut {
        head: head(at),
        tail: format!("{opening}\n{}", &text[at..]),
    })
}

/// Between two rows, repeating the head.
fn table(text: &str, window: &str, block: &Block, limit: usize, fits: &Fits<'_>) -> Option<Cut> {
    let columns = Line::at(text, block.start);
    let rule = Line::at(text, columns.end);
    let head = &text[block.start..rule.end];
    if head.len() > MAX_REPEATED_BYTES || rule.end >= block.end {
        return None;
    }
    let rows = line_starts(window, rule.end, block.end);
    let at = last_fitting(&rows, limit, |at| fits(&window[..at]))?;
    Some(Cut {
        head: text[..at].to_owned(),
        tail: format!("{}\n{}", head.trim_end_matches('\n'), &text[at..]),
    })
}

/// At the end of a line, a sentence, a word, or anywhere, in this order.
fn words(text: &str, window: &str, block: &Block, limit: usize, fits: &Fits<'_>) -> Cut {
    let in_span = blocks::inside_spans(window);
    let ends = |found: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let candidates = char_ends(&window[block.start..limit.max(block.start)]).into_iter();
        candidates
            .map(|at| at + block.start)
            .filter(|at| at * 2 >= limit)
            .filter(|at| {
                found(&window[window.floor_char_boundary(at.saturating_sub(LOOK_AROUND_BYTES))..*at])
            })
            .collect()
    };
    let line = ends(&|head| head.ends_with('\n'));
    let sentence = ends(&|head| {
        head.ends_with(['。', '！', '？'])
            || (head.ends_with(char::is_whitespace) && head.trim_end().ends_with(['.', '!', '?', ':', ';']))
    });
    let word = ends(&|head| head.ends_with(char::is_whitespace));
    for whole_spans in [true, false] {
        for places in [&line, &sentence, &word] {
            let good = places.iter().rev().filter(|at| {
                let next = &window[**at..window.floor_char_boundary(**at + LOOK_AROUND_BYTES)];
                let is_cut = whole_spans && in_span[**at];
                !is_cut && !blocks::begins_block(next)
            });
            if let Some(at) = good.take(WORD_PLACES_TRIED).find(|at| fits(&window[..**at])) {
                return Cut::at(text, *at);
            }
        }
    }
    let anywhere = char_ends(&window[..limit]);
    let at = anywhere
        .iter()
        .rev()
        .take(64)
        .filter(|at| {
            let next = &window[**at..window.floor_char_boundary(**at + LOOK_AROUND_BYTES)];
            !next.trim_start().starts_with(['`', '~'])
        })
        .take(WORD_PLACES_TRIED)
        .find(|at| fits(&window[..**at]))
        // The limit itself is known to fit.
        .or(anywhere.last());
    Cut::at(text, at.copied().unwrap_or_else(|| first_char(text)))
}

/// About how far a part can reach: a place up to which the text fits, or the beginning.
fn limit(window: &str, fits: &Fits<'_>) -> usize {
    let ends = char_ends(window);
    let step = (ends.len() / PLACES_TRIED).max(1);
    let (first, tried): (usize, Vec<usize>) = match ends.len().checked_sub(1) {
        Some(last) => (
            last % step,
            ends.iter().copied().skip(last % step).step_by(step).collect(),
        ),
        None => return 0,
    };
    largest(&tried, |at| fits(&window[..at]))
        .or_else(|| largest(&ends[..first], |at| fits(&window[..at])))
        .unwrap_or(0)
}

/// The last of the ascending places, not above the limit, up to which a text fits, if there is one. It is seldom
/// far below the limit, and each step downwards is twice the one before.
fn last_fitting(places: &[usize], limit: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let mut beyond = places.partition_point(|at| *at <= limit);
    let mut step = 1;
    while beyond > 0 {
        let from = beyond.saturating_sub(step);
        if fits(places[from]) {
            return largest(&places[from + 1..beyond], fits).or(Some(places[from]));
        }
        beyond = from;
        step *= 2;
    }
    None
}

/// The last of the ascending places up to which a text fits, if there is one.
fn largest(places: &[usize], fits: impl Fn(usize) -> bool) -> Option<usize> {
    let count = places.partition_point(|at| fits(*at));
    count.checked_sub(1).map(|index| places[index])
}

/// Where every character ends.
fn char_ends(text: &str) -> Vec<usize> {
    let starts = text.char_indices();
    starts.map(|(at, character)| at + character.len_utf8()).collect()
}

/// Where lines begin after `from` and before `to`.
fn line_starts(text: &str, from: usize, to: usize) -> Vec<usize> {
    let breaks = text[from..to].match_indices('\n');
    breaks
        .map(|(at, _)| from + at + 1)
        .filter(|at| *at < to)
        .collect()
}

fn first_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests;
