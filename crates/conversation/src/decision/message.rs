//! What a message says.

use matrix_client::{Event, content};
use ruma::{OwnedEventId, OwnedMxcUri};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    DeclineReason, IgnoreReason,
    mentions::{self, Pill},
};
use letta_client::AgentId;

/// What kind of message it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MessageKind {
    /// A text.
    #[default]
    Text,
    /// What somebody does: `/me waves`.
    Emote,
    /// A picture.
    Image,
    /// A file.
    File,
    /// A sound.
    Audio,
    /// A film.
    Video,
    /// A place.
    Location,
    /// A sticker.
    Sticker,
    /// A question with answers to choose from.
    Poll,
}

/// A file that comes with a message. Everything but the address is what the sender says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Where it is.
    pub url: OwnedMxcUri,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its media type.
    #[serde(default)]
    pub media_type: Option<String>,
    /// How many bytes it has.
    #[serde(default)]
    pub size: Option<u64>,
}

/// A message for one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Who is to hear it.
    pub agent: AgentId,
    /// The text as the person wrote it: without what a reply repeats, and with names in place of links to users.
    /// The caption of a file, if it has one.
    #[serde(default)]
    pub words: String,
    /// What kind of message it is.
    #[serde(default)]
    pub kind: MessageKind,
    /// The file that comes with it.
    #[serde(default)]
    pub attachment: Option<Attachment>,
    /// The root of the thread that it is in.
    #[serde(default)]
    pub thread: Option<OwnedEventId>,
    /// What it replies to.
    #[serde(default)]
    pub reply_to: Option<OwnedEventId>,
    /// Whether it mentions the agent.
    #[serde(default)]
    pub is_mentioned: bool,
    /// How many agents have spoken one after another since a person did. What the agent says in answer carries one
    /// more under [`HOPS_MARKER`](super::HOPS_MARKER).
    #[serde(default)]
    pub hops: u32,
    /// Whether another agent wrote it.
    #[serde(default)]
    pub from_agent: bool,
    /// Whether the agent only listens: what it answers is not shown.
    #[serde(default)]
    pub quiet: bool,
}

/// What a message says, whoever hears it.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) kind: MessageKind,
    /// As it reads.
    pub(super) words: String,
    /// As it was written, to look for names in.
    pub(super) written: String,
    pub(super) pills: Vec<Pill>,
    pub(super) attachment: Result<Option<Attachment>, DeclineReason>,
}

/// Reads a message. An unknown kind is one that cannot be heard.
pub(super) fn read(event: &Event) -> Result<Said, IgnoreReason> {
    let content = &event.content;
    let event_type = event.event_type.to_string();
    match event_type.as_str() {
        "m.room.message" => message(content),
        "m.sticker" => Ok(Said {
            attachment: attachment(content).map(Some),
            ..said(
                MessageKind::Sticker,
                string(content, "body").unwrap_or_default(),
                content,
            )
        }),
        "m.poll.start" | "org.matrix.msc3381.poll.start" => {
            let words = poll(content).ok_or(IgnoreReason::Empty)?;
            Ok(said(MessageKind::Poll, &words, content))
        }
        "m.poll.response"
        | "m.poll.end"
        | "org.matrix.msc3381.poll.response"
        | "org.matrix.msc3381.poll.end" => Err(IgnoreReason::PollAnswer),
        _ => Err(IgnoreReason::NotAMessage),
    }
}

fn message(content: &Value) -> Result<Said, IgnoreReason> {
    let (Some(msgtype), Some(body)) = (string(content, "msgtype"), string(content, "body")) else {
        return Err(IgnoreReason::NotAMessage);
    };
    let kind = match msgtype {
        "m.text" => MessageKind::Text,
        "m.emote" => MessageKind::Emote,
        "m.image" => MessageKind::Image,
        "m.file" => MessageKind::File,
        "m.audio" => MessageKind::Audio,
        "m.video" => MessageKind::Video,
        "m.location" => MessageKind::Location,
        "m.notice" | "m.server_notice" => return Err(IgnoreReason::Notice),
        "m.key.verification.request" => return Err(IgnoreReason::NotAMessage),
        _ => {
            return Ok(Said {
                attachment: Err(DeclineReason::UnknownKind),
                ..said(MessageKind::Text, body, content)
            });
        }
    };
    match kind {
        MessageKind::Text | MessageKind::Emote => {
            let said = said(kind, body, content);
            if said.words.trim().is_empty() {
                return Err(IgnoreReason::Empty);
            }
            Ok(said)
        }
        MessageKind::Location => {
            let place = string(content, "geo_uri").ok_or(IgnoreReason::NotAMessage)?;
            let words = if body.contains(place) {
                body.to_owned()
            } else {
                format!("{body}\n{place}")
            };
            Ok(said(kind, words.trim(), content))
        }
        _ => {
            // A body beside a file name is a caption.
            let has_caption = string(content, "filename").is_some_and(|name| name != body);
            Ok(Said {
                attachment: attachment(content).map(Some),
                ..said(kind, if has_caption { body } else { "" }, content)
            })
        }
    }
}

fn said(kind: MessageKind, body: &str, content: &Value) -> Said {
    let is_reply = content
        .get("m.relates_to")
        .is_some_and(|relation| relation.get("m.in_reply_to").is_some());
    let written = if is_reply {
        mentions::without_fallback(body)
    } else {
        body
    };
    Said {
        kind,
        words: written.to_owned(),
        written: written.to_owned(),
        pills: mentions::pills(string(content, "formatted_body").unwrap_or_default()),
        attachment: Ok(None),
    }
}

fn attachment(content: &Value) -> Result<Attachment, DeclineReason> {
    // Files of encrypted rooms stand under `file`, with their key.
    if content.get("url").is_none() && content.get("file").is_some() {
        return Err(DeclineReason::Encrypted);
    }
    let url = OwnedMxcUri::from(string(content, "url").ok_or(DeclineReason::NoAttachment)?);
    if url.validate().is_err() {
        return Err(DeclineReason::NoAttachment);
    }
    let info = content.get("info");
    Ok(Attachment {
        url,
        name: string(content, "filename")
            .or_else(|| string(content, "body"))
            .unwrap_or_default()
            .to_owned(),
        media_type: info.and_then(|info| string(info, "mimetype")).map(str::to_owned),
        size: info.and_then(|info| info.get("size")?.as_u64()),
    })
}

/// The question and its answers, as a text.
fn poll(content: &Value) -> Option<String> {
    let poll = content
        .get("m.poll")
        .or_else(|| content.get("org.matrix.msc3381.poll.start"))?;
    let mut words = extensible_text(poll.get("question")?)?.to_owned();
    let answers = poll.get("answers").and_then(Value::as_array);
    let texts = answers.into_iter().flatten().filter_map(extensible_text);
    for (index, answer) in texts.enumerate() {
        words.push_str(&format!("\n{}. {answer}", index + 1));
    }
    Some(words).filter(|words| !words.trim().is_empty())
}

/// The text of something that has it in several forms; in older ones directly.
fn extensible_text(value: &Value) -> Option<&str> {
    let forms = value.get("m.text").and_then(|text| text.as_array());
    let plain = forms.and_then(|forms| {
        forms
            .iter()
            .find(|form| string(form, "mimetype").is_none_or(|media_type| media_type == "text/plain"))
            .and_then(|form| string(form, "body"))
    });
    plain
        .or_else(|| string(value, "m.text"))
        .or_else(|| string(value, "org.matrix.msc1767.text"))
        .or_else(|| string(value, "body"))
}

pub(super) fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// The thread and the message that it answers.
pub(super) fn relations(content: &Value) -> (Option<OwnedEventId>, Option<OwnedEventId>) {
    (
        content::thread_root(content).map(ToOwned::to_owned),
        content::replied_to(content).map(ToOwned::to_owned),
    )
}
