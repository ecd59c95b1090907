//! What people see while the agent is at work: the answer as it grows, and the tools.
//!
//! All of it is a courtesy. What fails here is not tried again: the end of the delivery says everything once more.

use std::{collections::VecDeque, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use letta_client::{ToolStatus, TurnEventKind};
use ruma::OwnedEventId;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    compose::Composer,
    record::{Edits, Post, Transactions},
};
use crate::{
    settings::Effective,
    stage::{Stage, edit_of},
    text::{MAX_PART_BYTES, ToolState},
    turn::{Heard, ToolUse},
};

/// How long the first words are collected.
const FIRST_WORDS: Duration = Duration::from_millis(400);

/// How long to wait between two edits: longer and longer, because each is an event for ever.
const FIRST_PAUSE: Duration = Duration::from_millis(800);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The most edits of one answer before its last.
const MAX_EDITS: u32 = 30;

/// Shows how a turn goes on.
pub(crate) struct Live<'a> {
    stage: &'a Stage,
    composer: &'a Composer,
    transactions: Transactions,
    shows_text: bool,
    shows_tools: bool,
    /// What was said so far.
    posts: Vec<Post>,
    /// What is to be shown of the answer, and what is.
    text: String,
    shown: String,
    edits: u32,
    next_look: Instant,
    pause: Duration,
    /// Tools of which something is to be said.
    tools: VecDeque<(usize, ToolUse)>,
    at_work: Option<BoxFuture<'a, Option<Post>>>,
    /// What it says for the first time.
    begun: Option<Post>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        stage: &'a Stage,
        composer: &'a Composer,
        transactions: Transactions,
        settings: &Effective,
        posts: Vec<Post>,
    ) -> Self {
        Self {
            stage,
            composer,
            transactions,
            // Another agent is notified by the first event of an answer only: that has to say whom it addresses.
            shows_text: settings.streaming && !composer.is_quiet && composer.others.is_empty(),
            shows_tools: settings.tools && !composer.is_quiet,
            posts,
            text: String::new(),
            shown: String::new(),
            edits: 0,
            next_look: Instant::now() + FIRST_WORDS,
            pause: FIRST_PAUSE,
            tools: VecDeque::new(),
            at_work: None,
            begun: None,
        }
    }

    /// Takes note of an event that was heard.
    pub(crate) fn heard(&mut self, event: &TurnEventKind, heard: &Heard) {
        match event {
            TurnEventKind::Text { .. } if self.shows_text => self.text.clone_from(&heard.text),
            TurnEventKind::ToolCall(call) if self.shows_tools => {
                self.tool(heard, |used| used.call.id == call.id);
            }
            TurnEventKind::ToolOutput {
                call, is_final: true, ..
            } if self.shows_tools => self.tool(heard, |used| used.call.id == *call),
            _ => {}
        }
    }

    fn tool(&mut self, heard: &Heard, is: impl Fn(&ToolUse) -> bool) {
        if let Some((place, used)) = heard.tools.iter().enumerate().find(|(_, used)| is(used)) {
            self.tools.push_back((place, used.clone()));
        }
    }

    /// Shows the next thing as soon as there is one. Answers each message that is about to be said for the first time,
    /// so that it can be written down before: whoever finds it there knows that it may be in the room. Never ends while
    /// there is nothing to show. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Post {
        loop {
            if self.at_work.is_none() {
                self.at_work = self.start();
                if self.at_work.is_some()
                    && let Some(begun) = self.begun.take()
                {
                    return begun;
                }
            }
            if let Some(work) = &mut self.at_work {
                let said = work.await;
                self.at_work = None;
                if let Some(post) = said {
                    self.note(post);
                }
            } else if self.has_text() {
                // Whoever waits here is dropped with the next event that is heard.
                tokio::time::sleep_until(self.next_look).await;
            } else {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for what is being said, and answers all that was said.
    pub(crate) async fn settle(mut self) -> Vec<Post> {
        if let Some(work) = self.at_work.take()
            && let Some(post) = work.await
        {
            self.note(post);
        }
        self.posts
    }

    /// Notes a message that is in the room now. Edits of it are none.
    fn note(&mut self, post: Post) {
        if let Some(known) = self.posts.iter_mut().find(|known| known.key == post.key) {
            *known = post;
        }
    }

    fn has_text(&self) -> bool {
        self.shows_text && self.text.trim() != self.shown && self.edits < MAX_EDITS
    }

    fn start(&mut self) -> Option<BoxFuture<'a, Option<Post>>> {
        if let Some((place, used)) = self.tools.pop_front() {
            return self.show_tool(place, &used);
        }
        if self.has_text() && Instant::now() >= self.next_look {
            return self.show_text();
        }
        None
    }

    fn show_text(&mut self) -> Option<BoxFuture<'a, Option<Post>>> {
        let text = self.text.trim();
        if text.is_empty() || self.composer.may_become_silence(text) {
            self.next_look = Instant::now() + self.pause;
            return None;
        }
        let Some(content) = self.composer.preview(text).filter(is_small) else {
            // It will come in several messages, when it is complete.
            self.edits = MAX_EDITS;
            return None;
        };
        self.shown = text.to_owned();
        self.next_look = Instant::now() + self.pause;
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        let first = self.posts.iter().find(|post| post.key == ANSWER);
        match first.and_then(|post| post.event_id.clone()) {
            None => Some(self.say(ANSWER.to_owned(), content, None)),
            Some(event_id) => {
                self.edits += 1;
                Some(self.say(format!("{ANSWER}.edit.{}", self.edits), content, Some(event_id)))
            }
        }
    }

    fn show_tool(&mut self, place: usize, used: &ToolUse) -> Option<BoxFuture<'a, Option<Post>>> {
        let key = tool_key(place);
        let content = self.composer.tool_note(used);
        let known = self.posts.iter().find(|post| post.key == key);
        match (known.and_then(|post| post.event_id.clone()), &used.ended) {
            (None, _) => Some(self.say(key, content, None)),
            (Some(event_id), Some(_)) => Some(self.say(format!("{key}.end"), content, Some(event_id))),
            (Some(_), None) => None,
        }
    }

    fn say(
        &mut self,
        key: String,
        content: Value,
        edits: Option<OwnedEventId>,
    ) -> BoxFuture<'a, Option<Post>> {
        let (stage, transaction) = (self.stage, self.transactions.id(&key));
        if edits.is_none() && !self.posts.iter().any(|known| known.key == key) {
            let begun = Post {
                key: key.clone(),
                content: content.clone(),
                edits: None,
                event_id: None,
            };
            self.posts.push(begun.clone());
            self.begun = Some(begun);
        }
        async move {
            let event = match &edits {
                Some(event_id) => edit_of(event_id, &content),
                None => content.clone(),
            };
            match stage.say(&transaction, &event).await {
                Ok(event_id) => Some(Post {
                    key,
                    content,
                    edits: edits.map(Edits::Event),
                    event_id: Some(event_id),
                }),
                Err(error) => {
                    tracing::debug!(cause = error.cause(), key, "cannot show how it goes on");
                    None
                }
            }
        }
        .boxed()
    }
}

/// The key of the first message of an answer.
pub(crate) const ANSWER: &str = "answer.0";

/// The key of the notice about a tool.
pub(crate) fn tool_key(place: usize) -> String {
    format!("tool.{place}")
}

fn is_small(content: &Value) -> bool {
    let length = |field| content.get(field).and_then(Value::as_str).map_or(0, str::len);
    length("body") + length("formatted_body") <= MAX_PART_BYTES
}

/// How a tool stands.
pub(crate) fn tool_state(used: &ToolUse) -> ToolState<'_> {
    match &used.ended {
        None => ToolState::Running,
        Some((ToolStatus::Success, after, _)) => ToolState::Done { after: *after },
        Some((ToolStatus::Error, after, output)) => ToolState::Failed {
            after: *after,
            error: Some(output),
        },
    }
}
