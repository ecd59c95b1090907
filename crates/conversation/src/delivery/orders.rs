//! Carrying commands out.

use std::{borrow::Cow, fmt::Write as _};

use letta_client::{ApprovalDecision, HistoryItem, HistoryQuery, LettaError};
use matrix_client::StateEventType;

use super::{Interrupted, Work};
use crate::{
    control::{Addressee, Order},
    settings::{SETTINGS_MARKER, Setting},
    stage::Stage,
    text,
};

/// The most messages that are shown.
const MAX_HISTORY: u32 = 50;

/// How much of each is shown, in characters.
const MAX_LINE: usize = 300;

impl Work<'_> {
    /// Does what a command asks for, and says what was done, as Markdown.
    pub(super) async fn carry_out(
        &mut self,
        order: &Order,
        agents: &[Addressee],
    ) -> Result<String, Interrupted> {
        let operator = self.deliverer.operator.clone();
        Ok(match order {
            Order::Sync => operator.sync().await,
            Order::Agents => operator.agents().await,
            Order::Rooms => operator.rooms().await,
            Order::Set(setting) => self.set(*setting).await,
            Order::Status => agents.iter().map(status).collect::<Vec<_>>().join("\n"),
            Order::Stop => {
                let mut lines = Vec::new();
                for agent in agents {
                    lines.push(self.stop(agent).await?);
                }
                lines.join("\n")
            }
            Order::New => {
                let mut lines = Vec::new();
                for agent in agents {
                    let key = agent.lane.split_once('|').map_or("", |(_, key)| key);
                    let summary = format!("{} {key}", self.delivery.of.room_id);
                    self.deliverer
                        .begin_conversation(&agent.agent, &agent.lane, summary.trim())
                        .await?;
                    lines.push(format!(
                        "A new conversation with {} begins. What it knows of you by heart, it still knows.",
                        agent.name
                    ));
                }
                lines.join("\n")
            }
            Order::History { count } => {
                let mut shown = String::new();
                for agent in agents {
                    shown.push_str(&self.history(agent, (*count).min(MAX_HISTORY)).await?);
                }
                shown
            }
        })
    }

    async fn set(&self, setting: Setting) -> String {
        let settings = self.setting.settings.clone().with(setting);
        let stage = &self.setting.stage;
        let written = stage
            .as_user(|session| {
                let content = settings.to_content();
                async move {
                    let event_type = StateEventType::from(SETTINGS_MARKER);
                    stage
                        .matrix
                        .set_state_event(&session, &stage.room_id, &event_type, "", &content)
                        .await
                }
            })
            .await;
        match written {
            Ok(_) => format!("Done: {setting}."),
            Err(error) => {
                tracing::info!(cause = error.cause(), "the settings of a room cannot be written");
                "I may not change the settings of this room: somebody who may has to give me the power to change its \
                 state."
                    .to_owned()
            }
        }
    }

    /// Ends what an agent does, and what it waits for.
    async fn stop(&mut self, agent: &Addressee) -> Result<String, Interrupted> {
        let mut stopped = false;
        for key in &agent.asks {
            let Some(mut approval) = self.deliverer.find_approval(key).await? else {
                continue;
            };
            let to = self
                .deliverer
                .conversation_of(&approval.agent, &approval.lane)
                .await?;
            let letta = &self.deliverer.letta;
            let ended: Result<(), LettaError> = if to.conversation.is_none() {
                letta.cancel(&to, None).await.map(drop)
            } else {
                // In a conversation of its own only a denial ends the waiting.
                let denials: Vec<_> = approval
                    .calls
                    .iter()
                    .map(|call| ApprovalDecision::deny(call.id.as_str(), "stopped"))
                    .collect();
                let options = letta_client::TurnOptions::default();
                letta.decide(&to, &denials, &options).await.map(drop)
            };
            match ended {
                Ok(()) => {
                    let stage = Stage {
                        user_id: agent.user.clone(),
                        ..self.setting.stage.clone()
                    };
                    self.deliverer.withdraw(&mut approval, &stage).await?;
                    self.closed.push(approval.key);
                    stopped = true;
                }
                Err(error) => return Ok(not_stopped(agent, &error)),
            }
        }
        if let Some(lane) = &agent.at_work {
            let to = self.deliverer.conversation_of(&agent.agent, lane).await?;
            match self.deliverer.letta.cancel(&to, None).await {
                Ok(_) => stopped = true,
                Err(error) => return Ok(not_stopped(agent, &error)),
            }
        }
        Ok(if stopped {
            format!("{} is being stopped.", agent.name)
        } else {
            format!("{} is doing nothing.", agent.name)
        })
    }

    async fn history(&self, agent: &Addressee, count: u32) -> Result<String, Interrupted> {
        let of = self.deliverer.conversation_of(&agent.agent, &agent.lane).await?;
        let query = HistoryQuery {
            limit: count,
            ..HistoryQuery::default()
        };
        let page = match self.deliverer.letta.list_messages(&of, &query).await {
            Ok(page) => page,
            Err(error) => {
                tracing::info!(%error, "the history cannot be read");
                return Ok(format!("The history of {} cannot be read now.\n", agent.name));
            }
        };
        let mut shown = format!("**{}**, the latest last:\n\n", agent.name);
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let lines: Vec<_> = page
            .messages
            .iter()
            .filter_map(|message| line(&message.item))
            .collect();
        for (who, words) in &lines[lines.len().saturating_sub(wanted)..] {
            // Writing to a string does not fail.
            _ = writeln!(shown, "- {who} {}", text::plain_line(words, MAX_LINE));
        }
        if lines.is_empty() {
            shown.push_str("Nothing was said yet.\n");
        }
        Ok(shown)
    }
}

fn line(item: &HistoryItem) -> Option<(&'static str, Cow<'_, str>)> {
    match item {
        HistoryItem::User { text, .. } => {
            let words = text::unwrap(text).map_or(Cow::Borrowed(&**text), |(_, words)| words);
            Some(("🧑", words))
        }
        HistoryItem::Assistant { text } => Some(("🤖", text.into())),
        HistoryItem::ToolCalls(calls) => calls.first().map(|call| ("🔧", (&*call.name).into())),
        _ => None,
    }
}

fn status(agent: &Addressee) -> String {
    let mut line = format!("- **{}**: ", text::plain_line(&agent.name, 100));
    line.push_str(match (&agent.at_work, agent.asks.is_empty()) {
        (_, false) => "waits for a decision",
        (Some(_), true) => "at work",
        (None, true) => "free",
    });
    match agent.waiting {
        0 => {}
        1 => line.push_str(", 1 message waits"),
        // Writing to a string does not fail.
        more => _ = write!(line, ", {more} messages wait"),
    }
    line
}

fn not_stopped(agent: &Addressee, error: &LettaError) -> String {
    tracing::info!(%error, "an agent cannot be stopped");
    format!("{} cannot be stopped: Letta does not take it now.", agent.name)
}
