//! Short words for talking with agents.

use futures_util::StreamExt;

use crate::{
    AgentId, ConversationRef, HistoryItem, HistoryMessage, HistoryQuery, LettaApi, StopReason, TurnError,
    TurnEvent, TurnEventKind, TurnInput, TurnOptions, TurnStream, fake::FakeLetta,
};

pub(super) fn alpha() -> ConversationRef {
    ConversationRef::agent("agent-001")
}

/// Whole messages, not kept.
pub(super) fn plain() -> TurnOptions {
    TurnOptions {
        tokens: false,
        resumable: false,
        max_steps: None,
    }
}

/// Pieces, not kept.
pub(super) fn pieces() -> TurnOptions {
    TurnOptions {
        resumable: false,
        ..TurnOptions::default()
    }
}

pub(super) async fn start(letta: &FakeLetta, text: &str, options: &TurnOptions) -> TurnStream {
    let input = TurnInput::text(format!("otid of {text}"), text);
    letta.send(&alpha(), &input, options).await.unwrap()
}

pub(super) async fn read(stream: TurnStream) -> Vec<TurnEvent> {
    stream.map(Result::unwrap).collect().await
}

/// Says something to agent-001 and reads the whole turn.
pub(super) async fn say(letta: &FakeLetta, text: &str, options: &TurnOptions) -> Vec<TurnEvent> {
    read(start(letta, text, options).await).await
}

pub(super) fn text_of(events: &[TurnEvent]) -> String {
    let pieces = events.iter().filter_map(|event| match &event.kind {
        TurnEventKind::Text { append, .. } => Some(append.as_str()),
        _ => None,
    });
    pieces.collect()
}

pub(super) fn end_of(events: &[TurnEvent]) -> (&StopReason, Option<&TurnError>) {
    match &events.last().unwrap().kind {
        TurnEventKind::Ended { reason, error } => (reason, error.as_ref()),
        other => panic!("not the end: {other:?}"),
    }
}

pub(super) fn count(events: &[TurnEvent], wanted: impl Fn(&TurnEventKind) -> bool) -> usize {
    events.iter().filter(|event| wanted(&event.kind)).count()
}

pub(super) async fn history(letta: &FakeLetta, agent: &str) -> Vec<HistoryMessage> {
    let of = ConversationRef::agent(AgentId::from(agent));
    let page = letta.list_messages(&of, &HistoryQuery::default()).await.unwrap();
    page.messages
}

/// What people said to agent-001.
pub(super) async fn heard(letta: &FakeLetta) -> Vec<String> {
    let messages = history(letta, "agent-001").await;
    messages
        .into_iter()
        .filter_map(|message| match message.item {
            HistoryItem::User { text, .. } => Some(text),
            _ => None,
        })
        .collect()
}
