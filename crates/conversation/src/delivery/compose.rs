//! The contents of what is said in a room.

use letta_client::ApprovalRequest;
use ruma::{OwnedEventId, OwnedUserId};
use serde_json::Value;
use store::Delivery;

use super::{
    Setting,
    live::{ANSWER, tool_key, tool_state},
    record::{Edits, Post, Record, Task},
};
use crate::{
    decision::HOPS_MARKER,
    text::{self, MAX_PART_BYTES, UNFINISHED},
    turn::ToolUse,
};

/// Makes the contents of a delivery's messages.
#[derive(Debug, Clone)]
pub(crate) struct Composer {
    pub(crate) agent_name: String,
    /// The event that is answered.
    pub(crate) question: OwnedEventId,
    /// The root of the thread that the answer belongs into.
    pub(crate) thread: Option<OwnedEventId>,
    /// Whether the answer names the question that it answers.
    pub(crate) is_reply: bool,
    /// Whether the agent only listens: nothing is shown but failures.
    pub(crate) is_quiet: bool,
    /// How many agents in a row led to this answer, itself included.
    pub(crate) hops: u32,
    /// Whom the answer may address: the other agents of the room, with their names.
    pub(crate) others: Vec<(OwnedUserId, String)>,
}

impl Composer {
    pub(crate) fn new(delivery: &Delivery, record: &Record, setting: &Setting) -> Self {
        let message = match &record.task {
            Task::Message(message) => Some(message),
            _ => None,
        };
        Self {
            agent_name: setting.agent_name.clone(),
            question: delivery.of.event_id.clone(),
            thread: record.thread.clone(),
            is_reply: setting.is_reply || message.is_some_and(|message| message.reply_to.is_some()),
            is_quiet: message.is_some_and(|message| message.quiet),
            hops: message.map_or(0, |message| message.hops + 1),
            others: setting.others.clone(),
        }
    }

    /// The whole answer.
    pub(crate) fn answer(&self, answer: &str, has_preview: bool) -> Vec<Post> {
        let parts = text::split(answer, MAX_PART_BYTES);
        parts
            .iter()
            .enumerate()
            .map(|(place, part)| {
                let edits = (place == 0 && has_preview).then(|| Edits::Post(ANSWER.to_owned()));
                Post {
                    key: match (place, &edits) {
                        (0, Some(_)) => format!("{ANSWER}.end"),
                        _ => format!("answer.{place}"),
                    },
                    content: self.part(part, place == 0),
                    edits,
                    event_id: None,
                }
            })
            .collect()
    }

    fn part(&self, markdown: &str, is_first: bool) -> Value {
        let mut message = text::content(&text::render(markdown));
        let addressed = self.addressed(markdown);
        if !addressed.is_empty() {
            message = message.mention(addressed);
        }
        self.content(&self.placed(message, is_first && self.is_reply))
    }

    /// The answer so far, without addressing anybody.
    pub(crate) fn preview(&self, markdown: &str) -> Option<Value> {
        let mut so_far = markdown.to_owned();
        so_far.push_str(UNFINISHED);
        (so_far.len() <= MAX_PART_BYTES)
            .then(|| self.content(&self.placed(text::content(&text::render(&so_far)), self.is_reply)))
    }

    /// Whether a text may be the beginning of an agent's saying that it says nothing.
    pub(crate) fn may_become_silence(&self, so_far: &str) -> bool {
        so_far.len() < "`<no-reply />`".len() && so_far.trim_start_matches('`').starts_with('<')
    }

    /// The notice about a tool.
    pub(crate) fn tool_note(&self, used: &ToolUse) -> Value {
        let note = text::tool_note(&used.call.name, tool_state(used));
        self.content(&self.placed(text::notice_of(&note), false))
    }

    /// What is still to be said about tools.
    pub(crate) fn tool_notes(&self, tools: &[ToolUse], posts: &[Post]) -> Vec<Post> {
        let mut notes = Vec::new();
        for (place, used) in tools.iter().enumerate() {
            let key = tool_key(place);
            let is_there = posts.iter().any(|post| post.key == key);
            let content = self.tool_note(used);
            if !is_there {
                notes.push(Post {
                    key,
                    content,
                    edits: None,
                    event_id: None,
                });
            } else if used.ended.is_some() {
                notes.push(Post {
                    key: format!("{key}.end"),
                    content,
                    edits: Some(Edits::Post(key)),
                    event_id: None,
                });
            }
        }
        notes
    }

    /// The request to decide on tools.
    pub(crate) fn approval(&self, request: &ApprovalRequest) -> Post {
        let shown = text::approval_request(&self.agent_name, &request.calls);
        Post {
            key: "approval".to_owned(),
            content: self.content(&self.placed(text::content(&shown), self.is_reply)),
            edits: None,
            event_id: None,
        }
    }

    /// A notice to the sender of the question.
    pub(crate) fn notice(&self, key: &str, markdown: &str) -> Post {
        Post {
            key: key.to_owned(),
            content: self.content(&self.placed(text::notice(markdown), true)),
            edits: None,
            event_id: None,
        }
    }

    /// What the agent thought, folded away.
    pub(crate) fn reasoning(&self, reasoning: &str) -> Option<Post> {
        let quoted: String = text::split(reasoning, MAX_PART_BYTES / 2)
            .first()?
            .lines()
            .map(|line| format!("> {line}\n"))
            .collect();
        Some(Post {
            key: "reasoning".to_owned(),
            content: self.content(&self.placed(text::notice(&format!("💭\n\n{quoted}")), false)),
            edits: None,
            event_id: None,
        })
    }

    fn addressed(&self, markdown: &str) -> Vec<OwnedUserId> {
        let others = self.others.iter().map(|(user, name)| (&**user, name.as_str()));
        text::mentions(markdown, others)
    }

    fn placed(
        &self,
        message: matrix_client::content::Message,
        is_reply: bool,
    ) -> matrix_client::content::Message {
        match &self.thread {
            Some(root) if is_reply => message.reply_in_thread(root, &self.question),
            Some(root) => message.in_thread(root, &self.question),
            None if is_reply => message.reply_to(&self.question),
            None => message,
        }
    }

    fn content(&self, message: &matrix_client::content::Message) -> Value {
        let mut content = message.to_content();
        if self.hops > 0 {
            content[HOPS_MARKER] = self.hops.into();
        }
        content
    }
}
