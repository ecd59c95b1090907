//! What is said when a turn is over. Pure.

use letta_client::StopReason;
use serde_json::Value;

use super::{
    attachments::without_files,
    compose::Composer,
    live::ANSWER,
    record::{Edits, Outcome, Post},
};
use crate::{
    notice,
    settings::Effective,
    text::{self, UNFINISHED},
    turn::{Heard, TurnEnd},
};

/// What stands in place of the sign that something goes on.
const BROKEN_OFF: &str = " · broken off";

/// How a delivery ends, and what is said with that.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) posts: Vec<Post>,
}

/// The end of a turn. `posts` is what was said of it before.
pub(super) fn of(
    composer: &Composer,
    heard: &Heard,
    end: &TurnEnd,
    posts: &[Post],
    settings: &Effective,
    can_be_retried: bool,
) -> Ending {
    let mut said = Vec::new();
    let is_silent = composer.is_quiet || text::is_silence(&heard.text);
    if settings.tools && !composer.is_quiet {
        said.extend(composer.tool_notes(&heard.tools, posts));
    }
    if settings.reasoning && !is_silent {
        said.extend(composer.reasoning(&heard.reasoning));
    }
    if !is_silent {
        let has_preview = posts.iter().any(|post| post.key == ANSWER);
        said.extend(composer.answer(&without_files(&heard.text), has_preview));
    }
    if let (
        TurnEnd::Ended {
            reason: StopReason::RequiresApproval,
            error: None,
        },
        Some(request),
    ) = (end, &heard.approval)
    {
        said.push(composer.approval(request));
        return Ending {
            outcome: Outcome::Asked,
            posts: said,
        };
    }
    let is_over = |post: &&Post| {
        let edits = |said: &Post| matches!(&said.edits, Some(Edits::Post(key)) if *key == post.key);
        post.edits.is_none() && !said.iter().any(edits)
    };
    let unfinished: Vec<Post> = posts.iter().filter(is_over).filter_map(broken_off).collect();
    said.extend(unfinished);
    let outcome = match notice::about(heard, end, &composer.agent_name) {
        None if is_silent => Outcome::Silent,
        None => Outcome::Answered,
        // Somebody stopped it, and knows.
        Some(text) if is_cancelled(end) => {
            said.push(composer.notice("notice", &text));
            Outcome::Stopped
        }
        Some(why) => {
            let text = match can_be_retried {
                true => format!("{why} React with 🔁, or write `!retry`, to try again."),
                false => why.clone(),
            };
            said.push(composer.notice("notice", &text));
            Outcome::Failed { why }
        }
    };
    Ending { outcome, posts: said }
}

/// What was shown as going on, and does not.
fn broken_off(post: &Post) -> Option<Post> {
    let mut content = post.content.clone();
    if !content["body"].as_str()?.ends_with(UNFINISHED) {
        return None;
    }
    for field in ["body", "formatted_body"] {
        if let Some(Value::String(text)) = content.get_mut(field)
            && let Some(at) = text.rfind(UNFINISHED)
        {
            text.replace_range(at..at + UNFINISHED.len(), BROKEN_OFF);
        }
    }
    Some(Post {
        key: format!("{}.end", post.key),
        content,
        edits: Some(Edits::Post(post.key.clone())),
        event_id: None,
    })
}

fn is_cancelled(end: &TurnEnd) -> bool {
    matches!(
        end,
        TurnEnd::Ended {
            reason: StopReason::Cancelled,
            ..
        }
    )
}
