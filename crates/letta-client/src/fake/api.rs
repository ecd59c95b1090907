//! The trait, on the model: what [`HttpLetta`](crate::http::HttpLetta) makes of the same server.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    FakeLetta, Include, ListAgents, Refusal,
    cancel::CancelledRun,
    gate::Passage,
    history::{self, InConversation, Stretch},
    listing::next_cursor,
    message::{Decision, Part, PartContent},
    model::flatten,
    request::{Target, TurnRequest},
    seed::AgentSeed,
    stream::Reader,
    translate::{read_token, turn_stream},
};
use crate::{
    Agent, AgentCursor, AgentId, AgentInclude, AgentPage, AgentQuery, AgentUpdate, ApprovalDecision,
    ApprovalId, ApprovalRequest, CancelOutcome, Conflict, ContentPart, Conversation, ConversationId,
    ConversationPage, ConversationQuery, ConversationRef, Health, HistoryItem, HistoryMessage, HistoryPage,
    HistoryQuery, LettaApi, LettaError, LettaErrorKind, MessageId, NewAgent, NewConversation, Otid, Result,
    ResumeToken, Run, RunId, RunQuery, TurnInput, TurnOptions, TurnStream,
};

#[async_trait]
impl LettaApi for FakeLetta {
    async fn health(&self) -> Result<Health> {
        let passage = self.enter("health", None, json!({})).await?;
        let health = Health {
            version: self.state().config.version.clone(),
            status: "ok".to_owned(),
        };
        Ok(passage.answer(Ok(health))?)
    }

    async fn list_agents(&self, query: &AgentQuery) -> Result<AgentPage> {
        let arguments = json!({
            "limit": query.limit,
            "after": query.after.as_ref().map(AgentCursor::as_str),
            "name": query.name,
            "query_text": query.query_text,
            "tags": query.tags,
        });
        let passage = self.enter("list_agents", None, arguments).await?;
        let page = {
            let state = self.state();
            state
                .list_agents(&ListAgents::from(query))
                .map(|records| AgentPage {
                    next: next_cursor(&records, query.limit),
                    agents: records
                        .into_iter()
                        .map(|record| state.view_agent(record, query.include.into()))
                        .collect(),
                })
        };
        Ok(passage.answer(page)?)
    }

    async fn count_agents(&self) -> Result<u64> {
        let passage = self.enter("count_agents", None, json!({})).await?;
        let count = self.state().count_agents();
        Ok(passage.answer(Ok(count.try_into().unwrap_or(u64::MAX)))?)
    }

    async fn get_agent(&self, id: &AgentId, include: AgentInclude) -> Result<Agent> {
        let passage = self.enter("get_agent", Some(id), json!({})).await?;
        let agent = {
            let state = self.state();
            state
                .agent(id)
                .map(|record| state.view_agent(record, include.into()))
        };
        Ok(passage.answer(agent)?)
    }

    async fn create_agent(&self, agent: &NewAgent) -> Result<Agent> {
        let arguments = json!({ "name": agent.name, "model": agent.model, "tags": agent.tags });
        let passage = self.enter("create_agent", None, arguments).await?;
        let created = {
            let mut state = self.state();
            state.create_agent(AgentSeed::from(agent.clone())).and_then(|id| {
                state
                    .agent(&id)
                    .map(|record| state.view_agent(record, Include::ALL))
            })
        };
        Ok(passage.answer(created)?)
    }

    async fn update_agent(&self, id: &AgentId, update: &AgentUpdate) -> Result<Agent> {
        let arguments =
            json!({ "name": update.name, "description": update.description, "tags": update.tags });
        let passage = self.enter("update_agent", Some(id), arguments).await?;
        let updated = {
            let mut state = self.state();
            state
                .update_agent(id, update)
                .cloned()
                .map(|record| state.view_agent(&record, Include::ALL))
        };
        Ok(passage.answer(updated)?)
    }

    async fn delete_agent(&self, id: &AgentId) -> Result<()> {
        let passage = self.enter("delete_agent", Some(id), json!({})).await?;
        let deleted = self.state().delete_agent(id);
        Ok(passage.answer(deleted)?)
    }

    async fn set_tool_approval(&self, id: &AgentId, tool: &str, required: bool) -> Result<()> {
        let arguments = json!({ "tool": tool, "required": required });
        let passage = self.enter("set_tool_approval", Some(id), arguments).await?;
        let set = self.state().set_tool_approval(id, tool, required);
        Ok(passage.answer(set)?)
    }

    async fn create_conversation(
        &self,
        agent: &AgentId,
        conversation: &NewConversation,
    ) -> Result<Conversation> {
        let arguments = json!({ "summary": conversation.summary });
        let passage = self.enter("create_conversation", Some(agent), arguments).await?;
        let created = self
            .state()
            .create_conversation(agent, conversation.summary.clone())
            .map(Conversation::from);
        Ok(passage.answer(created)?)
    }

    async fn get_conversation(&self, id: &ConversationId) -> Result<Conversation> {
        let passage = self
            .enter("get_conversation", None, json!({ "conversation": id }))
            .await?;
        let found = self.state().conversation(id).map(Conversation::from);
        Ok(passage.answer(found)?)
    }

    async fn list_conversations(
        &self,
        agent: &AgentId,
        query: &ConversationQuery,
    ) -> Result<ConversationPage> {
        let arguments = json!({ "limit": query.limit, "after": query.after });
        let passage = self.enter("list_conversations", Some(agent), arguments).await?;
        let limit = at_least_one(query.limit);
        let conversations: Vec<Conversation> = self
            .state()
            .list_conversations(
                Some(agent),
                limit,
                query.after.as_ref().map(ConversationId::as_str),
            )
            .into_iter()
            .map(Conversation::from)
            .collect();
        let next = conversations
            .last()
            .filter(|_| conversations.len() >= limit)
            .map(|conversation| conversation.id.clone());
        Ok(passage.answer(Ok(ConversationPage { conversations, next }))?)
    }

    async fn delete_conversation(&self, id: &ConversationId) -> Result<()> {
        let passage = self
            .enter("delete_conversation", None, json!({ "conversation": id }))
            .await?;
        let deleted = self.state().delete_conversation(id);
        Ok(passage.answer(deleted)?)
    }

    async fn send(
        &self,
        to: &ConversationRef,
        input: &TurnInput,
        options: &TurnOptions,
    ) -> Result<TurnStream> {
        let arguments = json!({
            "conversation": to.conversation,
            "otid": input.otid,
            "text": flatten(&input.content).0,
            "images": flatten(&input.content).1,
            "name": input.name,
            "tokens": options.tokens,
            "resumable": options.resumable,
        });
        let passage = self.enter("send", Some(&to.agent), arguments).await?;
        let mut input = input.clone();
        if input.content.len() > 1 {
            input
                .content
                .retain(|part| !matches!(part, ContentPart::Text(text) if text.is_empty()));
        }
        let says_something = input
            .content
            .iter()
            .any(|part| !matches!(part, ContentPart::Text(text) if text.is_empty()));
        if !says_something {
            return Err(LettaError::new(
                LettaErrorKind::InvalidRequest,
                "could not send a message: it has no content",
            ));
        }
        let request = TurnRequest::say(&input, options, self.keeps_events(options));
        self.start(to, request, passage)
    }

    async fn decide(
        &self,
        to: &ConversationRef,
        decisions: &[ApprovalDecision],
        options: &TurnOptions,
    ) -> Result<TurnStream> {
        let decided: Vec<Value> = decisions
            .iter()
            .map(|one| json!({ "call": one.call, "approve": one.approve, "reason": one.reason }))
            .collect();
        let arguments = json!({ "conversation": to.conversation, "decisions": decided });
        let passage = self.enter("decide", Some(&to.agent), arguments).await?;
        if decisions.is_empty() {
            return Err(LettaError::new(
                LettaErrorKind::InvalidRequest,
                "could not decide on a tool call: there is no decision",
            ));
        }
        let request = TurnRequest::decide(decisions, options, self.keeps_events(options));
        self.start(to, request, passage)
    }

    async fn resume(&self, token: &ResumeToken) -> Result<TurnStream> {
        let passage = self
            .enter("resume", None, json!({ "token": token.as_str() }))
            .await?;
        let Some((run, told)) = read_token(token) else {
            return Err(LettaError::new(
                LettaErrorKind::InvalidRequest,
                "could not join a turn again: the token is not one of this client's",
            ));
        };
        let break_after = passage.break_stream_after;
        let reader = passage.answer(self.rejoin(&run, 0, true))?;
        Ok(turn_stream(reader, true, told, break_after))
    }

    async fn cancel<'a>(&self, at: &ConversationRef, run: Option<&'a RunId>) -> Result<CancelOutcome> {
        let arguments = json!({ "conversation": at.conversation, "run": run });
        let passage = self.enter("cancel", Some(&at.agent), arguments).await?;
        let cancelled = {
            let mut state = self.state();
            match (&at.conversation, run) {
                (_, Some(run)) => state.cancel_agent(&at.agent, std::slice::from_ref(run)),
                (Some(conversation), None) => state.cancel_conversation(conversation),
                (None, None) => state.agent(&at.agent).map(|_| ()).and_then(|()| {
                    // The server cancels the latest run. One that was refused while a call waits for approval is
                    // later than the one that waits, so that one is named.
                    let waiting = state.pending(&at.agent).and_then(|message| message.run.clone());
                    let mut cancelled = or_nothing(state.cancel_agent(&at.agent, &[]))?;
                    if let Some(run) = waiting
                        && !cancelled.iter().any(|one| one.run == run)
                    {
                        cancelled.extend(state.cancel_agent(&at.agent, &[run])?);
                    }
                    Ok(cancelled)
                }),
            }
        };
        Ok(passage.answer(or_nothing(cancelled).map(outcome_of))?)
    }

    async fn get_run(&self, id: &RunId) -> Result<Run> {
        let passage = self.enter("get_run", None, json!({ "run": id })).await?;
        let run = self.state().run(id).map(Run::from);
        Ok(passage.answer(run)?)
    }

    async fn list_runs(&self, agent: &AgentId, query: &RunQuery) -> Result<Vec<Run>> {
        let arguments = json!({ "active_only": query.active_only, "limit": query.limit });
        let passage = self.enter("list_runs", Some(agent), arguments).await?;
        let runs = self
            .state()
            .list_runs(Some(agent), query.active_only, at_least_one(query.limit))
            .into_iter()
            .map(Run::from)
            .collect();
        Ok(passage.answer(Ok(runs))?)
    }

    async fn list_messages(&self, of: &ConversationRef, query: &HistoryQuery) -> Result<HistoryPage> {
        let arguments = json!({
            "conversation": of.conversation,
            "limit": query.limit,
            "before": query.before,
            "after": query.after,
        });
        let passage = self.enter("list_messages", Some(&of.agent), arguments).await?;
        let limit = at_least_one(query.limit);
        let stretch = Stretch {
            limit: Some(limit),
            before: query.before.as_ref().map(ToString::to_string),
            after: query.after.as_ref().map(ToString::to_string),
            oldest: query.after.is_some(),
        };
        let within = of
            .conversation
            .clone()
            .map_or(InConversation::Any, InConversation::Of);
        let page = {
            let state = self.state();
            state
                .agent_messages(&of.agent, &within, &stretch)
                .and_then(|messages| match &of.conversation {
                    // An empty conversation and one that does not exist look alike.
                    Some(id) if messages.is_empty() => state.conversation(id).map(|_| messages),
                    _ => Ok(messages),
                })
                .map(|messages| HistoryPage {
                    may_continue: messages.len() >= limit,
                    messages: history::parts(&messages)
                        .into_iter()
                        .map(|part| history_message(part, of.conversation.as_ref()))
                        .collect(),
                })
        };
        Ok(passage.answer(page)?)
    }
}

impl FakeLetta {
    /// Whether a turn with these options can be joined again. A server without Redis runs it all the same.
    fn keeps_events(&self, options: &TurnOptions) -> bool {
        options.resumable && self.state().config.redis
    }

    fn start(&self, to: &ConversationRef, request: TurnRequest, passage: Passage) -> Result<TurnStream> {
        let background = request.background;
        let break_after = passage.break_stream_after;
        let reader: Reader = passage.answer(self.begin(&Target::from(to), request))?;
        Ok(turn_stream(reader, background, 0, break_after))
    }
}

fn at_least_one(limit: u32) -> usize {
    usize::try_from(limit.max(1)).unwrap_or(usize::MAX)
}

/// That nothing runs is no failure.
fn or_nothing(cancelled: Result<Vec<CancelledRun>, Refusal>) -> Result<Vec<CancelledRun>, Refusal> {
    match cancelled {
        Err(refusal) if *refusal.kind() == LettaErrorKind::Conflict(Conflict::NothingToCancel) => {
            Ok(Vec::new())
        }
        other => other,
    }
}

fn outcome_of(runs: Vec<CancelledRun>) -> CancelOutcome {
    let runs: Vec<RunId> = runs
        .into_iter()
        .filter(|run| run.found)
        .map(|run| run.run)
        .collect();
    if runs.is_empty() {
        CancelOutcome::NothingRunning
    } else {
        CancelOutcome::Cancelled(runs)
    }
}

fn history_message(part: Part, conversation: Option<&ConversationId>) -> HistoryMessage {
    let id = part.id;
    let item = match part.content {
        PartContent::System(text) => HistoryItem::System { text },
        PartContent::User(content) => {
            let (text, images) = flatten(&content);
            HistoryItem::User { text, images }
        }
        PartContent::Assistant(text) => HistoryItem::Assistant { text },
        PartContent::Reasoning(text) => HistoryItem::Reasoning { text },
        PartContent::ToolCalls(calls) => HistoryItem::ToolCalls(calls),
        PartContent::ApprovalRequest(calls) => HistoryItem::ApprovalRequest(ApprovalRequest {
            id: ApprovalId::new(id.clone()),
            calls,
        }),
        PartContent::ApprovalResponse(decisions) => match decisions.into_iter().next() {
            Some(Decision::Approval { approve, reason, .. }) => {
                HistoryItem::ApprovalResponse { approve, reason }
            }
            Some(Decision::Return { .. }) | None => HistoryItem::ApprovalResponse {
                approve: false,
                reason: None,
            },
        },
        PartContent::ToolReturn(answer) => HistoryItem::ToolReturn {
            call: answer.call,
            status: answer.status,
            output: answer.output,
        },
        content @ (PartContent::CallDelta(_)
        | PartContent::CompactionStarted { .. }
        | PartContent::Summary(_)) => HistoryItem::Other {
            message_type: content.message_type().to_owned(),
        },
    };
    let mut message = HistoryMessage::new(MessageId::new(id), item);
    message.otid = part.otid.map(Otid::new);
    message.run = part.run;
    message.conversation = conversation.cloned();
    message.date = Timestamp::from_second(part.date.as_second()).ok();
    message
}
