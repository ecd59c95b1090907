//! Shortening a conversation that does not fit into the model's context.

use serde_json::json;

use super::{
    failure::Failure,
    ids::otid_of,
    message::{Body, Message, Part, PartContent, Summary},
    model::pack_summary,
    state::State,
    turn::{Flow, Turn},
};
use crate::llm::{Completion, Outcome};

impl Turn {
    /// Shortens the conversation when the last answer showed that it does not fit any more.
    pub(super) async fn compact_if_full(&mut self, step: &str) -> Flow<()> {
        let window = self.window();
        if self.totals.context.is_some_and(|tokens| tokens > window) {
            self.compact(step, "post_step_context_check").await?;
        }
        Ok(())
    }

    fn window(&self) -> u64 {
        let state = self.letta.state();
        state
            .agent(&self.agent)
            .map_or(u64::MAX, |agent| state.context_window(&agent.model))
    }

    /// Shortens the conversation: the oldest messages leave the context, and a summary takes their place.
    pub(super) async fn compact(&mut self, step: &str, trigger: &'static str) -> Flow<()> {
        let window = self.window();
        if self.request.compaction_messages {
            let content = PartContent::CompactionStarted {
                trigger,
                estimate: self.totals.context,
                window,
            };
            let part = Part {
                id: self.ids.next_uuid("event").to_string(),
                otid: None,
                ..self.delta(step, "", 0, content)
            };
            self.show(part)?;
        }
        let (engine, request, evicted) = {
            let mut state = self.letta.state();
            let engine = state.llm(&self.agent);
            let messages: Vec<&Message> = self
                .context
                .iter()
                .filter_map(|id| state.messages.get(id))
                .collect();
            if let Some(Message {
                body: Body::System(text),
                ..
            }) = messages.first()
                && text.len() as u64 / 4 >= window
            {
                let text = format!("The system prompt exceeds the context window of {window} tokens");
                return Err(Failure::SystemPromptTooLong(text).into());
            }
            let keep = messages
                .iter()
                .rposition(|message| matches!(message.body, Body::Assistant { .. }))
                .filter(|place| *place > 1)
                .unwrap_or(messages.len());
            let evicted = messages.get(1..keep).unwrap_or_default();
            let handle = state
                .agent(&self.agent)
                .map_or_else(|_| String::new(), |agent| agent.model.clone());
            (engine, State::summary_request(&handle, evicted), evicted.len())
        };
        let Completion { delays, outcome, .. } = engine.plan(&request);
        tokio::time::sleep(delays.before_first_byte).await;
        let text = match outcome {
            Outcome::Answer(answer) => answer.text.unwrap_or_default(),
            Outcome::Failure(failure) => return Err(Failure::from_provider(&failure).into()),
        };
        self.replace(step, trigger, &text, evicted)
    }

    /// Puts a summary in place of the oldest messages but the first.
    fn replace(&mut self, step: &str, trigger: &'static str, text: &str, evicted: usize) -> Flow<()> {
        let before = self.context.len();
        let stats = json!({
            "trigger": trigger,
            "context_tokens_before": self.totals.context,
            "context_window": self.window(),
            "messages_count_before": before,
            "messages_count_after": before - evicted + 1,
        });
        let time = self.now().to_string();
        let summary = Summary {
            text: text.to_owned(),
            packed: pack_summary(text, &time, Some(evicted), &stats),
            stats,
        };
        let mut message = self.message(Body::Summary(summary.clone()), Some(step));
        message.otid = Some(self.ids.next_uuid("otid").to_string());
        let kept = self.context.split_off((evicted + 1).min(before));
        self.context.truncate(1);
        // The input stays where it is: it is saved with the step that answers it.
        let input = std::mem::take(&mut self.input);
        self.save(step, vec![message.clone()])?;
        self.input = input;
        self.context.extend(kept);
        self.write_context();
        let parts = if self.request.compaction_messages {
            let otid = otid_of(&message.id, 0);
            vec![message.part(Some(otid), PartContent::Summary(summary))]
        } else {
            message.parts()
        };
        for part in parts {
            self.show(part)?;
        }
        Ok(())
    }

    /// Writes the context back, over whatever is there.
    fn write_context(&self) {
        let mut state = self.letta.state();
        match &self.conversation {
            None => {
                if let Ok(agent) = state.agent_mut(&self.agent) {
                    agent.context.clone_from(&self.context);
                }
            }
            Some(id) => {
                if let Some(conversation) = state.conversation_mut(id) {
                    conversation.context.clone_from(&self.context);
                }
            }
        }
    }
}
