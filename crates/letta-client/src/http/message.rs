//! Letta's messages: in the history whole, in streams whole or in pieces, under the same names.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{
    call::Call,
    conversations,
    transport::Transport,
    wire::{List, timestamp},
};
use crate::{
    Result,
    types::{
        approval::{ApprovalRequest, ToolCall},
        conversation::ConversationRef,
        history::{HistoryItem, HistoryMessage, HistoryPage, HistoryQuery},
        id::{ApprovalId, ConversationId, MessageId, Otid, RunId, ToolCallId},
        turn::ToolStatus,
    },
};

/// A tool call. In pieces of a stream each of its fields may be missing.
#[derive(Debug, Deserialize)]
pub(super) struct WireToolCall {
    pub(super) tool_call_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

impl WireToolCall {
    /// The call, if this is all of it.
    pub(super) fn whole(self) -> Option<ToolCall> {
        Some(ToolCall {
            id: ToolCallId::new(self.tool_call_id?),
            name: self.name.unwrap_or_default(),
            arguments: self.arguments.unwrap_or_default(),
        })
    }
}

/// The calls of a message. `tool_calls` is a list in whole messages and an object in pieces of a stream.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum WireToolCalls {
    Whole(Vec<WireToolCall>),
    Piece(WireToolCall),
}

#[derive(Debug, Deserialize)]
pub(super) struct WireToolReturn {
    pub(super) tool_call_id: Option<String>,
    #[serde(default)]
    pub(super) tool_return: Value,
    pub(super) status: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WireApproval {
    approve: Option<bool>,
    reason: Option<String>,
}

/// Every field that one of the kinds of message has, except those of the stream's own bookkeeping.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WireMessage {
    pub(super) message_type: Option<String>,
    pub(super) id: Option<String>,
    pub(super) otid: Option<String>,
    pub(super) run_id: Option<RunId>,
    pub(super) conversation_id: Option<ConversationId>,
    #[serde(default, deserialize_with = "timestamp")]
    date: Option<Timestamp>,
    #[serde(default)]
    pub(super) content: Value,
    pub(super) reasoning: Option<String>,
    pub(super) tool_call: Option<WireToolCall>,
    pub(super) tool_calls: Option<WireToolCalls>,
    #[serde(default)]
    tool_return: Value,
    tool_call_id: Option<String>,
    status: Option<String>,
    tool_returns: Option<Vec<WireToolReturn>>,
    approvals: Option<Vec<WireApproval>>,
    approve: Option<bool>,
    reason: Option<String>,
    pub(super) summary: Option<String>,
}

/// The text of a message's content, its parts joined by line breaks, and the number of images in it.
pub(super) fn content_text(content: &Value) -> (String, usize) {
    match content {
        Value::String(text) => (text.clone(), 0),
        Value::Array(parts) => {
            let texts: Vec<_> = parts
                .iter()
                .filter_map(|part| part.get("text").and_then(Value::as_str))
                .collect();
            let images = parts
                .iter()
                .filter(|part| part.get("type").and_then(Value::as_str) == Some("image"))
                .count();
            (texts.join("\n"), images)
        }
        Value::Null => (String::new(), 0),
        other => (other.to_string(), 0),
    }
}

impl WireMessage {
    /// The calls, if they are all there; `Err` gives a piece back.
    pub(super) fn take_calls(&mut self) -> Result<Vec<ToolCall>, WireToolCall> {
        let single = self.tool_call.take();
        match self.tool_calls.take() {
            Some(WireToolCalls::Whole(calls)) if !calls.is_empty() => {
                Ok(calls.into_iter().filter_map(WireToolCall::whole).collect())
            }
            Some(WireToolCalls::Piece(piece)) => Err(piece),
            // Servers before the list existed.
            _ => Ok(single.and_then(WireToolCall::whole).into_iter().collect()),
        }
    }

    /// What the tools answered.
    pub(super) fn take_returns(&mut self) -> Vec<(ToolCallId, ToolStatus, String)> {
        let returns = self
            .tool_returns
            .take()
            .filter(|returns| !returns.is_empty())
            .unwrap_or_else(|| {
                vec![WireToolReturn {
                    tool_call_id: self.tool_call_id.take(),
                    tool_return: self.tool_return.take(),
                    status: self.status.take(),
                }]
            });
        returns
            .into_iter()
            .filter_map(|wire| {
                let status = match wire.status.as_deref() {
                    Some("error") => ToolStatus::Error,
                    _ => ToolStatus::Success,
                };
                let (output, _) = content_text(&wire.tool_return);
                Some((ToolCallId::new(wire.tool_call_id?), status, output))
            })
            .collect()
    }

    /// The messages of the history that this one is: one, or one for each tool that answered.
    fn into_history(mut self, conversation: Option<&ConversationId>) -> Vec<HistoryMessage> {
        let message_type = self.message_type.take().unwrap_or_default();
        let id = self.id.take().unwrap_or_default();
        let items = match message_type.as_str() {
            "user_message" => {
                let (text, images) = content_text(&self.content);
                vec![HistoryItem::User { text, images }]
            }
            "assistant_message" => vec![HistoryItem::Assistant {
                text: content_text(&self.content).0,
            }],
            "reasoning_message" => vec![HistoryItem::Reasoning {
                text: self.reasoning.take().unwrap_or_default(),
            }],
            "system_message" => vec![HistoryItem::System {
                text: content_text(&self.content).0,
            }],
            "tool_call_message" => vec![HistoryItem::ToolCalls(self.take_calls().unwrap_or_default())],
            "tool_return_message" => self
                .take_returns()
                .into_iter()
                .map(|(call, status, output)| HistoryItem::ToolReturn { call, status, output })
                .collect(),
            "approval_request_message" => vec![HistoryItem::ApprovalRequest(ApprovalRequest {
                id: ApprovalId::from(id.as_str()),
                calls: self.take_calls().unwrap_or_default(),
            })],
            "approval_response_message" => {
                let first = self
                    .approvals
                    .take()
                    .and_then(|approvals| approvals.into_iter().next());
                let (approve, reason) = first.map_or((None, None), |first| (first.approve, first.reason));
                vec![HistoryItem::ApprovalResponse {
                    approve: self.approve.or(approve).unwrap_or_default(),
                    reason: self.reason.take().or(reason),
                }]
            }
            _ => vec![HistoryItem::Other { message_type }],
        };
        items
            .into_iter()
            .map(|item| HistoryMessage {
                id: MessageId::from(id.as_str()),
                otid: self.otid.as_deref().map(Otid::from),
                run: self.run_id.clone(),
                conversation: self.conversation_id.as_ref().or(conversation).cloned(),
                date: self.date,
                item,
            })
            .collect()
    }
}

pub(super) async fn list(
    transport: &Transport,
    of: &ConversationRef,
    query: &HistoryQuery,
) -> Result<HistoryPage> {
    let limit = query.limit.max(1);
    // Of a conversation too the agent's endpoint is asked: it keeps the order of time and knows an unknown cursor,
    // which `/v1/conversations/{id}/messages` ignores.
    let call = Call::get("read the history", ["agents", of.agent.as_str(), "messages"])
        .query("limit", limit.to_string())
        // Ascending, the limit cuts off the newest; otherwise the oldest.
        .query("order", if query.after.is_some() { "asc" } else { "desc" })
        .query_opt("conversation_id", of.conversation.as_ref().map(ConversationId::as_str))
        .query_opt("before", query.before.as_ref().map(MessageId::as_str))
        .query_opt("after", query.after.as_ref().map(MessageId::as_str));
    let List(messages) = transport.json::<List<WireMessage>>(&call).await?;
    if let (true, Some(conversation)) = (messages.is_empty(), &of.conversation) {
        // An empty conversation and one that does not exist look alike here.
        conversations::get(transport, conversation).await?;
    }
    // The limit counts steps; a thought and the answer it led to are one step with one id.
    let steps: HashSet<&str> = messages
        .iter()
        .filter_map(|message| message.id.as_deref())
        .collect();
    let may_continue = u32::try_from(steps.len()).is_ok_and(|count| count >= limit);
    let messages = messages
        .into_iter()
        .flat_map(|message| message.into_history(of.conversation.as_ref()))
        .collect();
    Ok(HistoryPage {
        messages,
        may_continue,
    })
}
