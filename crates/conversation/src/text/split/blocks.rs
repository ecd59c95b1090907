//! What a Markdown text is made of.

use pulldown_cmark::{Event, Parser, Tag};

use crate::text::render::options;

/// A block that is in no other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Where its first line begins.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Heading,
    Code,
    Table,
    Quote,
    List {
        /// The number of the first item of a numbered list.
        first_number: Option<u64>,
        /// Where the lines begin that begin items.
        items: Vec<usize>,
    },
    /// A paragraph, or anything else that is cut like one.
    Text,
}

/// The blocks of a text, in order, at least one.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let line_start = |at: usize| text[..at].rfind('\n').map_or(0, |at| at + 1);
    let mut blocks: Vec<Block> = Vec::new();
    let mut depth = 0usize;
    for (event, range) in Parser::new_ext(text, options()).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 {
                    blocks.push(Block {
                        start: line_start(range.start),
                        end: range.end,
                        kind: kind(&tag),
                    });
                } else if depth == 1
                    && tag == Tag::Item
                    && let Some(Kind::List { items, .. }) = blocks.last_mut().map(|block| &mut block.kind)
                {
                    items.push(line_start(range.start));
                }
                depth += 1;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            _ if depth == 0 => blocks.push(Block {
                start: line_start(range.start),
                end: range.end,
                kind: Kind::Text,
            }),
            _ => {}
        }
    }
    if blocks.is_empty() {
        blocks.push(Block {
            start: 0,
            end: text.len(),
            kind: Kind::Text,
        });
    }
    blocks
}

fn kind(tag: &Tag<'_>) -> Kind {
    match tag {
        Tag::Heading { .. } => Kind::Heading,
        Tag::CodeBlock(_) => Kind::Code,
        Tag::Table(_) => Kind::Table,
        Tag::BlockQuote(_) => Kind::Quote,
        Tag::List(first_number) => Kind::List {
            first_number: *first_number,
            items: Vec::new(),
        },
        _ => Kind::Text,
    }
}

/// For every place in the text whether it is inside emphasis, a link, code in a line, and the like.
pub(super) fn inside_spans(text: &str) -> Vec<bool> {
    let mut changes = vec![0i32; text.len() + 2];
    for (event, range) in Parser::new_ext(text, options()).into_offset_iter() {
        let is_span = matches!(
            event,
            Event::Code(_)
                | Event::Start(
                    Tag::Emphasis | Tag::Strong | Tag::Strikethrough | Tag::Link { .. } | Tag::Image { .. }
                )
        );
        if is_span && range.start < range.end {
            changes[range.start + 1] += 1;
            changes[range.end] -= 1;
        }
    }
    let depths = changes.iter().scan(0, |depth, change| {
        *depth += change;
        Some(*depth > 0)
    });
    depths.collect()
}

/// One line of a text.
pub(super) struct Line<'a> {
    /// Without what ends it.
    pub(super) text: &'a str,
    /// Where the next one begins.
    pub(super) end: usize,
}

impl<'a> Line<'a> {
    /// The line from this place on.
    pub(super) fn at(text: &'a str, start: usize) -> Self {
        match text[start..].find('\n') {
            Some(length) => Self {
                text: &text[start..start + length],
                end: start + length + 1,
            },
            None => Self {
                text: &text[start..],
                end: text.len(),
            },
        }
    }
}

/// The fence with which a line opens a code block, if it does.
pub(super) fn fence(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(' ');
    let mark = text.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let length = text.len() - text.trim_start_matches(mark).len();
    let (fence, info) = text.split_at(length);
    (line.len() - text.len() < 4 && length >= 3 && !(mark == '`' && info.contains('`'))).then_some(fence)
}

/// Whether the line closes the code block that this fence opened.
pub(super) fn closes(line: &str, opened_by: &str) -> bool {
    fence(line.trim_end())
        .is_some_and(|fence| fence.starts_with(opened_by) && line.trim().len() == fence.len())
}

/// The fence of a code block that is still open at the end of the text, if there is one that is in no container.
pub(super) fn open_fence(text: &str) -> Option<&str> {
    let mut open: Option<&str> = None;
    for line in text.lines() {
        open = match open {
            Some(fence) if closes(line, fence) => None,
            Some(fence) => Some(fence),
            None => fence(line),
        };
    }
    open
}

/// Whether a text that was the end of a paragraph could become something else on its own.
pub(super) fn begins_block(text: &str) -> bool {
    let text = text.trim_start();
    let after_number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.starts_with(['#', '>', '-', '+', '*', '=', '|', '~', '`', '<', '[', ':', '_'])
        || (after_number.len() < text.len() && after_number.starts_with(['.', ')']))
}
