//! What an agent reads: a header that says who speaks, and the words.
//!
//! ```text
//! [matrix {"sender":"@ann:example.org","claims_name":"Ann","room":"!house:example.org","sent_at":"…"}]
//! What is the weather like?
//! ```
//!
//! The first line is ours and JSON on one line, so that nothing in it can end it. A line of the words that begins
//! like a header, to the eye or to a model, gets a backslash before it; [`unwrap`] takes it away again.

use std::borrow::Cow;

use jiff::Timestamp;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::plain::{is_invisible, is_line_break, one_line};

const OPEN: &str = "[matrix ";
const CLOSE: &str = "]";
const WORD: &str = "matrix";

/// How long a name in the header may be, in characters.
const MAX_NAME_CHARS: usize = 80;
/// How much of the message replied to is quoted, in characters.
const MAX_QUOTE_CHARS: usize = 400;
/// How many attachments are told about.
const MAX_ATTACHMENTS: usize = 20;

/// Who speaks, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Whose message it is; the homeserver vouches for it.
    pub sender: &'a UserId,
    /// What the sender calls itself.
    pub sender_name: Option<&'a str>,
    /// Where it was said.
    pub room: &'a RoomId,
    /// What the room is called.
    pub room_name: Option<&'a str>,
    /// A person or an agent.
    pub kind: SenderKind,
    /// When it was said.
    pub sent_at: Timestamp,
    /// Whether it was said in a thread.
    pub thread: bool,
    /// What it answers.
    pub in_reply_to: Option<Quote<'a>>,
    /// What came with it.
    pub attachments: &'a [Attachment],
}

/// What the sender of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderKind {
    /// A person.
    Person,
    /// Another agent.
    Agent {
        /// How many agents' messages lie between this one and a person's.
        hops: u32,
    },
}

/// The message that is replied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote<'a> {
    /// Who said it.
    pub sender: &'a UserId,
    /// What was said; the beginning is quoted, on one line.
    pub text: &'a str,
}

/// A file that came with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// What its sender called it.
    pub name: String,
    /// Its media type.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// What became of it, as "text follows" or "not shown: too large".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The header of a wrapped message. Names and quotes are what others claimed; only ids are vouched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Whose message it is.
    pub sender: OwnedUserId,
    /// What the sender calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims_name: Option<String>,
    /// For another agent's message: how many agents' messages lie between it and a person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_hops: Option<u32>,
    /// Where it was said.
    pub room: OwnedRoomId,
    /// What the room is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_name: Option<String>,
    /// When it was said, to the second.
    pub sent_at: Timestamp,
    /// Whether it was said in a thread.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thread: bool,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<QuoteHeader>,
    /// What came with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// How many attachments are not listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_attachments: Option<usize>,
}

/// [`Quote`] in a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteHeader {
    /// Who said it.
    pub sender: OwnedUserId,
    /// How it began.
    pub text: String,
}

/// Makes the text that the agent reads from a message. It has exactly one line that is a header, its first.
pub fn wrap(envelope: &Envelope<'_>, text: &str) -> String {
    let header = Header::of(envelope);
    // A struct of strings, numbers and lists always serializes.
    let json = serde_json::to_string(&header).unwrap_or_default();
    format!("{OPEN}{json}{CLOSE}\n{}", escaped(text))
}

/// The header and the words of a text that [`wrap`] made; nothing for any other text.
pub fn unwrap(text: &str) -> Option<(Header, Cow<'_, str>)> {
    let (first, words) = text.split_once('\n')?;
    let json = first.strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
    Some((serde_json::from_str(json).ok()?, unescaped(words)))
}

impl Header {
    fn of(envelope: &Envelope<'_>) -> Self {
        let name = |name: &str| Some(value(name, MAX_NAME_CHARS)).filter(|name| !name.is_empty());
        let attachments = envelope.attachments.iter().take(MAX_ATTACHMENTS);
        let more = envelope.attachments.len().saturating_sub(MAX_ATTACHMENTS);
        Self {
            sender: envelope.sender.to_owned(),
            claims_name: envelope.sender_name.and_then(name),
            agent_hops: match envelope.kind {
                SenderKind::Person => None,
                SenderKind::Agent { hops } => Some(hops),
            },
            room: envelope.room.to_owned(),
            room_name: envelope.room_name.and_then(name),
            sent_at: Timestamp::from_second(envelope.sent_at.as_second()).unwrap_or(envelope.sent_at),
            thread: envelope.thread,
            in_reply_to: envelope.in_reply_to.map(|quote| QuoteHeader {
                sender: quote.sender.to_owned(),
                text: value(quote.text, MAX_QUOTE_CHARS),
            }),
            attachments: attachments
                .map(|attachment| Attachment {
                    name: value(&attachment.name, MAX_NAME_CHARS),
                    media_type: value(&attachment.media_type, MAX_NAME_CHARS),
                    size: attachment.size,
                    note: attachment.note.as_deref().map(|note| value(note, MAX_NAME_CHARS)),
                })
                .collect(),
            more_attachments: Some(more).filter(|more| *more > 0),
        }
    }
}

/// Somebody's words in the header: one line, bounded, and without a beginning of a header in it.
fn value(text: &str, max_chars: usize) -> String {
    let line = one_line(text, max_chars);
    let mut harmless = String::with_capacity(line.len());
    for (at, character) in line.char_indices() {
        let imitates = is_bracket(character) && is_header_start(&line[at..]);
        harmless.push(if imitates { '(' } else { character });
    }
    harmless
}

/// The text with a backslash before each line that begins like a header, after backslashes or not.
fn escaped(text: &str) -> Cow<'_, str> {
    rewritten(text, |line| is_header_start(line).then_some(("\\", line)))
}

fn unescaped(text: &str) -> Cow<'_, str> {
    rewritten(text, |line| {
        line.strip_prefix('\\')
            .filter(|_| is_header_start(line))
            .map(|line| ("", line))
    })
}

/// The text with other beginnings of lines, whatever ends the lines.
fn rewritten<'a>(
    text: &'a str,
    rewrite: impl Fn(&'a str) -> Option<(&'static str, &'a str)>,
) -> Cow<'a, str> {
    let mut result = String::new();
    let mut changed = false;
    for line in text.split_inclusive(is_line_break) {
        let (prefix, line) = match rewrite(line) {
            Some(rewritten) => {
                changed = true;
                rewritten
            }
            None => ("", line),
        };
        result.push_str(prefix);
        result.push_str(line);
    }
    if changed { result.into() } else { text.into() }
}

/// Whether the text begins with what somebody could take for [`OPEN`]: after blanks, backslashes and what is
/// invisible a bracket, then the word, in letters of any alphabet that has such.
fn is_header_start(line: &str) -> bool {
    let mut seen = line
        .chars()
        .filter(|c| !c.is_whitespace() && !is_invisible(*c) && !is_combining(*c))
        .skip_while(|c| *c == '\\');
    seen.next().is_some_and(is_bracket)
        && WORD
            .chars()
            .all(|letter| seen.next().is_some_and(|c| looks_like(c, letter)))
}

fn is_combining(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

fn is_bracket(character: char) -> bool {
    matches!(
        character,
        '[' | '［'
            | '⁅'
            | '【'
            | '〔'
            | '〖'
            | '〘'
            | '〚'
            | '⟦'
            | '⟬'
            | '❲'
            | '❴'
            | '⦋'
            | '⦍'
            | '⦏'
            | '⦗'
            | '﹝'
            | '﹇'
            | '⎡'
            | '⎢'
            | '⎣'
            | '⌈'
            | '⌊'
            | '「'
            | '『'
            | '｢'
            | '⸢'
            | '⸤'
    )
}

/// Whether the character may be read as the letter: itself, or one of an alphabet or of symbols that have letters of
/// its shape. Which of them is not looked at.
fn looks_like(character: char, letter: char) -> bool {
    character.eq_ignore_ascii_case(&letter)
        || (letter == 'i' && matches!(character, '1' | 'l' | 'L' | '|' | '!'))
        || (letter == 'a' && matches!(character, '4' | '@'))
        || (letter == 't' && matches!(character, '7' | '+'))
        || matches!(
            character,
            '\u{c0}'..='\u{58f}'
                | '\u{10a0}'..='\u{10ff}'
                | '\u{13a0}'..='\u{13ff}'
                | '\u{1400}'..='\u{167f}'
                | '\u{1c80}'..='\u{1c8f}'
                | '\u{1d00}'..='\u{1dbf}'
                | '\u{1e00}'..='\u{1fff}'
                | '\u{2070}'..='\u{209f}'
                | '\u{2100}'..='\u{218f}'
                | '\u{2460}'..='\u{24ff}'
                | '\u{2c60}'..='\u{2c7f}'
                | '\u{2c80}'..='\u{2cff}'
                | '\u{a640}'..='\u{a69f}'
                | '\u{a4d0}'..='\u{a4ff}'
                | '\u{a720}'..='\u{a7ff}'
                | '\u{ab30}'..='\u{abbf}'
                | '\u{ff21}'..='\u{ff5a}'
                | '\u{10280}'..='\u{1031f}'
                | '\u{10400}'..='\u{1044f}'
                | '\u{1d400}'..='\u{1d7ff}'
                | '\u{1f100}'..='\u{1f1ff}'
        )
}

#[cfg(test)]
mod tests;
